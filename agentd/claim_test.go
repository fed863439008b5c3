package agentd_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/agentd/fake"
	"ci/pkg/ci"
)

// claims is an uplink whose claims go through a function.
type claims struct {
	*fake.Backend
	claim func(ctx context.Context, c ci.Claim, ask func() (*ci.Work, error)) (*ci.Work, error)
}

// Claim implements agentd.Uplink.
func (u claims) Claim(ctx context.Context, c ci.Claim) (*ci.Work, error) {
	return u.claim(ctx, c, func() (*ci.Work, error) { return u.Backend.Claim(ctx, c) })
}

// R3 with two agents: a claim is committed, its answer lost, and the message
// goes to the other agent, who is refused and settles it. The first one asks
// by itself what became of its claim.
func TestAnswerLostAndMessageGone(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			a := start(t, func(r *rig, c *agentd.Config) {
				c.ID = "a0"
				c.Uplink = claims{r.backend, func(ctx context.Context, _ ci.Claim, ask func() (*ci.Work, error)) (*ci.Work, error) {
					work, err := ask()
					if time.Since(begin) > 18*time.Second {
						return work, err
					}
					if hangs {
						<-ctx.Done()
					}
					return nil, errors.New("the connection broke")
				}}
			})
			after(time.Second)
			id := a.backend.Trigger("small", "print x")
			after(time.Second)
			require.Equal(t, ci.PhasePreparing, a.phase(id), "the claim arrived")
			b := start(t, func(r *rig, c *agentd.Config) {
				r.backend = a.backend
				c.ID, c.Uplink, c.Queue, c.Bus, c.Depths = "a1", a.backend, a.backend, a.backend, a.backend.Depths
			})
			after(90 * time.Second)
			row := a.backend.Get(id)
			require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
			require.Equal(t, []int{1, 1}, []int{row.Claims, row.Starts})
			require.Equal(t, "a0", row.Run.Agent)
			a.drained()
			b.drained()
		})
	}
}

// An agent that waits for the word on its claim takes nothing meanwhile that
// the run, should it be there, would have no room beside.
func TestUnsureAgentStaysWithinItsQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := start(t, func(r *rig, c *agentd.Config) {
			c.CPUs = 1
			c.Uplink = claims{r.backend, func(_ context.Context, c ci.Claim, ask func() (*ci.Work, error)) (*ci.Work, error) {
				work, err := ask()
				if c.Run == 1 && time.Since(begin) < 15*time.Second {
					return nil, errors.New("the connection broke")
				}
				return work, err
			}}
		})
		after(time.Second)
		ids := []int64{r.backend.Trigger("small", "sleep 10s"), r.backend.Trigger("small", "sleep 10s")}
		after(2 * time.Minute)
		for _, id := range ids {
			row := r.backend.Get(id)
			require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
			require.Equal(t, []int{1, 1}, []int{row.Claims, row.Starts})
		}
		_, peak := r.driver.Counts()
		require.Equal(t, 1, peak)
		r.drained()
	})
}

// A run that can't be claimed for want of its secrets holds up no other: the
// backend says that nothing was claimed.
func TestUnclaimedHoldsUpNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sealed := true
		r := start(t, func(r *rig, c *agentd.Config) {
			c.Uplink = claims{r.backend, func(_ context.Context, c ci.Claim, ask func() (*ci.Work, error)) (*ci.Work, error) {
				if c.Run == 1 && sealed {
					return nil, fmt.Errorf("run 1: %w", ci.Unclaimed(ci.Errorf(ci.CodeUnavailable, "the store of secrets is away")))
				}
				return ask()
			}}
		})
		after(time.Second)
		stuck, next := r.backend.Trigger("small", "print x"), r.backend.Trigger("small", "print x")
		after(7 * time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(next))
		require.Equal(t, ci.PhaseQueued, r.phase(stuck))
		sealed = false
		after(15 * time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(stuck))
		r.drained()
	})
}

// While it does not know whether it holds a run, an agent that is stopped still ends soon.
func TestUnsureAgentEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, c *agentd.Config) {
			c.Uplink = claims{r.backend, func(ctx context.Context, _ ci.Claim, ask func() (*ci.Work, error)) (*ci.Work, error) {
				_, _ = ask()
				<-ctx.Done()
				return nil, ctx.Err()
			}}
		})
		after(time.Second)
		id := r.backend.Trigger("small", "print x")
		after(time.Second)
		begin := time.Now()
		r.agent.Drain()
		require.NoError(t, <-r.err)
		require.Less(t, time.Since(begin), time.Minute)
		r.cancel()
		after(2 * time.Minute)
		require.Equal(t, ci.OutcomeLost, r.outcome(id))
		require.Zero(t, r.backend.Get(id).Starts)
	})
}
