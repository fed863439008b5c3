package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
	"ci/pkg/replay"
)

const (
	// atOnce is how many calls of one run are carried out at once.
	atOnce = 8
	// keysLast is how long the API surely remembers an Idempotency-Key: a day, less
	// an hour for clocks that differ.
	keysLast = 23 * time.Hour
)

// settle looks at calls that were carried out, carries out those that were not,
// and records what came of them. news says that the program may go on, or that
// there is something that is worth another look at once. What has ended is known
// to the program before anything more is triggered: it may be over by that.
func (t *turn) settle(ctx context.Context) (news bool, err error) {
	calls := slices.Clone(t.Calls)
	save, failed := t.settleEach(ctx, calls, func(c *ci.PipelineCall) bool { return !c.Done && !unbegun(c) })
	if len(save) == 0 {
		// Also when one of those could not be settled: that is no reason for others to wait.
		var stuck error
		switch save, stuck = t.settleEach(ctx, calls, unbegun); {
		case failed == nil:
			failed = stuck
		case stuck != nil:
			failed = fmt.Errorf("%w; %w", failed, stuck)
		}
	}
	if len(save) == 0 {
		return false, failed
	}
	// What was done is recorded also when something else failed.
	if err := t.Journal.Save(ctx, t.Work, nil, save, t.until()); err != nil {
		return false, err
	}
	t.Calls = calls
	return true, failed
}

// unbegun says whether a call is for a run that is not known to be triggered.
func unbegun(c *ci.PipelineCall) bool { return !c.Done && c.Kind == ci.CallRun && c.Run == nil }

// settleEach settles some of the calls beside each other, and returns those of
// which more is known now.
func (t *turn) settleEach(ctx context.Context, calls []ci.PipelineCall, which func(*ci.PipelineCall) bool) (save []ci.PipelineCall, err error) {
	now := t.now()
	changed := make([]bool, len(calls))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range calls {
		if !which(&calls[i]) {
			continue
		}
		g.Go(func() (err error) {
			changed[i], err = t.settleOne(ctx, &calls[i], now)
			return err
		})
	}
	err = g.Wait()
	for i := range calls {
		if changed[i] {
			save = append(save, calls[i])
		}
	}
	return save, err
}

// settleOne does what a call is for, or sees whether it is done. changed says
// that c holds something new. An error is one of the API that goes away.
func (t *turn) settleOne(ctx context.Context, c *ci.PipelineCall, now time.Time) (changed bool, err error) {
	ending := t.Ending != nil
	switch {
	case unbegun(c):
		return t.begin(ctx, c, now)
	case c.Kind == ci.CallRun && ending && !t.wasAborted(c.ID):
		if err := t.abort(ctx, c.Run); err != nil {
			return false, err
		}
		return t.observe(ctx, c)
	case c.Kind == ci.CallRun:
		return t.observe(ctx, c)
	case c.Kind == ci.CallAbort:
		return t.abortChild(ctx, c, now)
	case ending:
		return t.finish(c, now, ci.OutcomeAborted, "the pipeline ended before", nil)
	case c.Kind == ci.CallSleep:
		if now.Before(deadline(c)) {
			return false, nil
		}
		return t.finish(c, now, ci.OutcomeSucceeded, "", nil)
	case c.Kind == ci.CallApprove:
		if at := deadline(c); at.IsZero() || now.Before(at) {
			return false, nil
		}
		return t.finish(c, now, ci.OutcomeFailed, "nobody answered in time", replay.AnswerValue{At: now})
	case c.Kind == ci.CallResult:
		return t.fetch(ctx, c, now)
	}
	return false, ci.Errorf(ci.CodeInternal, "call %s of run %d is of kind %q, which this program does not know; a newer one has begun it", c.ID, t.ID, c.Kind)
}

// finish ends a call with a value.
func (t *turn) finish(c *ci.PipelineCall, at time.Time, outcome ci.Outcome, reason string, value any) (bool, error) {
	if value != nil {
		encoded, err := json.Marshal(value)
		if err != nil {
			return false, err
		}
		c.Value = encoded
	}
	c.Done, c.Outcome, c.Reason, c.Ended = true, outcome, reason, at
	return true, nil
}

