package agentd_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/pkg/ci"
)

// A neighbour's load keeps runs out and says so; they start when it is gone.
func TestLoadedMachine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		r.machine.set(func(m *machine) { m.load = 1 })
		after(30 * time.Second)
		id := r.backend.Trigger("small", "print x")
		after(10 * time.Second)
		require.Equal(t, ci.PhaseQueued, r.phase(id))
		require.Contains(t, r.backend.Agent("a1").Refusals["small"], "the CPU load is 100 % of 4 cores")
		require.InDelta(t, 1, r.backend.Agent("a1").CPULoad, 0.01)
		r.machine.set(func(m *machine) { m.load = 0 })
		after(10 * time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(id))
		r.drained()
	})
}

// Four small runs that load two cores to the full go on being four.
func TestOwnLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, c *agentd.Config) { r.machine = newMachine(2); c.Machine = r.machine })
		after(10 * time.Second)
		r.machine.set(func(m *machine) { m.load = 1 })
		for range 40 {
			r.backend.Trigger("small", "sleep 5s")
		}
		after(51 * time.Second)
		made, _ := r.driver.Counts()
		require.Equal(t, 40, made, "40 runs of 5 s, 4 at a time")
		r.drained()
	})
}

// Small runs without end don't keep a large one out for ever.
func TestLargeIsNotStarved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		var ids []int64
		for i := range 400 {
			ids = append(ids, r.backend.Trigger("small", fmt.Sprintf("sleep %ds", 5+i%7)))
		}
		after(2 * time.Second)
		large := r.backend.Trigger("large", "sleep 1s; print big")
		after(70 * time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(large))
		after(20 * time.Minute)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(ids[399]))
		r.drained()
	})
}

// What could not be removed at first is swept, what runs is not.
func TestSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(_ *rig, c *agentd.Config) { c.Runner.RemoveTimeout = time.Nanosecond })
		after(time.Second)
		left := r.backend.Trigger("small", "remove-fail")
		held := r.backend.Trigger("small", "sleep 3m")
		after(10 * time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(left))
		require.Contains(t, r.driver.Boxes(), left)
		after(time.Minute)
		require.Equal(t, []int64{held}, r.driver.Boxes())
		r.agent.Drain()
		require.NoError(t, <-r.err)
		r.cancel()
	})
}
