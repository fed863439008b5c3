package engine

import (
	"context"

	"ci/backend/store"
	"ci/pkg/ci"
)

// Finish ends a run for its agent. Repeating it is safe; a run that was ended
// by somebody else meanwhile is ci.CodeConflict.
func (e *Engine) Finish(ctx context.Context, c ci.Claim, end ci.End) error {
	stored, err := e.Store.ConsoleEnd(ctx, c.Run)
	if err != nil {
		return err
	}
	if stored != end.Console.Bytes {
		if err := e.holds(ctx, c); err != nil {
			return err // to whom the run is lost, its console does not matter
		}
		return ci.Errorf(ci.CodeInvalid, "run %d: the console has %d bytes stored, its agent says %d", c.Run, stored, end.Console.Bytes)
	}
	err = e.end(ctx, c.Run, &c, nil, end, nil)
	if ci.CodeOf(err) != ci.CodeConflict {
		return err
	}
	run, readErr := e.Store.GetRun(ctx, "", c.Run)
	if readErr == nil && run.Done() && run.Claim == c.ID && run.Agent == c.Agent && run.Outcome == end.Outcome {
		return nil // our own earlier call, whose answer was lost
	}
	return err
}

// still is asked, in the transaction that ends a run, whether there is still reason to.
type still func(ctx context.Context, tx *store.Tx) error

// end moves a run to done, with its event, and tells everybody. yes may be nil.
func (e *Engine) end(ctx context.Context, id int64, c *ci.Claim, from []ci.Phase, end ci.End, yes still) error {
	if end.Console.SHA256 == "" {
		sum, err := e.console.Sum(ctx, id)
		if err != nil {
			return err
		}
		end.Console = sum
	}
	var run *ci.Run
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if yes != nil {
			if err := yes(ctx, tx); err != nil {
				return err
			}
		}
		now := e.Store.Now()
		if run, err = tx.FinishRun(ctx, id, c, from, end, now); err != nil {
			return err
		}
		return tx.AddEvent(ctx, event(ci.EventRunDone, run, now))
	})
	if err != nil {
		return err
	}
	e.Log.Info("run done", "run", run.ID, "job", run.Job, "outcome", run.Outcome, "agent", run.Agent)
	e.moved(ctx, run)
	return nil
}
