package engine

import (
	"context"
	"fmt"
	"time"

	"ci/backend/store"
)

// prune forgets what is old: idempotency keys, events, and done runs past the
// configured retention, objects first so that no row is left without them.
func (e *Engine) prune(ctx context.Context) {
	now := e.Store.Now()
	e.warn("forget", e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.PruneIdempotent(ctx, now.Add(-store.IdempotentFor)); err != nil {
			return err
		}
		return tx.PruneEvents(ctx, now.Add(-eventsFor))
	}))
	e.warn("retention", e.retain(ctx, now))
}

func (e *Engine) retain(ctx context.Context, now time.Time) error {
	config, err := e.Store.GetConfig(ctx)
	if err != nil || config.Retention == 0 {
		return err
	}
	runs, err := e.Store.DoneBefore(ctx, now.Add(-time.Duration(config.Retention)), sweepBatch)
	for i := range runs {
		id := runs[i].ID
		if err := e.Blobs.DeletePrefix(ctx, fmt.Sprintf("runs/%d/", id)); err != nil {
			return err
		}
		err := e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRun(ctx, id) })
		if err != nil {
			return err
		}
	}
	return err
}
