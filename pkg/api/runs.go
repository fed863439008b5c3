package api

import (
	"context"
	"iter"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// Trigger records a run. Without an IdempotencyKey it makes one, so that it
// can repeat itself and never triggers twice. The run is in the trace of t, or of
// the client where t has none.
func (c *Client) Trigger(ctx context.Context, t ci.Trigger) (*ci.Run, error) {
	if t.IdempotencyKey == "" {
		t.IdempotencyKey = uuid.NewString()
	}
	req := &civ1.TriggerRunRequest{
		Name: t.Job,
		Trigger: &civ1.Trigger{
			CommitSha: t.CommitSHA, BranchName: t.BranchName, Parameters: t.Parameters, Priority: string(t.Priority),
		},
		IdempotencyKey: t.IdempotencyKey,
	}
	if t.Trace != nil {
		ctx = context.WithValue(ctx, traced{}, t.Trace)
	}
	m, err := call(ctx, c, c.runs.TriggerRun, req)
	if err != nil {
		return nil, err
	}
	return convert.FromRun(m.GetRun()), nil
}

// Withdraw gives up a trigger of a job whose answer did not come. It returns the
// run that the key has made, or nil: then the key makes none any more.
func (c *Client) Withdraw(ctx context.Context, job, key string) (*ci.Run, error) {
	m, err := call(ctx, c, c.runs.WithdrawTrigger, &civ1.WithdrawTriggerRequest{Name: job, IdempotencyKey: key})
	if err != nil || m.GetRun() == nil {
		return nil, err
	}
	return convert.FromRun(m.GetRun()), nil
}

// TriggerBatch records all runs or none. It is not repeated, since runs
// without keys would come twice. The runs are in the trace of the client.
func (c *Client) TriggerBatch(ctx context.Context, ts []ci.Trigger) ([]ci.Run, error) {
	req := new(civ1.TriggerRunsRequest)
	for i := range ts {
		req.Runs = append(req.Runs, convert.ToTrigger(&ts[i]))
	}
	m, err := once(ctx, c, c.runs.TriggerRuns, req)
	if err != nil {
		return nil, err
	}
	return fromRuns(m.GetRuns()), nil
}

func fromRuns(ms []*civ1.Run) []ci.Run {
	runs := make([]ci.Run, len(ms))
	for i, m := range ms {
		runs[i] = *convert.FromRun(m)
	}
	return runs
}

// FindRun returns a run as it is, by its id alone.
func (c *Client) FindRun(ctx context.Context, id int64) (*ci.Run, error) {
	m, err := call(ctx, c, c.runs.FindRun, &civ1.FindRunRequest{Id: uint32(id)})
	if err != nil {
		return nil, err
	}
	return convert.FromRun(m), nil
}

// GetRun returns a run as it is.
func (c *Client) GetRun(ctx context.Context, job string, id int64) (*ci.Run, error) {
	m, err := call(ctx, c, c.runs.GetRun, &civ1.GetRunRequest{Name: job, Id: uint32(id)})
	if err != nil {
		return nil, err
	}
	return convert.FromRun(m), nil
}

// hold is how long one request of WaitRun is held. It is less than proxies commonly allow.
const hold = 50 * time.Second

// WaitRun returns the run once it is as far as until. Only an error or the end of ctx stop it sooner.
func (c *Client) WaitRun(ctx context.Context, job string, id int64, until ci.Until) (run *ci.Run, err error) {
	req := &civ1.GetRunRequest{Name: job, Id: uint32(id), Wait: durationpb.New(hold), Until: string(until)}
	err = c.holding(ctx, func() (bool, error) {
		m, err := call(ctx, c, c.runs.GetRun, req)
		if err != nil {
			return false, err
		}
		run = convert.FromRun(m)
		return run.Reached(until), nil
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

// holding repeats a question whose answer the server holds back, until once
// says that it was the last, or fails.
func (c *Client) holding(ctx context.Context, once func() (last bool, err error)) error {
	for pause := firstPause; ; {
		begun := time.Now()
		if last, err := once(); last || err != nil {
			return err
		}
		if time.Since(begun) > time.Second {
			pause = firstPause
			continue
		}
		// A server that is about to stop answers at once. Give another one time to be there.
		if err := sleep(ctx, jitter(pause)); err != nil {
			return c.fault(ctx, err)
		}
		pause = min(2*pause, longPause)
	}
}

// ListRuns goes through runs, newest first, without their Spec. An error is the
// last thing it yields. f.Jobs and f.Before are the server's own and not sent.
func (c *Client) ListRuns(ctx context.Context, f ci.RunFilter) iter.Seq2[ci.Run, error] {
	return pages(func(token string) ([]ci.Run, string, error) {
		m, err := call(ctx, c, c.runs.ListRuns, &civ1.ListRunsRequest{
			Job: f.Job, Status: string(f.Status), Outcome: string(f.Outcome), BranchName: f.BranchName, CommitSha: f.CommitSHA,
			Since: convert.ToTime(f.Since), Parent: uint32(f.Parent), PageSize: pageSize, PageToken: token,
		})
		return fromRuns(m.GetRuns()), m.GetNextPageToken(), err
	})
}

// Abort asks for a run's end. The run is done once its agent has confirmed. A done run is ci.CodeConflict.
func (c *Client) Abort(ctx context.Context, job string, id int64) (*ci.Run, error) {
	m, err := call(ctx, c, c.runs.AbortRun, &civ1.AbortRunRequest{Name: job, Id: uint32(id)})
	if err != nil {
		return nil, err
	}
	return convert.FromRun(m), nil
}

// Explain says why a run waits.
func (c *Client) Explain(ctx context.Context, job string, id int64) (*ci.QueueReport, error) {
	m, err := call(ctx, c, c.runs.ExplainRun, &civ1.ExplainRunRequest{Name: job, Id: uint32(id)})
	if err != nil {
		return nil, err
	}
	return convert.FromReport(m), nil
}

// Results lists what a run has saved so far. The console is the last of them.
func (c *Client) Results(ctx context.Context, job string, id int64) ([]ci.Result, error) {
	m, err := call(ctx, c, c.runs.ListResults, &civ1.ListResultsRequest{Name: job, Id: uint32(id)})
	if err != nil {
		return nil, err
	}
	var results []ci.Result
	for _, r := range m.GetResults() {
		results = append(results, convert.FromResult(r))
	}
	return results, nil
}
