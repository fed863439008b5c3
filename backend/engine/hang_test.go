package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/queue"
	"ci/pkg/ci"
)

// silentQueue never answers what the sweeper asks.
type silentQueue struct{ queue.Queue }

func (silentQueue) Depth(ctx context.Context) (map[ci.Lane]int, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silentQueue) Publish(ctx context.Context, _ []queue.Message) error {
	<-ctx.Done()
	return ctx.Err()
}

// No part of the sweeper's round waits for ever: runs are planned and lost all the same.
func TestNoPartOfASweepWaitsForEver(t *testing.T) {
	w := setup(t, func(c *engine.Config) {
		c.Queue, c.Lease, c.PartFor = silentQueue{c.Queue}, time.Millisecond, 100*time.Millisecond
	})
	w.freestyle()
	w.git()
	c := w.held("a", []byte("x"))
	id := w.unplanned()
	w.loops()
	require.Equal(t, ci.OutcomeLost, w.wait(c.Run, ci.UntilDone).Outcome)
	require.Equal(t, ci.PhaseQueued, w.wait(id, ci.UntilPlanned).Phase)
}