// begin triggers a run, once, or sees to it that none is triggered any more when
// the pipeline is ending. A key that may be forgotten by now is not used again.
func (t *turn) begin(ctx context.Context, c *ci.PipelineCall, now time.Time) (bool, error) {
	var a replay.RunArgs
	if err := json.Unmarshal(c.Args, &a); err != nil {
		return false, err
	}
	none := func(outcome ci.Outcome, reason string) (bool, error) {
		return t.finish(c, now, outcome, reason, replay.RunValue{Outcome: outcome, Reason: reason})
	}
	if now.Sub(c.Began) > keysLast {
		return none(ci.OutcomeError, fmt.Sprintf("since %s the API has not said whether it was triggered; look for it among the runs of %s, then run the pipeline again", c.Began.Format(time.RFC3339), a.Job))
	}
	act, verb := t.trigger, "triggering"
	if t.Ending != nil {
		act, verb = t.withdraw, "withdrawing"
	}
	run, err := act(ctx, &a, keyOf(t.Key, c.ID))
	switch {
	case refused(err):
		return none(ci.OutcomeError, err.Error())
	case err != nil:
		return false, fmt.Errorf("%s %s: %w", verb, a.Job, err)
	case run == nil:
		return none(ci.OutcomeAborted, "the pipeline ended before it was triggered")
	}
	child := &ci.RunRef{Job: run.Job, Run: run.ID}
	if err := t.pin(ctx, t.Pipeline, t.Key, child); err != nil {
		return false, fmt.Errorf("pinning %s: %w", child, err)
	}
	c.Run = child
	c.Value, err = json.Marshal(replay.RunValue{ID: run.ID})
	return true, err
}

// trigger returns the run of a key, which a repeated trigger does not make again.
func (t *turn) trigger(ctx context.Context, a *replay.RunArgs, key string) (*ci.Run, error) {
	return t.API.Trigger(ctx, ci.Trigger{
		Job: a.Job, BranchName: a.Branch, CommitSHA: a.Commit, Parameters: a.Parameters, Priority: a.Priority, IdempotencyKey: key, Trace: t.OwnTrace(),
	})
}

// withdraw returns the run that a trigger has made whose answer was lost, or nil:
// then none is made any more.
func (t *turn) withdraw(ctx context.Context, a *replay.RunArgs, key string) (*ci.Run, error) {
	return t.API.Withdraw(ctx, a.Job, key)
}

// keyOf is the Idempotency-Key of a call. The id of one in many functions within
// each other is longer than a key may be; then a digest stands for it.
func keyOf(run, call string) string {
	if key := run + "/" + call; len(key) <= ci.MaxIdempotencyKey {
		return key
	}
	return fmt.Sprintf("%s/%x", run, sha256.Sum256([]byte(call)))
}

// refused says whether the API will say no as often as one asks.
func refused(err error) bool {
	switch ci.CodeOf(err) {
	case ci.CodeInvalid, ci.CodeForbidden, ci.CodeNotFound, ci.CodeExpired, ci.CodeConflict, ci.CodeMismatch, ci.CodeTooLarge:
		return true
	}
	return false
}

// observe sees whether a run has ended.
func (t *turn) observe(ctx context.Context, c *ci.PipelineCall) (bool, error) {
	run, err := t.API.GetRun(ctx, c.Run.Job, c.Run.Run)
	if ci.CodeOf(err) == ci.CodeNotFound {
		reason := "it was deleted before its end was seen"
		return t.finish(c, t.now(), ci.OutcomeError, reason, replay.RunValue{ID: c.Run.Run, Outcome: ci.OutcomeError, Reason: reason})
	}
	if err != nil {
		return false, fmt.Errorf("looking at %s: %w", c.Run, err)
	}
	if !run.Done() {
		return false, nil
	}
	return t.finish(c, run.Times.Done, run.Outcome, run.Reason, replay.RunValue{
		ID: run.ID, Outcome: run.Outcome, Reason: run.Reason, ExitCode: run.ExitCode, Commit: run.CommitSHA, Branch: run.BranchName,
	})
}

func (t *turn) wasAborted(id string) bool {
	for i := range t.Calls {
		if c := &t.Calls[i]; c.Kind == ci.CallAbort && c.Done {
			var a replay.AbortArgs
			if json.Unmarshal(c.Args, &a) == nil && a.Run == id {
				return true
			}
		}
	}
	return false
}

// abort asks for a run's end. One that is done, or gone, needs no end.
func (t *turn) abort(ctx context.Context, ref *ci.RunRef) error {
	_, err := t.API.Abort(ctx, ref.Job, ref.Run)
	if code := ci.CodeOf(err); code == ci.CodeConflict || code == ci.CodeNotFound {
		return nil
	}
	return err
}

// abortChild does what abort() is for. A run that is not triggered yet comes first.
func (t *turn) abortChild(ctx context.Context, c *ci.PipelineCall, now time.Time) (bool, error) {
	var a replay.AbortArgs
	if err := json.Unmarshal(c.Args, &a); err != nil {
		return false, err
	}
	i := slices.IndexFunc(t.Calls, func(other ci.PipelineCall) bool { return other.ID == a.Run })
	switch {
	case i < 0 || t.Calls[i].Done:
	case t.Calls[i].Run == nil:
		return false, nil
	default:
		if err := t.abort(ctx, t.Calls[i].Run); err != nil {
			return false, err
		}
	}
	return t.finish(c, now, ci.OutcomeSucceeded, "", nil)
}
