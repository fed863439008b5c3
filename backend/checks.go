package backend

import (
	"context"
	"io"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

// Checks is the outbox of what forges are to be told, and the runs that it is
// about, in the words that house gh asks for.
type Checks struct{ b *Backend }

// Checks returns what tells forges of runs.
func (b *Backend) Checks() *Checks { return &Checks{b} }

// dueLimit bounds the asking for checks that are due, since a scrape waits for it.
const dueLimit = 5 * time.Second

// measure shows how far forges are behind: it is above 0 for long when one is
// away, or refuses what it is told.
func (c *Checks) measure(reg *prometheus.Registry) error {
	if reg == nil {
		return nil
	}
	return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ci_checks_due", Help: "Checks and commit statuses that a forge does not show as the run is now.",
	}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), dueLimit) // a scrape has no context
		defer cancel()
		n, err := c.b.Store.DueChecks(ctx)
		if err != nil {
			return math.NaN()
		}
		return float64(n)
	}))
}

// ClaimChecks gives up to limit checks that are due to holder for lease, those
// of forges in skip left out.
func (c *Checks) ClaimChecks(ctx context.Context, holder string, limit int, skip []string, lease time.Duration) (list []ci.Check, err error) {
	if n, err := c.b.Store.DueChecks(ctx); err != nil || n == 0 {
		return nil, err // most of the time: nothing is written
	}
	err = c.b.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		now := c.b.Store.Now()
		list, err = tx.ClaimChecks(ctx, holder, limit, skip, now.Add(lease), now)
		return err
	})
	return list, err
}

// KeepCheck begins holder's lease anew; false says that it was lost.
func (c *Checks) KeepCheck(ctx context.Context, id int64, holder string, lease time.Duration) (mine bool, err error) {
	err = c.b.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		mine, err = tx.KeepCheck(ctx, id, holder, c.b.Store.Now().Add(lease))
		return err
	})
	return mine, err
}

// CheckTold notes what a forge has heard, and lets go.
func (c *Checks) CheckTold(ctx context.Context, n ci.CheckNews) error {
	return c.b.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.CheckTold(ctx, n) })
}

// PostponeCheck lets go of a check for a while.
func (c *Checks) PostponeCheck(ctx context.Context, id int64, holder string, wait time.Duration, refused bool) error {
	return c.b.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		return tx.PostponeCheck(ctx, id, holder, c.b.Store.Now().Add(wait), refused)
	})
}

// DropCheck gives a check up.
func (c *Checks) DropCheck(ctx context.Context, id int64, holder string) error {
	return c.b.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DropCheck(ctx, id, holder) })
}

// WatchChecks returns a channel on which something comes when runs have moved.
func (c *Checks) WatchChecks(ctx context.Context) (<-chan struct{}, error) {
	moved := make(chan struct{}, 1)
	cancel, err := c.b.Queue.Bus().Subscribe("events", func(string, []byte) {
		select {
		case moved <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, cancel)
	return moved, nil
}

// Run returns a run.
func (c *Checks) Run(ctx context.Context, id int64) (*ci.Run, error) {
	return c.b.Store.GetRun(ctx, "", id)
}

// Results returns which results a run has stored.
func (c *Checks) Results(ctx context.Context, run int64) ([]ci.Result, error) {
	return c.b.Store.ListResults(ctx, run)
}

// ReadResult returns a result's bytes. They are in memory, so the caller looks at its size before.
func (c *Checks) ReadResult(ctx context.Context, run int64, name string) ([]byte, error) {
	r, err := c.b.Store.GetResult(ctx, run, name)
	if err != nil {
		return nil, err
	}
	body, err := c.b.Blobs.Get(ctx, engine.ResultKey(run, name), 0, r.Size)
	if err != nil {
		return nil, err
	}
	return readAndClose(body)
}

// ConsoleTail returns the last bytes of a run's console, most at the most.
func (c *Checks) ConsoleTail(ctx context.Context, run, most int64) ([]byte, error) {
	end, err := c.b.Engine.Console().End(ctx, run)
	if err != nil {
		return nil, err
	}
	r, err := c.b.Engine.Console().Reader(ctx, run, max(end-most, 0), end)
	if err != nil {
		return nil, err
	}
	return readAndClose(r)
}

func readAndClose(r io.ReadCloser) ([]byte, error) {
	data, err := io.ReadAll(r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return data, err
}
