package engine

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/backend/console"
	"ci/backend/store"
	"ci/pkg/ci"
)

const (
	// beside is how many runs of agents that are gone are ended beside each other.
	beside = 8
	// countAgain is how often a console is counted on that grows while its run is ended.
	countAgain = 5
)

// Finish ends a run for its agent. Repeating it is safe; a run that was ended
// by somebody else meanwhile is ci.CodeConflict.
func (e *Engine) Finish(ctx context.Context, c ci.Claim, end ci.End) error {
	err := e.end(ctx, ending{run: c.Run, claim: &c}, end)
	if ci.CodeOf(err) != ci.CodeConflict {
		return err
	}
	run, readErr := e.Store.GetRun(ctx, "", c.Run)
	if readErr == nil && run.Done() && run.Claim == c.ID && run.Agent == c.Agent && run.Outcome == end.Outcome {
		return nil // our own earlier call, whose answer was lost
	}
	return err
}

// ending says which run ends, and on what conditions.
type ending struct {
	run   int64
	claim *ci.Claim
	from  []ci.Phase
	// still is asked, in the transaction that ends the run, whether there is
	// still reason to. It may be nil.
	still func(ctx context.Context, tx *store.Tx) error
	// countUntil is when to give up reading a console for its hash; the zero time gives it Config.CountFor.
	countUntil time.Time
}

// end moves a run to done, with its event, and tells everybody.
//
// A console whose end brings no hash is read here, from wherever its pieces are,
// in bounded time: a run whose agent is gone must end although the object store
// is away or has lost a piece. Its console then has all bytes that the index
// says, and no hash.
func (e *Engine) end(ctx context.Context, x ending, end ci.End) error {
	sealed := end.Console.SHA256 != ""
	if x.countUntil.IsZero() {
		x.countUntil = time.Now().Add(e.CountFor)
	}
	var run *ci.Run
	var tally console.Tally
	for try := 1; ; try++ {
		if !sealed {
			counted, err := e.count(ctx, x, &tally)
			if err != nil {
				return err
			}
			if try > countAgain {
				counted.SHA256 = ""
			}
			end.Console = counted
		}
		stored := int64(0)
		var err error
		if run, stored, err = e.finish(ctx, x, end); err != nil {
			return err
		}
		if run != nil {
			break
		}
		if sealed {
			return ci.Errorf(ci.CodeInvalid, "run %d: the console has %d bytes stored, its agent says %d", x.run, stored, end.Console.Bytes)
		}
	}
	e.Log.Info("run done", "run", run.ID, "job", run.Job, "outcome", run.Outcome, "agent", run.Agent)
	e.moved(ctx, run)
	return nil
}

// count goes on with a tally of the console. Without a hash: it can't be had.
func (e *Engine) count(ctx context.Context, x ending, t *console.Tally) (ci.Console, error) {
	limited, cancel := context.WithDeadline(ctx, x.countUntil)
	defer cancel()
	counted, err := e.console.Count(limited, x.run, t)
	if ctx.Err() != nil {
		return counted, ctx.Err()
	}
	if err != nil {
		e.Log.Warn("the console of a run can't be read; it is sealed without a hash", "run", x.run, "err", err)
	}
	return counted, nil
}

// finish is the transaction. It returns no run when the console's bytes are not
// those of end, and how many are stored.
func (e *Engine) finish(ctx context.Context, x ending, end ci.End) (run *ci.Run, stored int64, err error) {
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		// Nobody appends from here on, and who did before has committed.
		if err := tx.LockRun(ctx, x.run); err != nil {
			return err
		}
		if x.still != nil {
			if err := x.still(ctx, tx); err != nil {
				return err
			}
		}
		if stored, err = tx.ConsoleEnd(ctx, x.run); err != nil {
			return err
		}
		if end.Console.SHA256 == "" {
			end.Console.Bytes = stored
		}
		now := e.Store.Now()
		if run, err = tx.FinishRun(ctx, x.run, x.claim, x.from, end, now); err != nil {
			return err
		}
		if stored != end.Console.Bytes {
			return errOtherBytes
		}
		return tx.AddEvent(ctx, event(ci.EventRunDone, run, now))
	})
	if errors.Is(err, errOtherBytes) {
		return nil, stored, nil
	}
	return run, stored, err
}

// errOtherBytes takes back an end that does not fit the console.
var errOtherBytes = ci.Errorf(ci.CodeInternal, "the console has other bytes than its seal says")

// eachRun does something for each of many runs, beside each other, since each
// may wait for the object store.
func eachRun(runs []ci.Run, do func(r *ci.Run)) {
	var g errgroup.Group
	g.SetLimit(beside)
	for i := range runs {
		g.Go(func() error { do(&runs[i]); return nil })
	}
	_ = g.Wait() // none returns an error
}
