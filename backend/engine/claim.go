package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
)

// deadlineMargin is how much longer than a run's own time a cid waits before
// it ends the run itself: its agent, who has the clock, should be first.
const deadlineMargin = time.Minute

// Claim gives a queued run to one agent. Who comes second gets
// ci.CodeConflict. The same claim again succeeds again, so a lost answer
// costs nothing. ci.ErrUnclaimed is in the chain of what fails before the run is asked for.
func (e *Engine) Claim(ctx context.Context, c ci.Claim) (*ci.Work, error) {
	queued, err := e.Store.GetRun(ctx, "", c.Run)
	if err != nil {
		return nil, ci.Unclaimed(err)
	}
	if queued.Spec == nil {
		return nil, ci.Errorf(ci.CodeConflict, "run %d is not planned yet", c.Run)
	}
	config, err := e.Store.GetConfig(ctx)
	if err != nil {
		return nil, ci.Unclaimed(err)
	}
	timeout, grace := config.TimeoutOf(queued.Spec), config.GraceOf(queued.Spec)
	bearer, hash := runToken(queued)
	work := &ci.Work{
		Timeout: timeout, AbortGrace: grace, URL: e.runURL(queued), Token: bearer,
		MaxConsole: config.MaxConsole, MaxResult: config.MaxResult, MaxResultFiles: config.MaxResultFiles,
	}
	refused, err := e.prepareAccess(ctx, queued, c, work)
	if err != nil {
		return nil, ci.Unclaimed(err)
	}
	var run *ci.Run
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		now := e.Store.Now()
		if run, err = tx.ClaimRun(ctx, c, now.Add(e.Lease), now.Add(timeout+grace+deadlineMargin), now); err != nil {
			return err
		}
		if err := recordToken(ctx, tx, c, hash); err != nil {
			return err
		}
		if !run.Times.Claimed.Equal(now) {
			return nil // it was claimed, and told of, by the call whose answer was lost
		}
		return tx.AddEvent(ctx, event(ci.EventRunPreparing, run, now))
	})
	if err != nil {
		return nil, err
	}
	e.waiting.forget(c.Run)
	e.moved(ctx, run)
	if refused != nil {
		return nil, e.refuse(ctx, c, *refused)
	}
	work.Run = *run
	return work, nil
}

func (e *Engine) runURL(r *ci.Run) string {
	return fmt.Sprintf("%s/jobs/%s/runs/%d", strings.TrimSuffix(e.URL, "/"), r.Job, r.ID)
}

// Renew prolongs all of an agent's leases in one statement and says of each
// claim what has become of it.
func (e *Engine) Renew(ctx context.Context, agent string, claims []ci.Claim) (verdicts []ci.Verdict, err error) {
	if len(claims) == 0 {
		return nil, nil
	}
	err = e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		verdicts, err = tx.RenewRuns(ctx, agent, claims, e.Store.Now().Add(e.Lease))
		return err
	})
	return verdicts, err
}

// Heartbeat records how an agent describes itself, and returns the order to
// drain, if there is one.
func (e *Engine) Heartbeat(ctx context.Context, a ci.Agent) (*ci.Drain, error) {
	a.SeenAt = e.Store.Now()
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.PutAgent(ctx, &a) })
	if err != nil {
		return nil, err
	}
	return e.Store.GetDrain(ctx, a.ID)
}
