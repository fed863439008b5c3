package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"ci/backend/store"
	"ci/pkg/ci"
)

// Abort asks for a run's end. A run that no agent holds is done(aborted) in
// the same transaction; else its agent hears of it at once over the bus, and
// with its next lease renewal should that message be lost. Asking again is
// fine while the run is in progress; a done run is ci.CodeConflict.
func (e *Engine) Abort(ctx context.Context, job string, id int64, by string) (*ci.Run, error) {
	var run *ci.Run
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		run, err = e.abort(ctx, tx, job, id, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	e.aborted(ctx, run)
	return run, nil
}

// abort is the part of Abort that becomes true at once.
func (e *Engine) abort(ctx context.Context, tx *store.Tx, job string, id int64, by string) (*ci.Run, error) {
	now := e.Store.Now()
	run, err := tx.RequestAbort(ctx, job, id, now)
	if err != nil {
		return nil, err
	}
	if err := tx.AddEvent(ctx, event(ci.EventRunAbortRequested, run, now)); err != nil || run.Agent != "" {
		return run, err
	}
	end := ci.End{Outcome: ci.OutcomeAborted, Reason: abortReason(run, by), Console: emptyConsole()}
	if run, err = tx.FinishRun(ctx, id, nil, []ci.Phase{ci.PhasePlanning, ci.PhaseQueued}, end, now); err != nil {
		return nil, err
	}
	return run, tx.AddEvent(ctx, event(ci.EventRunDone, run, now))
}

// aborted tells of it: first the agent that holds the run.
func (e *Engine) aborted(ctx context.Context, run *ci.Run) {
	if !run.Done() {
		e.tell(ctx, abortTopic(run.Agent), fmt.Sprint(run.ID))
	}
	e.moved(ctx, run)
}

func abortReason(r *ci.Run, by string) string {
	who := ""
	if by != "" {
		who = " by " + by
	}
	return fmt.Sprintf("Aborted%s while %s; no script had begun.", who, r.Phase)
}

// emptyConsole is the seal of a run that never printed anything.
func emptyConsole() ci.Console {
	sum := sha256.Sum256(nil)
	return ci.Console{SHA256: hex.EncodeToString(sum[:])}
}

// Aborts returns the runs that an agent holds and whose end somebody wants, ascending.
func (e *Engine) Aborts(ctx context.Context, agent string) ([]int64, error) {
	runs, err := e.Store.HeldRuns(ctx, agent, sweepBatch)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for i := range runs {
		if !runs[i].AbortRequestedAt.IsZero() {
			ids = append(ids, runs[i].ID)
		}
	}
	return ids, nil
}
