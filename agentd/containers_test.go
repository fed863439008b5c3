package agentd_test

import (
	"context"
	"errors"
	"fmt"
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

func TestDockerAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, _ *agentd.Config) { r.driver.SetReady(errors.New("Docker does not answer")) })
		id := r.backend.Trigger("small", "print x; sleep 1s")
		after(10 * time.Second)
		require.Equal(t, ci.PhaseQueued, r.phase(id))
		require.Equal(t, "Docker does not answer", r.backend.Agent("a1").Problem)
		require.Equal(t, "Docker does not answer", r.backend.Agent("a1").Refusals["small"])
		r.driver.SetReady(nil)
		after(5 * time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(id))
		require.Empty(t, r.backend.Agent("a1").Problem)

		held := r.backend.Trigger("small", "sleep 1m")
		after(time.Second)
		r.driver.SetReady(errors.New("Docker does not answer"))
		after(20 * time.Second)
		r.driver.SetReady(nil)
		after(20 * time.Second)
		opened, _ := r.driver.Lives()
		require.Equal(t, 1, opened, "opening sweeps; it waits for what runs")
		after(30 * time.Second)
		opened, _ = r.driver.Lives()
		require.Equal(t, 2, opened)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(held))
		r.drained()
		_, closed := r.driver.Lives()
		require.Equal(t, 1, closed)
	})
}

// An engine that ends between two checks costs the runs that were on their way
// to it, and not the whole queue. Then everything is opened again.
func TestDockerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(10 * time.Second)
		r.driver.SetReady(errors.New("Docker does not answer"))
		var ids []int64
		for range 40 {
			ids = append(ids, r.backend.Trigger("small", "print x"))
		}
		count := func(outcome ci.Outcome) (n int) {
			for _, id := range ids {
				if r.outcome(id) == outcome {
					n++
				}
			}
			return n
		}
		after(time.Second)
		lost := count(ci.OutcomeError)
		require.NotZero(t, lost)
		require.LessOrEqual(t, lost, 4, "as many as run at once")
		r.driver.SetReady(nil)
		after(time.Minute)
		require.Equal(t, len(ids)-lost, count(ci.OutcomeSucceeded))
		opened, _ := r.driver.Lives()
		require.Equal(t, 2, opened)
		r.drained()
	})
}

// An engine that was away so long that everything is opened again, and that a
// run's end had told of too, is opened once: the slots stay in use.
func TestDockerEndsAndStaysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(10 * time.Second)
		lost := r.backend.Trigger("small", "sleep 1s; lose")
		after(time.Second / 2)
		r.driver.SetReady(errors.New("Docker does not answer"))
		after(time.Minute)
		require.Equal(t, ci.OutcomeError, r.outcome(lost))
		long := r.backend.Trigger("small", "sleep 2h") // taken as soon as the engine is back
		r.driver.SetReady(nil)
		after(10 * time.Second)
		require.Equal(t, ci.PhaseRunning, r.phase(long))
		next := r.backend.Trigger("small", "print x")
		after(10 * time.Second)
		require.Empty(t, r.backend.Agent("a1").Problem)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(next))
		opened, _ := r.driver.Lives()
		require.Equal(t, 2, opened)
		r.drained()
	})
}

// A run that ends by an engine that is only slow takes nothing away from the
// others: nothing is opened again, so nothing waits for their end.
func TestDockerIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(10 * time.Second)
		long, lost := r.backend.Trigger("small", "sleep 2h"), r.backend.Trigger("small", "sleep 1s; lose")
		after(time.Second / 2)
		r.driver.SetReady(fmt.Errorf("a ping was not answered in time: %w", context.DeadlineExceeded))
		after(2 * time.Second)
		require.Equal(t, ci.OutcomeError, r.outcome(lost))
		require.Contains(t, r.backend.Agent("a1").Problem, "not answered in time", "nothing is taken meanwhile")
		r.driver.SetReady(nil)
		after(10 * time.Second)
		require.Empty(t, r.backend.Agent("a1").Problem)
		next := r.backend.Trigger("small", "print x")
		after(time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(next))
		require.Equal(t, ci.PhaseRunning, r.phase(long))
		opened, _ := r.driver.Lives()
		require.Equal(t, 1, opened)
		r.drained()
	})
}
