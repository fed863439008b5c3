package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
)

const (
	// retainer is the lease of retention.
	retainer = "retention"
	// retainLease is how long another cid waits for one that removes and says nothing.
	retainLease = 5 * time.Minute
	// retainShare is the share of the time that looking may take: a round that
	// takes a second is followed by a rest of twenty.
	retainShare = 20
)

// retainLoop removes what is kept no longer. One cid at a time does it, by a
// lease. A round goes on until all is done; whatever ends it, also a kill at
// any point, the next one goes on where it was.
func (e *Engine) retainLoop(ctx context.Context) error {
	for {
		began := time.Now()
		if err := e.Retain(ctx); err != nil && !errors.Is(err, errNotHere) && ctx.Err() == nil {
			e.Log.Warn("retention: a round failed; trying again", "err", err)
		}
		if !sleep(ctx, max(pruneEvery, retainShare*time.Since(began))) {
			e.handOn(ctx)
			return ctx.Err()
		}
	}
}

// handOn lets another cid begin at once when this one stops. What fails is
// waited out.
func (e *Engine) handOn(ctx context.Context) {
	// The process is stopping; the lease is given up all the same, or soon left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := e.Store.Now()
		_, err := tx.TakeLease(ctx, retainer, e.holder, now, now)
		return err
	})
	if err != nil {
		e.Log.Debug("retention: its lease was not given up; it runs out", "err", err)
	}
}

// errNotHere says that another cid does it.
var errNotHere = errors.New("another cid has the lease of retention")

// Retain is one round: it removes all that is kept no longer by the
// configuration and by what jobs say, and empties the trash. When somebody changes
// that meanwhile, it begins anew.
func (e *Engine) Retain(ctx context.Context) error {
	if err := e.retains(ctx); err != nil {
		return err
	}
	for {
		err := e.round(ctx)
		if !errors.Is(err, errChanged) {
			return err
		}
		e.Log.Info("retention: its limits were changed; it begins anew")
	}
}

// errChanged says that the limits are not those any more with which a round began.
var errChanged = errors.New("the limits of retention were changed")

func (e *Engine) round(ctx context.Context) error {
	// What an earlier round has left comes first, whatever the limits are by now.
	err := e.emptyTrash(ctx)
	if counted := e.countStored(ctx); counted != nil {
		return errors.Join(err, counted)
	}
	wanted, readErr := readLimits(ctx, e.Store)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	rules, rulesErr := e.rules(ctx, wanted)
	if rulesErr != nil {
		return errors.Join(err, rulesErr)
	}
	now := e.Store.Now()
	for _, r := range rules {
		none := func(int64) bool { return false }
		if over := e.over(ctx, r, now, none, func(items []ci.Expiry) error { return e.expire(ctx, items, wanted) }); over != nil {
			return errors.Join(err, over)
		}
	}
	return e.emptyTrash(ctx) // which says what can't be removed still
}

// retains takes or keeps the lease of retention.
func (e *Engine) retains(ctx context.Context) error {
	mine := false
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		now := e.Store.Now()
		mine, err = tx.TakeLease(ctx, retainer, e.holder, now.Add(retainLease), now)
		return err
	})
	if err == nil && !mine {
		return errNotHere
	}
	return err
}

// expire removes one page from the database, and then its objects. It stops
// when another cid has the lease by now, and when the limits are not those by
// which the page goes any more: nobody's longer one comes too late but for a page.
func (e *Engine) expire(ctx context.Context, items []ci.Expiry, by limits) error {
	if err := e.retains(ctx); err != nil {
		return err
	}
	var gone []ci.Expiry
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		gone = gone[:0]
		if present, err := readLimits(ctx, tx); err != nil {
			return err
		} else if !present.same(by) {
			return errChanged
		}
		for _, x := range items {
			if x.Kept != "" {
				continue
			}
			done, err := tx.Expire(ctx, x.What, x.Run, prefix(x.What, x.Run), e.Store.Now())
			if err != nil {
				return err
			}
			if done {
				gone = append(gone, x)
			}
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	e.logExpired(gone)
	return e.removeObjects(ctx, gone)
}

// removeObjects removes those of a page, which are in the trash by now. One that
// can't be removed stays there, for the end of the round, and holds up nothing; when
// that is so of all, the object store is away.
func (e *Engine) removeObjects(ctx context.Context, gone []ci.Expiry) error {
	var failed error
	stuck := 0
	for _, x := range gone {
		p := prefix(x.What, x.Run)
		if err := e.Blobs.DeletePrefix(ctx, p); err != nil {
			stuck++
			failed = fmt.Errorf("removing the objects below %s: %w", p, err)
			if ctx.Err() != nil {
				return failed
			}
			continue
		}
		if err := e.emptied(ctx, p); err != nil {
			return err
		}
	}
	if stuck < len(gone) {
		return nil
	}
	return failed
}

// logExpired says what went: one line for each kind of a page.
func (e *Engine) logExpired(gone []ci.Expiry) {
	var plan ci.RetentionPlan
	for _, x := range gone {
		plan.Add(x)
	}
	e.Log.Info("kept no longer", "runs", plan.Runs.Count, "results", plan.Results.Count, "consoles", plan.Console.Count,
		"bytes", plan.Runs.Bytes+plan.Results.Bytes+plan.Console.Bytes, "first", gone[0].RunRef.String(), "why", gone[0].Reason)
}

// prefix is what the keys of a run's objects of one kind begin with.
func prefix(what ci.Kept, run int64) string {
	switch what {
	case ci.KeptResults:
		return fmt.Sprintf("runs/%d/results/", run)
	case ci.KeptConsole:
		return fmt.Sprintf("runs/%d/console/", run)
	}
	return fmt.Sprintf("runs/%d/", run)
}

// emptyTrash removes the objects that nothing refers to any more. One that
// can't be removed now stays in the trash, and keeps none of the others there.
func (e *Engine) emptyTrash(ctx context.Context) error {
	var failed error
	last := ""
	for {
		page, err := e.Store.Trash(ctx, last, keptPage)
		if err != nil || len(page) == 0 {
			return errors.Join(failed, err)
		}
		for _, prefix := range page {
			if err := e.Blobs.DeletePrefix(ctx, prefix); err != nil {
				failed = fmt.Errorf("removing the objects below %s: %w", prefix, err)
				if ctx.Err() != nil {
					return failed
				}
				continue
			}
			if err := e.emptied(ctx, prefix); err != nil {
				return errors.Join(failed, err)
			}
		}
		last = page[len(page)-1]
	}
}

func (e *Engine) emptied(ctx context.Context, prefix string) error {
	return e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.Emptied(ctx, prefix) })
}

// countStored counts what runs have stored that ended before it was counted.
func (e *Engine) countStored(ctx context.Context) error {
	for n := sweepBatch; n == sweepBatch; {
		err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.CountStored(ctx, sweepBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
