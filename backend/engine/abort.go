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
		now := e.Store.Now()
		if run, err = tx.RequestAbort(ctx, job, id, now); err != nil {
			return err
		}
		if err := tx.AddEvent(ctx, event(ci.EventRunAbortRequested, run, now)); err != nil {
			return err
		}
		if run.Agent != "" {
			return nil
		}
		end := ci.End{Outcome: ci.OutcomeAborted, Reason: abortReason(run, by), Console: emptyConsole()}
		if run, err = tx.FinishRun(ctx, id, nil, []ci.Phase{ci.PhasePlanning, ci.PhaseQueued}, end, now); err != nil {
			return err
		}
		return tx.AddEvent(ctx, event(ci.EventRunDone, run, now))
	})
	if err != nil {
		return nil, err
	}
	if !run.Done() {
		e.tell(ctx, abortTopic(run.Agent), fmt.Sprint(run.ID))
	}
	e.moved(ctx, run)
	return run, nil
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
