package backend

import (
	"context"
	"time"

	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

// Forges is what is known of forges, with what opens them.
type Forges interface {
	// Forge returns a forge with what opens it, or ci.CodeNotFound.
	Forge(ctx context.Context, name string) (*ci.ForgeAccess, error)
	// List returns all forges by name.
	List(ctx context.Context) ([]ci.Forge, error)
}

// Hooks is what the backend remembers of forges and their deliveries, for the
// module that speaks with forges. Each writing method is one transaction.
type Hooks struct {
	*store.Store
	engine  *engine.Engine
	secrets *Secrets
}

// Hooks returns what that module needs.
func (b *Backend) Hooks() Hooks { return Hooks{b.Store, b.Engine, b.Secrets} }

// Forge returns a forge with what opens it, or ci.CodeNotFound.
func (h Hooks) Forge(ctx context.Context, name string) (*ci.ForgeAccess, error) {
	return h.secrets.Forges.Forge(ctx, name)
}

// AddWebhook records a delivery; fresh is false for one that was recorded before.
func (h Hooks) AddWebhook(ctx context.Context, w *ci.Webhook) (fresh bool, err error) {
	err = h.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		fresh, err = tx.AddWebhook(ctx, w)
		return err
	})
	return fresh, err
}

// HoldWebhooks gives holder up to n deliveries that are due, for a time.
func (h Hooks) HoldWebhooks(ctx context.Context, holder string, n int, d time.Duration) (list []ci.Webhook, err error) {
	if due, err := h.DueWebhooks(ctx, h.Now()); !due || err != nil {
		return nil, err // nothing to write
	}
	err = h.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		now := h.Now()
		list, err = tx.HoldWebhooks(ctx, holder, n, now.Add(d), now)
		return err
	})
	return list, err
}

// KeepWebhooks prolongs what holder holds.
func (h Hooks) KeepWebhooks(ctx context.Context, holder string, d time.Duration) error {
	return h.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		now := h.Now()
		return tx.KeepWebhooks(ctx, holder, now.Add(d), now)
	})
}

// DeferWebhook gives a delivery back for some time, with the reason.
func (h Hooks) DeferWebhook(ctx context.Context, seq int64, holder, note string, d time.Duration) error {
	return h.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		return tx.DeferWebhook(ctx, seq, holder, note, h.Now().Add(d))
	})
}

// SettleWebhook makes all that comes of a delivery true at once.
func (h Hooks) SettleWebhook(ctx context.Context, s ci.Settlement) ([]ci.RunRef, error) {
	return h.engine.SettleWebhook(ctx, s)
}

// PruneWebhooks forgets the settled deliveries that are older than d.
func (h Hooks) PruneWebhooks(ctx context.Context, d time.Duration) error {
	return h.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.PruneWebhooks(ctx, h.Now().Add(-d)) })
}

// Leads says whether holder is the one process that does something, for a time.
func (h Hooks) Leads(ctx context.Context, what, holder string, d time.Duration) (mine bool, err error) {
	err = h.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		now := h.Now()
		mine, err = tx.TakeLease(ctx, what, holder, now.Add(d), now)
		return err
	})
	return mine, err
}
