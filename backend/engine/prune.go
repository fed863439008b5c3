package engine

import (
	"context"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
)

// prunePage is about how many rows are forgotten in one transaction.
const prunePage = 2000

// prune forgets what is old and small: idempotency keys, events, pins and brief
// tokens that have ended, and agents that are gone. What runs have stored is retainLoop's.
func (e *Engine) prune(ctx context.Context) {
	now := e.Store.Now()
	e.forget(ctx, "idempotency keys", func(ctx context.Context, tx *store.Tx) (int64, error) {
		return tx.PruneIdempotent(ctx, now.Add(-store.IdempotentFor), prunePage)
	})
	e.forget(ctx, "pins", func(ctx context.Context, tx *store.Tx) (int64, error) {
		return tx.PrunePins(ctx, now, prunePage)
	})
	e.forget(ctx, "tokens", func(ctx context.Context, tx *store.Tx) (int64, error) {
		return tx.PruneTokens(ctx, now.Add(-tokensFor), prunePage)
	})
	e.forget(ctx, "events", func(ctx context.Context, tx *store.Tx) (int64, error) {
		return tx.PruneEvents(ctx, now.Add(-eventsFor), prunePage)
	})
	config, err := e.Store.GetConfig(ctx)
	if err != nil {
		e.warn("forget agents", err)
		return
	}
	e.warn("forget agents", e.forgetAgents(ctx, now, config))
}

// forget removes rows a page at a time, each in a transaction of its own: whatever has
// gathered, none lasts, keeps other writers waiting, or goes back as a whole. What is
// left when a round's time is over goes in the next.
func (e *Engine) forget(ctx context.Context, what string, page func(ctx context.Context, tx *store.Tx) (int64, error)) {
	e.part(ctx, "forget "+what, func(ctx context.Context) error {
		for until := time.Now().Add(e.PartFor / 2); ; {
			var n int64
			err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
				n, err = page(ctx, tx)
				return err
			})
			if err != nil || n < prunePage || time.Now().After(until) {
				return err
			}
		}
	})
}

// forgetAgents drops agents that are gone for good, as far as can be known: one
// that comes back after all is listed again with its first heartbeat.
func (e *Engine) forgetAgents(ctx context.Context, now time.Time, config *ci.Config) error {
	if config.AgentRetention == 0 {
		return nil
	}
	silent := time.Duration(config.AgentRetention)
	left := max(min(silent, ci.AgentLeft), e.Lease)
	var ids []string
	err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		ids, err = tx.ForgetAgents(ctx, now.Add(-max(silent, e.Lease)), now.Add(-left))
		return err
	})
	if err == nil && len(ids) > 0 {
		e.Log.Info("agents that are gone are forgotten", "agents", ids, "silent_for", silent, "ended_for", left)
	}
	return err
}
