package pipeline

import (
	"ci/pkg/ci"
)

// rerun begins a new run of the version and with the parameters of one that is
// done. With failed it reuses what succeeded then.
func (s *Service) rerun(r *request) (any, error) {
	var doc struct {
		Failed bool `json:"failed"`
	}
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	old, err := s.load(r)
	if err != nil {
		return nil, err
	}
	switch {
	case !old.Finished():
		return nil, ci.Errorf(ci.CodeConflict, "run %d of pipeline %q is still in progress; abort it, or wait for it", old.ID, old.Pipeline)
	case doc.Failed && old.Outcome == ci.OutcomeSucceeded:
		return nil, ci.Errorf(ci.CodeConflict, "run %d of pipeline %q succeeded; nothing of it failed", old.ID, old.Pipeline)
	}
	var reused []ci.PipelineCall
	if doc.Failed {
		reused = successes(old.Calls)
	}
	return s.begin(r, &ci.PipelineRun{Pipeline: old.Pipeline, Version: old.Version, Parameters: old.Parameters, RerunOf: old.ID}, reused)
}

// successes are the calls that need not be made again: they succeeded, and so
// did all whose ends the program knew when it made them.
func successes(calls []ci.PipelineCall) []ci.PipelineCall {
	var list []ci.PipelineCall
	good := map[string]bool{}
	for _, c := range calls {
		if !c.Done || c.Outcome != ci.OutcomeSucceeded {
			continue
		}
		fine := c.Kind != ci.CallAbort
		for _, before := range c.After {
			fine = fine && good[before]
		}
		if fine {
			good[c.ID] = true
			c.Reused = true
			list = append(list, c)
		}
	}
	return list
}
