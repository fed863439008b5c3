package replay

import (
	"encoding/json"
	"fmt"
	"time"

	"ci/pkg/ci"
)

// Played is the world of a dry run: what comes of calls that are not carried out.
type Played struct {
	// Outcomes are those of runs, by job or by the name= of run; others succeed.
	Outcomes map[string]ci.Outcome
	// Results are texts of results, by "job:result"; others are missing.
	Results map[string]string
	// Reject answers every approval with no.
	Reject bool
	// Now is when it begins.
	Now time.Time
}

// DryRun carries a program out with played outcomes. It returns its calls in
// the order in which they were made, and how it ended. evaluate is Evaluate or
// a Sandbox's. An error is one of evaluate.
func DryRun(in Input, world Played, evaluate func(Input) (*Output, error)) ([]Call, *Output, error) {
	in.Now = world.Now
	for next := int64(1); ; {
		out, err := evaluate(in)
		if err != nil {
			return in.Calls, nil, err
		}
		in.Calls = append(in.Calls, out.New...)
		if out.Ended() {
			return in.Calls, out, nil
		}
		progress := false
		for i := range in.Calls {
			c := &in.Calls[i]
			if c.Done {
				continue
			}
			if err := world.finish(c, next); err != nil {
				return in.Calls, nil, err
			}
			next++
			progress = true
		}
		if !progress {
			return in.Calls, nil, fmt.Errorf("the program waits for %v, which are done", out.Waiting)
		}
	}
}

// finish gives a call the value that the world plays. next counts runs.
func (w Played) finish(c *Call, next int64) error {
	value, err := w.value(c, next)
	if err != nil {
		return err
	}
	c.Done, c.Order = true, next
	c.Value, err = json.Marshal(value)
	return err
}

func (w Played) value(c *Call, next int64) (any, error) {
	switch c.Kind {
	case ci.CallRun:
		var a RunArgs
		if err := json.Unmarshal(c.Args, &a); err != nil {
			return nil, err
		}
		return w.run(a, next), nil
	case ci.CallResult:
		var a ResultArgs
		if err := json.Unmarshal(c.Args, &a); err != nil {
			return nil, err
		}
		text, ok := w.Results[a.Job+":"+a.Name]
		if !ok {
			return ResultValue{Missing: fmt.Sprintf("job %s has no result %s in this dry run; give it one", a.Job, a.Name)}, nil
		}
		return ResultValue{ContentType: "text/plain", Size: int64(len(text)), Text: &text}, nil
	case ci.CallApprove:
		return AnswerValue{Approved: !w.Reject, By: "dry-run", At: w.Now}, nil
	}
	return struct{}{}, nil
}

func (w Played) run(a RunArgs, next int64) RunValue {
	outcome := ci.OutcomeSucceeded
	for _, name := range []string{a.Name, a.Job} {
		if o, ok := w.Outcomes[name]; ok && name != "" {
			outcome = o
			break
		}
	}
	code := 0
	if outcome != ci.OutcomeSucceeded {
		code = 1
	}
	return RunValue{ID: next, Outcome: outcome, Reason: "played", ExitCode: &code, Commit: a.Commit, Branch: a.Branch}
}
