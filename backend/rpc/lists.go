package rpc

import (
	"context"
	"slices"
	"strconv"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// filterRequest is what the two lists of runs have in common.
type filterRequest interface {
	GetStatus() string
	GetOutcome() string
	GetBranchName() string
	GetCommitSha() string
	GetParent() uint32
	GetPageSize() uint32
	GetPageToken() string
}

// ListRuns returns one page of the runs that the caller may see.
func (s *Services) ListRuns(ctx context.Context, req *civ1.ListRunsRequest) (*civ1.ListRunsResponse, error) {
	return s.listRuns(ctx, req, ci.RunFilter{Job: req.GetJob(), Since: convert.FromTime(req.GetSince())})
}

// ListJobRuns returns one page of one job's runs.
func (s *Services) ListJobRuns(ctx context.Context, req *civ1.ListJobRunsRequest) (*civ1.ListRunsResponse, error) {
	f := ci.RunFilter{Job: req.GetName(), Since: convert.FromTime(req.GetSince())}
	out, err := s.listRuns(ctx, req, f)
	if err != nil || len(out.GetRuns()) > 0 {
		return out, err
	}
	// Runs outlive their job. Where there are none, a mistyped name must not look like a quiet job.
	if _, err := s.Store.GetJob(ctx, req.GetName()); err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Services) listRuns(ctx context.Context, req filterRequest, f ci.RunFilter) (*civ1.ListRunsResponse, error) {
	f.Status, f.Outcome = ci.Status(req.GetStatus()), ci.Outcome(req.GetOutcome())
	f.BranchName, f.CommitSHA = req.GetBranchName(), req.GetCommitSha()
	f.Parent = int64(req.GetParent())
	if err := checkFilter(f); err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	if f.Jobs = p.Visible(); p.Run != nil {
		f = ofRun(f, p)
	}
	pg, err := newPage("runs", req.GetPageSize(), req.GetPageToken(), filterText(f))
	if err != nil {
		return nil, err
	}
	if pg.after != "" {
		if f.Before, err = strconv.ParseInt(pg.after, 10, 64); err != nil {
			return nil, wrong("the request", "pageToken", "is not a nextPageToken of this list")
		}
	}
	runs, err := s.Store.ListRuns(ctx, f, pg.size+1)
	if err != nil {
		return nil, err
	}
	runs, next := cut(pg, runs, func(r *ci.Run) string { return strconv.FormatInt(r.ID, 10) })
	for i := range runs {
		runs[i].Spec = nil
	}
	return &civ1.ListRunsResponse{Runs: convert.ToRuns(runs), NextPageToken: next}, nil
}

// ofRun narrows a list to what a run's script sees: the runs of its own job,
// and those that it has triggered. Of another job, and with its own id as the
// parent, it sees the latter.
func ofRun(f ci.RunFilter, p auth.Principal) ci.RunFilter {
	if f.Job != "" && f.Job != p.Run.Job && f.Parent == 0 {
		f.Parent = p.Run.Run
	}
	if f.Parent != p.Run.Run {
		f.Jobs = []string{p.Run.Job}
	}
	return f
}

// checkFilter refuses values that no run can have: a typing error must not look like an empty list.
func checkFilter(f ci.RunFilter) error {
	statuses := []ci.Status{ci.StatusInProgress, ci.StatusDone}
	switch {
	case f.Status != "" && !slices.Contains(statuses, f.Status):
		return wrong("the request", "status", "%q is not one of %v", f.Status, statuses)
	case f.Outcome != "" && !slices.Contains(ci.Outcomes, f.Outcome):
		return wrong("the request", "outcome", "%q is not one of %v", f.Outcome, ci.Outcomes)
	case f.BranchName != "" && !ci.ValidBranch(f.BranchName):
		return wrong("the request", "branchName", "%q is not a valid branch name", f.BranchName)
	case f.CommitSHA != "" && !ci.ValidCommit(f.CommitSHA):
		return wrong("the request", "commitSha", "%q is not a full commit id: 40 (or 64) lower-case hexadecimal digits", f.CommitSHA)
	}
	return nil
}
