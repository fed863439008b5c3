package backend

import (
	"context"
	"time"

	"ci/backend/store"
	"ci/pkg/ci"
)

// records is the store as the API uses it: each writing method is one
// transaction.
type records struct{ *store.Store }

// PutJob creates or replaces a job.
func (r records) PutJob(ctx context.Context, j *ci.Job, ifVersion int64) (created bool, err error) {
	err = r.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		created, err = tx.PutJob(ctx, j, ifVersion)
		return err
	})
	return created, err
}

// DeleteJob removes a job; its runs stay.
func (r records) DeleteJob(ctx context.Context, name string, ifVersion int64) error {
	return r.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteJob(ctx, name, ifVersion) })
}

// SetDrain gives an agent the order to drain, or takes it back.
func (r records) SetDrain(ctx context.Context, agent string, d *ci.Drain) error {
	return r.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.SetDrain(ctx, agent, d) })
}

// PutConfig replaces the configuration.
func (r records) PutConfig(ctx context.Context, c *ci.Config, ifVersion int64) error {
	return r.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.PutConfig(ctx, c, ifVersion) })
}

// PutPin pins a run.
func (r records) PutPin(ctx context.Context, job string, run int64, p ci.Pin, may func(by string) error, now time.Time) error {
	return r.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.PutPin(ctx, job, run, p, may, now) })
}

// DeletePin takes a pin away.
func (r records) DeletePin(ctx context.Context, run int64, name string, may func(by string) error) error {
	return r.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeletePin(ctx, run, name, may) })
}

// PutEventTrigger creates or replaces an event trigger.
func (r records) PutEventTrigger(ctx context.Context, t *ci.EventTrigger, ifVersion int64) (created bool, err error) {
	err = r.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		created, err = tx.PutEventTrigger(ctx, t, ifVersion)
		return err
	})
	return created, err
}

// DeleteEventTrigger removes an event trigger.
func (r records) DeleteEventTrigger(ctx context.Context, name string) error {
	return r.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteEventTrigger(ctx, name) })
}
