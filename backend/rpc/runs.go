package rpc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// MaxWait is the longest that one answer is held.
const MaxWait = 60 * time.Second

// TriggerRun records one run.
func (s *Services) TriggerRun(ctx context.Context, req *civ1.TriggerRunRequest) (*civ1.TriggerRunResponse, error) {
	until, wait, err := waitOf(req.GetWait(), req.GetUntil())
	if err != nil {
		return nil, err
	}
	p, _ := auth.FromContext(ctx)
	run, replayed, err := s.Engine.Trigger(ctx, ci.Trigger{
		Job:            req.GetName(),
		CommitSHA:      req.GetTrigger().GetCommitSha(),
		BranchName:     req.GetTrigger().GetBranchName(),
		Parameters:     req.GetTrigger().GetParameters(),
		Priority:       ci.Priority(req.GetTrigger().GetPriority()),
		IdempotencyKey: req.GetIdempotencyKey(),
		By:             p.Name,
		Parent:         p.Run,
		Trace:          s.traceOf(ctx, p),
	})
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		if run, err = s.wait(ctx, run.Job, run.ID, until, wait); err != nil {
			return nil, err
		}
	}
	return &civ1.TriggerRunResponse{Run: convert.ToRun(run), Replayed: replayed}, nil
}

// traceOf is who triggers in a distributed trace. A script that does not say it is
// found by its run, whose trace it is in.
func (s *Services) traceOf(ctx context.Context, p auth.Principal) *ci.Trace {
	place, came := s.Trace(ctx)
	if p.Run != nil && !came {
		return nil
	}
	return place
}

// TriggerRuns records all runs or none.
func (s *Services) TriggerRuns(ctx context.Context, req *civ1.TriggerRunsRequest) (*civ1.TriggerRunsResponse, error) {
	p, _ := auth.FromContext(ctx)
	triggers := make([]ci.Trigger, len(req.GetRuns()))
	for i, t := range req.GetRuns() {
		triggers[i] = convert.FromTrigger(t)
		triggers[i].By, triggers[i].Parent, triggers[i].Trace = p.Name, p.Run, s.traceOf(ctx, p)
		if triggers[i].Job == "" {
			return nil, wrong("the request", fmt.Sprintf("runs[%d].job", i), "is missing")
		}
		if err := auth.May(p, auth.RunTrigger, triggers[i].Job); err != nil {
			return nil, err
		}
	}
	runs, err := s.Engine.TriggerBatch(ctx, triggers)
	return &civ1.TriggerRunsResponse{Runs: convert.ToRuns(runs)}, err
}

// WithdrawTrigger gives up a trigger whose answer did not come.
func (s *Services) WithdrawTrigger(ctx context.Context, req *civ1.WithdrawTriggerRequest) (*civ1.WithdrawTriggerResponse, error) {
	run, err := s.Engine.Withdraw(ctx, req.GetName(), req.GetIdempotencyKey())
	if err != nil || run == nil {
		return &civ1.WithdrawTriggerResponse{}, err
	}
	return &civ1.WithdrawTriggerResponse{Run: convert.ToRun(run)}, nil
}

// GetRun returns a run, at once or when it is as far as asked.
func (s *Services) GetRun(ctx context.Context, req *civ1.GetRunRequest) (*civ1.Run, error) {
	return s.run(ctx, req.GetName(), req)
}

// FindRun is GetRun for a run whose job is not named.
func (s *Services) FindRun(ctx context.Context, req *civ1.FindRunRequest) (*civ1.Run, error) {
	return s.run(ctx, "", req)
}

// asked is what both say of a run that is asked for.
type asked interface {
	GetId() uint32
	GetWait() *durationpb.Duration
	GetUntil() string
}

// run returns a run of a job, or of any when job is "".
func (s *Services) run(ctx context.Context, job string, req asked) (*civ1.Run, error) {
	until, wait, err := waitOf(req.GetWait(), req.GetUntil())
	if err != nil {
		return nil, err
	}
	var run *ci.Run
	if wait > 0 {
		run, err = s.wait(ctx, job, int64(req.GetId()), until, wait)
	} else {
		run, err = s.Store.GetRun(ctx, job, int64(req.GetId()))
	}
	if err != nil {
		return nil, err
	}
	return convert.ToRun(run), nil
}

// waitOf checks what to wait for, and for how long. 0 does not wait.
func waitOf(wait *durationpb.Duration, until string) (ci.Until, time.Duration, error) {
	u := ci.Until(until)
	if u == "" {
		u = ci.UntilDone
	}
	if !slices.Contains([]ci.Until{ci.UntilPlanned, ci.UntilStarted, ci.UntilDone}, u) {
		return "", 0, wrong("the request", "until", "%q is not planned, started or done", until)
	}
	if wait == nil {
		if until != "" {
			return "", 0, wrong("the request", "wait", "is missing beside until; an example is wait=60s")
		}
		return u, 0, nil
	}
	d := wait.AsDuration()
	if d < 0 || d > MaxWait {
		return "", 0, wrong("the request", "wait", "%s is not between 0s and %s; ask again for longer waits", d, MaxWait)
	}
	return u, d, nil
}

// AbortRun asks for a run's end.
func (s *Services) AbortRun(ctx context.Context, req *civ1.AbortRunRequest) (*civ1.Run, error) {
	p, _ := auth.FromContext(ctx)
	run, err := s.Engine.Abort(ctx, req.GetName(), int64(req.GetId()), p.Name)
	if err != nil {
		return nil, err
	}
	return convert.ToRun(run), nil
}

// ExplainRun says why a run waits.
func (s *Services) ExplainRun(ctx context.Context, req *civ1.ExplainRunRequest) (*civ1.QueueReport, error) {
	report, err := s.Engine.Explain(ctx, req.GetName(), int64(req.GetId()))
	if err != nil {
		return nil, err
	}
	return convert.ToReport(report), nil
}
