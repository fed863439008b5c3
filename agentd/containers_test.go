package agentd_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/agentd/fake"
	"ci/agentd/runner"
	"ci/pkg/ci"
)

// slowSweep is a driver whose engine hangs while leftovers are looked for.
type slowSweep struct {
	*fake.Driver
	t *testing.T

	mu       sync.Mutex
	sweeping bool
	live     []int64
	hung     int
}

// Sweep implements runner.Driver.
func (d *slowSweep) Sweep(ctx context.Context, live []int64) (int, error) {
	d.mu.Lock()
	d.sweeping, d.live = true, live
	d.hung++
	d.mu.Unlock()
	<-ctx.Done()
	_, _ = d.Driver.Sweep(context.WithoutCancel(ctx), live) // the engine comes to it at last
	d.mu.Lock()
	d.sweeping = false
	d.mu.Unlock()
	return 0, ctx.Err()
}

// Prepare implements runner.Driver.
func (d *slowSweep) Prepare(ctx context.Context, o runner.Order, console io.Writer) (runner.Box, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sweeping && !slices.Contains(d.live, o.Run) {
		d.t.Errorf("run %d begins while leftovers are swept, which would take it for one", o.Run)
	}
	return d.Driver.Prepare(ctx, o, console)
}

// A run that is claimed while leftovers are swept, by an engine that hangs,
// waits for that and keeps its lease; it can be aborted as any other.
func TestClaimedWhileSweeping(t *testing.T) {
	t.Parallel()
	for _, aborted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := &slowSweep{Driver: fake.NewDriver(), t: t}
			r := start(t, func(_ *rig, c *agentd.Config) { c.Driver = d })
			after(time.Minute + time.Second)
			require.Equal(t, 1, d.hung)
			ids := []int64{r.backend.Trigger("small", "print x"), r.backend.Trigger("small", "print x")}
			after(time.Second)
			require.Equal(t, ids, r.backend.Agent("a1").Runs, "the agent knows of them")
			if aborted {
				r.backend.Abort(ids[0], true)
			}
			after(time.Minute)
			want := map[bool]ci.Outcome{false: ci.OutcomeSucceeded, true: ci.OutcomeAborted}[aborted]
			require.Equal(t, want, r.outcome(ids[0]), r.backend.Get(ids[0]).Run.Reason)
			require.Equal(t, ci.OutcomeSucceeded, r.outcome(ids[1]), r.backend.Get(ids[1]).Run.Reason)
			r.drained()
		})
	}
}
