package agentd_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/agentd/fake"
	"ci/pkg/ci"
)

// taken is what each agent has in hand, as the backend knows it.
func taken(b *fake.Backend) map[string]ci.Quota {
	sizes := map[string]ci.Quota{}
	for _, q := range ci.DefaultConfig().Classes {
		sizes[q.Name] = q
	}
	held := map[string]ci.Quota{}
	for _, row := range b.Rows() {
		if row.Run.Agent == "" || row.Run.Done() {
			continue
		}
		h, q := held[row.Run.Agent], sizes[row.Run.Class]
		held[row.Run.Agent] = ci.Quota{CPUs: h.CPUs + q.CPUs, Memory: h.Memory + q.Memory}
	}
	return held
}

// Whatever comes when, no agent ever holds more than it offers, and everything
// that fits anywhere is carried out once.
func TestNeverOverQuota(t *testing.T) {
	t.Parallel()
	for range 5 {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		synctest.Test(t, func(t *testing.T) {
			backend, rigs := fleet(t, 3, func(c *agentd.Config) {
				c.CPUs, c.Memory = float64(4+random.IntN(5)), int64(8+random.IntN(9))<<30
			})
			offered := map[string]ci.Quota{}
			after(time.Second)
			for i := range rigs {
				a := backend.Agent(fmt.Sprintf("a%d", i))
				offered[a.ID] = ci.Quota{CPUs: a.CPUs, Memory: a.Memory}
			}
			classes := ci.DefaultConfig().Classes
			for range 300 {
				lane := ci.Lane{Class: classes[random.IntN(3)].Name, Priority: ci.Priorities[random.IntN(2)]}
				backend.TriggerIn(lane, fmt.Sprintf("prepare-sleep %dms; sleep %dms", random.IntN(2000), random.IntN(5000)))
				after(time.Duration(random.IntN(700)) * time.Millisecond)
				for id, h := range taken(backend) {
					require.LessOrEqual(t, h.CPUs, offered[id].CPUs, "seed %d, agent %s", seed, id)
					require.LessOrEqual(t, h.Memory, offered[id].Memory, "seed %d, agent %s", seed, id)
				}
			}
			after(20 * time.Minute)
			for _, row := range backend.Rows() {
				require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, "seed %d, run %d of class %s", seed, row.Run.ID, row.Run.Class)
				require.Equal(t, 1, row.Starts)
			}
			for _, r := range rigs {
				r.drained()
			}
		})
	}
}

// Small runs without end on every agent: a large one gets in within the time
// that patience, a question and the small runs in hand take. One agent keeps
// its room for it; the others go on as before.
func TestLargeGetsInOnAFleet(t *testing.T) {
	t.Parallel()
	const (
		longest  = 40 * time.Second // of the small runs
		patience = 30 * time.Second
		asking   = 10 * time.Second // two heartbeats: one sees the wait, one asks
	)
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		backend, rigs := fleet(t, 4, func(c *agentd.Config) { c.Patience = patience })
		after(time.Second)
		small := func() {
			backend.Trigger("small", fmt.Sprintf("sleep %dms", 1000+random.IntN(int(longest/time.Millisecond)-1000)))
		}
		for range 60 {
			small()
		}
		after(time.Second)
		large := backend.Trigger("large", "sleep 1s")
		lane := ci.Lane{Class: "large", Priority: ci.PriorityNormal}
		begin := time.Now()
		for backend.Get(large).Run.Outcome == "" {
			for waiting, _ := backend.Messages(); waiting < 50; waiting++ {
				small() // the stream never ends
			}
			after(500 * time.Millisecond)
			require.LessOrEqual(t, backend.Keepers(lane), 1, "seed %d", seed)
			busy := 0
			for _, h := range taken(backend) {
				if h.CPUs == 4 {
					busy++
				}
			}
			require.GreaterOrEqual(t, busy, 3, "seed %d: all but one agent are full", seed)
			require.Less(t, time.Since(begin), patience+asking+longest+2*time.Second, "seed %d", seed)
		}
		require.Greater(t, time.Since(begin), patience, "it was the keeping that let it in")
		for _, r := range rigs {
			r.agent.Drain()
		}
		for _, r := range rigs {
			require.NoError(t, <-r.err)
			r.empty()
		}
	})
}

// When a slot is free, an urgent run has it before every normal one that waited longer.
func TestUrgentFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		backend, rigs := fleet(t, 2, nil)
		after(time.Second)
		for range 40 {
			backend.Trigger("small", "sleep 10s")
		}
		after(time.Second)
		var urgent []int64
		for range 8 {
			urgent = append(urgent, backend.TriggerIn(ci.Lane{Class: "small", Priority: ci.PriorityUrgent}, "sleep 10s"))
		}
		after(10 * time.Second)
		for _, id := range urgent {
			require.Equal(t, ci.PhaseRunning, backend.Get(id).Run.Phase)
		}
		after(time.Minute)
		for _, r := range rigs {
			r.drained()
		}
	})
}

// An engine with few networks gets no run that might find none, and says so.
func TestNetworksRunOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, _ *agentd.Config) { r.driver.SetNetworks(2) })
		after(time.Second)
		var ids []int64
		for range 6 {
			ids = append(ids, r.backend.Trigger("small", "prepare-sleep 3s; sleep 20s"))
		}
		after(8 * time.Second)
		_, peak := r.driver.Counts()
		require.Equal(t, 2, peak)
		require.Equal(t, "the agent's range has 0 subnets left for networks of runs, and 0 runs in preparation may take one each; it is set by --subnet",
			r.backend.Agent("a1").Refusals["small"])
		after(3 * time.Minute)
		for _, id := range ids {
			require.Equal(t, ci.OutcomeSucceeded, r.outcome(id))
		}
		_, peak = r.driver.Counts()
		require.Equal(t, 2, peak)
		r.drained()
	})
}
