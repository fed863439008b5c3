package engine

import (
	"context"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
)

// prune forgets what is old and small: idempotency keys, events, pins and brief
// tokens that have ended, and agents that are gone. What runs have stored is retainLoop's.
func (e *Engine) prune(ctx context.Context) {
	now := e.Store.Now()
	e.warn("forget", e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.PruneIdempotent(ctx, now.Add(-store.IdempotentFor)); err != nil {
			return err
		}
		if err := tx.PrunePins(ctx, now); err != nil {
			return err
		}
		if err := tx.PruneTokens(ctx, now.Add(-tokensFor)); err != nil {
			return err
		}
		return tx.PruneEvents(ctx, now.Add(-eventsFor))
	}))
	config, err := e.Store.GetConfig(ctx)
	if err != nil {
		e.warn("forget agents", err)
		return
	}
	e.warn("forget agents", e.forgetAgents(ctx, now, config))
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
