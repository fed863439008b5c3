package engine

import (
	"context"

	"ci/backend/store"
	"ci/pkg/ci"
)

// chunks is the console's index. With a claim, a chunk is only added while the
// claim holds, checked in the same transaction: what a frozen agent sends
// after its run was lost can't change a sealed console.
type chunks struct {
	*store.Store
	claim *ci.Claim
	// checked is set once the claim was found to hold; nil when nobody asks.
	checked *bool
}

// AddChunk adds the index entry of a stored piece.
func (c chunks) AddChunk(ctx context.Context, ch ci.Chunk) error {
	return c.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		if c.claim != nil {
			if err := tx.HoldRun(ctx, *c.claim); err != nil {
				return err
			}
			if c.checked != nil {
				*c.checked = true
			}
		}
		return tx.AddChunk(ctx, ch)
	})
}
