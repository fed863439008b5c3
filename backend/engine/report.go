package engine

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
)

// Started says that the script begins. An agent waits for the answer before it
// lets it, so a run that is not marked as started never was.
func (e *Engine) Started(ctx context.Context, c ci.Claim) error {
	return e.report(ctx, c, ci.EventRunRunning, func(ctx context.Context, tx *store.Tx, at time.Time) (*ci.Run, error) {
		return tx.StartRun(ctx, c, at)
	})
}

// Collecting says that the script has ended.
func (e *Engine) Collecting(ctx context.Context, c ci.Claim, exitCode *int) error {
	return e.report(ctx, c, ci.EventRunCollecting, func(ctx context.Context, tx *store.Tx, at time.Time) (*ci.Run, error) {
		return tx.CollectRun(ctx, c, exitCode, at)
	})
}

func (e *Engine) report(ctx context.Context, c ci.Claim, t ci.EventType, move func(context.Context, *store.Tx, time.Time) (*ci.Run, error)) error {
	var run *ci.Run
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		now := e.Store.Now()
		if run, err = move(ctx, tx, now); err != nil {
			return err
		}
		return tx.AddEvent(ctx, event(t, run, now))
	})
	if ci.CodeOf(err) == ci.CodeConflict {
		return e.repeated(ctx, c, t, err)
	}
	if err != nil {
		return err
	}
	e.moved(ctx, run)
	return nil
}

// repeated turns the conflict of a call that had succeeded before, but whose
// answer was lost, into success.
func (e *Engine) repeated(ctx context.Context, c ci.Claim, t ci.EventType, conflict error) error {
	run, err := e.Store.GetRun(ctx, "", c.Run)
	if err != nil {
		return err
	}
	there := map[ci.EventType]ci.Phase{ci.EventRunRunning: ci.PhaseRunning, ci.EventRunCollecting: ci.PhaseCollecting}[t]
	if run.Claim == c.ID && run.Agent == c.Agent && !run.Done() && run.Phase == there {
		return nil
	}
	return conflict
}

// AppendConsole stores output at a byte offset and wakes those who follow it.
func (e *Engine) AppendConsole(ctx context.Context, c ci.Claim, offset int64, data []byte) (next int64, err error) {
	guarded := chunks{Store: e.Store, claim: &c, checked: new(bool)}
	next, err = e.console.With(guarded).Append(ctx, c.Run, offset, data)
	if err == nil && !*guarded.checked { // all of it was there already
		err = e.holds(ctx, c)
	}
	if err == nil {
		e.tell(ctx, topic("console", c.Run), strconv.FormatInt(next, 10))
	}
	return next, err
}

// PutResult stores one result's bytes, then its row. Bytes whose row was
// refused are removed again. Where nobody can tell whether it was, since the
// database is away, they go when the run does.
func (e *Engine) PutResult(ctx context.Context, c ci.Claim, r ci.Result, body io.Reader) (ci.Result, error) {
	if err := ci.ValidateName(r.Name); err != nil {
		return r, err
	}
	if err := e.holds(ctx, c); err != nil {
		return r, err
	}
	info, err := e.Blobs.Put(ctx, ResultKey(c.Run, r.Name), body)
	if err != nil {
		return r, err
	}
	r.Run, r.Size, r.SHA256, r.CreatedAt = c.Run, info.Size, info.SHA256, e.Store.Now()
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.HoldRun(ctx, c); err != nil {
			return err
		}
		return tx.PutResult(ctx, r)
	})
	if code := ci.CodeOf(err); code == ci.CodeConflict || code == ci.CodeNotFound {
		e.removeLate(ctx, r)
	}
	return r, err
}

// removeLate removes the object of a result whose run ended, or went, while it
// was uploaded. A done run gets no more rows, so an object without one is nobody's.
func (e *Engine) removeLate(ctx context.Context, r ci.Result) {
	// The run's agent may have hung up already; within bounds it is done all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	named := false // by the row of an earlier call for the same bytes, whose answer was lost
	// In the writers' line: that row may be in a commit which is not done, where no reader sees it yet.
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.GetResult(ctx, r.Run, r.Name)
		if named = err == nil; ci.CodeOf(err) == ci.CodeNotFound {
			return nil
		}
		return err
	})
	if err == nil && !named {
		err = e.Blobs.Delete(ctx, ResultKey(r.Run, r.Name))
	}
	if err != nil {
		e.Log.Warn("an object that nothing refers to stays until its run goes", "run", r.Run, "key", ResultKey(r.Run, r.Name), "err", err)
	}
}

func (e *Engine) holds(ctx context.Context, c ci.Claim) error {
	return e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.HoldRun(ctx, c) })
}

// ResultKey is the object that holds a result's bytes.
func ResultKey(run int64, name string) string { return fmt.Sprintf("runs/%d/results/%s", run, name) }
