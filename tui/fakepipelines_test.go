package tui

import (
	"context"
	"errors"
	"iter"
	"time"

	"ci/pkg/ci"
)

// ago is that many seconds before noon.
func ago(s int) time.Time { return noon.Add(-time.Duration(s) * time.Second) }

// samplePipelineRuns are one that asks, one that failed, and others.
func samplePipelineRuns() []ci.PipelineRun {
	call := func(id string, kind ci.CallKind, title string, began, ended int, o ci.Outcome, after ...string) ci.PipelineCall {
		c := ci.PipelineCall{ID: id, Kind: kind, Title: title, Line: 3, After: after, Began: ago(began), Done: o != "", Outcome: o}
		if c.Done {
			c.Ended = ago(ended)
		}
		return c
	}
	child := func(c ci.PipelineCall, run int64) ci.PipelineCall {
		c.Run = &ci.RunRef{Job: c.Title, Run: run}
		return c
	}
	asking := []ci.PipelineCall{
		call("0", ci.CallPrint, "releasing 1.4.0 of main", 420, 420, ci.OutcomeSucceeded),
		child(call("1", ci.CallRun, "unit-test", 420, 210, ci.OutcomeSucceeded), 38),
		child(call("2", ci.CallRun, "lint", 420, 380, ci.OutcomeSucceeded), 42),
		child(call("3", ci.CallRun, "integration", 210, 0, "", "1", "2"), 45),
		call("4", ci.CallApprove, "deploy 1.4.0 to production?", 200, 0, "", "1", "2"),
	}
	reused := child(call("0", ci.CallRun, "lint", 4000, 3990, ci.OutcomeSucceeded), 39)
	reused.Reused = true
	rejected := call("2", ci.CallApprove, "deploy 1.3.9 to production?", 3900, 3800, ci.OutcomeFailed, "0", "1")
	rejected.By, rejected.Reason = "alice", "bob says no: the table of prices is missing"
	broken := []ci.PipelineCall{
		reused,
		child(call("1", ci.CallRun, "unit-test", 4000, 3900, ci.OutcomeFailed), 41),
		rejected,
		call("3", ci.CallSleep, "10m", 3800, 3700, ci.OutcomeAborted, "2"),
	}
	broken[1].Reason = "The script exited with status 2."
	run := func(id int64, name string, o ci.Outcome, triggered, done int, calls []ci.PipelineCall) ci.PipelineRun {
		r := ci.PipelineRun{ID: id, Pipeline: name, Version: 3, Status: ci.StatusDone, Outcome: o, TriggeredBy: "alice", Triggered: ago(triggered), Done: ago(done), Parameters: map[string]string{"branch": "main", "version": "1.4.0"}, Calls: calls}
		if o == "" {
			r.Status, r.Done = ci.StatusInProgress, time.Time{}
		}
		return r
	}
	runs := []ci.PipelineRun{run(7, "release", "", 420, 0, asking), run(6, "release", ci.OutcomeFailed, 4000, 3700, broken), run(5, "nightly", ci.OutcomeSucceeded, 30000, 29000, nil), run(4, "release", ci.OutcomeAborted, 90000, 89000, nil)}
	runs[1].Trace = ci.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "")
	runs[1].Reason, runs[1].RerunOf = "unit-test/41 failed: The script exited with status 2.", 4
	return runs
}

func (f *fakeClient) ListPipelines(context.Context) iter.Seq2[ci.Pipeline, error] {
	return seq(f.pipelines, f.err)
}

func (f *fakeClient) GetPipeline(_ context.Context, name string) (*ci.Pipeline, error) {
	for i := range f.pipelines {
		if f.pipelines[i].Name == name {
			return &f.pipelines[i], f.err
		}
	}
	return nil, errors.Join(f.err, ci.Errorf(ci.CodeNotFound, "there is no pipeline %s", name))
}

func (f *fakeClient) ListPipelineRuns(_ context.Context, name string, _ ci.Status, _ ci.Outcome) iter.Seq2[ci.PipelineRun, error] {
	var runs []ci.PipelineRun
	for _, r := range f.pipeRuns {
		if name == "" || r.Pipeline == name {
			r.Calls = nil
			runs = append(runs, r)
		}
	}
	return seq(runs, f.err)
}

func (f *fakeClient) WaitPipelineRuns(ctx context.Context, name string, _ int, since string) (runs []ci.PipelineRun, state string, err error) {
	if since != "" {
		<-ctx.Done() // nothing happens to the sample
		return nil, "", ctx.Err()
	}
	for r, err := range f.ListPipelineRuns(ctx, name, "", "") {
		if err != nil {
			return nil, "", err
		}
		runs = append(runs, r)
	}
	return runs, "as sampled", nil
}

func (f *fakeClient) GetPipelineRun(_ context.Context, name string, id int64) (*ci.PipelineRun, error) {
	for i := range f.pipeRuns {
		if r := f.pipeRuns[i]; r.Pipeline == name && r.ID == id {
			return &r, f.err
		}
	}
	return nil, errors.Join(f.err, ci.Errorf(ci.CodeNotFound, "there is no run %s/%d", name, id))
}

// WaitPipelineRun has nothing to wait for: what happens is a test's doing.
func (f *fakeClient) WaitPipelineRun(context.Context, string, int64, int) (*ci.PipelineRun, error) {
	return nil, context.Canceled
}

func (f *fakeClient) RunPipeline(_ context.Context, name string, parameters map[string]string, _ string) (*ci.PipelineRun, error) {
	f.started = parameters
	return f.begun(name), f.say("start %s", name)
}

func (f *fakeClient) begun(name string) *ci.PipelineRun {
	r := ci.PipelineRun{ID: 8, Pipeline: name, Status: ci.StatusInProgress, TriggeredBy: "bob", Triggered: noon}
	f.pipeRuns = append([]ci.PipelineRun{r}, f.pipeRuns...)
	return &r
}

func (f *fakeClient) RerunPipeline(_ context.Context, name string, id int64, failed bool, _ string) (*ci.PipelineRun, error) {
	return f.begun(name), f.say("rerun %s/%d %t", name, id, failed)
}

func (f *fakeClient) AbortPipelineRun(ctx context.Context, name string, id int64) (*ci.PipelineRun, error) {
	for i := range f.pipeRuns {
		if r := &f.pipeRuns[i]; r.ID == id {
			r.AbortRequestedAt = noon
		}
	}
	if err := f.say("abort pipeline %s/%d", name, id); err != nil {
		return nil, err
	}
	return f.GetPipelineRun(ctx, name, id)
}

func (f *fakeClient) AnswerPipeline(ctx context.Context, name string, id int64, call string, approved bool, note string) (*ci.PipelineRun, error) {
	if err := f.say("answer %s/%d %s %t %s", name, id, call, approved, note); err != nil {
		return nil, err
	}
	for i := range f.pipeRuns {
		for k := range f.pipeRuns[i].Calls {
			if c := &f.pipeRuns[i].Calls[k]; f.pipeRuns[i].ID == id && c.ID == call {
				c.Done, c.Outcome, c.By, c.Ended = true, ci.OutcomeSucceeded, "bob", noon
			}
		}
	}
	return f.GetPipelineRun(ctx, name, id)
}
