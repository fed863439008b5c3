package agentd_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/pkg/ci"
)

// R18: what runs ends, what waits is left to others, heartbeats go on.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		var ids []int64
		for range 10 {
			ids = append(ids, r.backend.Trigger("small", "sleep 2m; print x"))
		}
		after(time.Second)
		r.agent.Drain()
		after(time.Minute)
		hb := r.backend.Agent("a1")
		require.True(t, hb.Draining)
		require.Len(t, hb.Runs, 4)
		require.Less(t, time.Since(hb.SeenAt), 6*time.Second)
		require.NoError(t, <-r.err)
		r.empty()
		done := 0
		for _, id := range ids {
			if r.outcome(id) == ci.OutcomeSucceeded {
				done++
			} else {
				require.Equal(t, ci.PhaseQueued, r.phase(id))
			}
		}
		require.Equal(t, 4, done)
		require.Empty(t, r.backend.Agent("a1").Runs, "the last heartbeat holds none")
	})
}

func TestDrainTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		id := r.backend.Trigger("small", "sleep 10h")
		after(time.Second)
		r.agent.Drain()
		after(time.Minute)
		require.Empty(t, r.outcome(id))
		r.agent.Drain()
		require.NoError(t, <-r.err)
		r.empty()
		require.Equal(t, ci.OutcomeAborted, r.outcome(id))
		require.Equal(t, "The run was aborted because its agent a1 was stopped while it ran; trigger it again.", r.backend.Get(id).Run.Reason)
	})
}

// A third signal leaves the scripts no more of their grace; neither the renewal
// of a lease nor a drain's deadline, which ask for an abort again and again, are such a word.
func TestDrainThrice(t *testing.T) {
	t.Parallel()
	for name, abort := range map[string]func(*rig, int64){
		"by two signals": func(r *rig, _ int64) { r.agent.Drain(); r.agent.Drain() },
		"by somebody and a signal": func(r *rig, id int64) {
			r.backend.Abort(id, true)
			r.agent.Drain()
		},
		"by a deadline": func(r *rig, _ int64) {
			r.agent.Leave(ci.Drain{Deadline: time.Now().Add(time.Second), Then: ci.DrainAbort})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := start(t, func(r *rig, _ *agentd.Config) { r.backend.Grace = time.Hour })
				after(time.Second)
				id := r.backend.Trigger("small", "ignore-term; sleep 10h")
				after(time.Second)
				abort(r, id)
				after(50 * time.Minute)
				require.Empty(t, r.outcome(id))
				require.Equal(t, ci.PhaseRunning, r.phase(id))
				begin := time.Now()
				r.agent.Drain()
				require.NoError(t, <-r.err)
				require.Less(t, time.Since(begin), time.Minute)
				r.empty()
				require.Equal(t, ci.OutcomeAborted, r.outcome(id))
			})
		})
	}
}

// A claim is on its way when the second signal comes: its run is aborted too.
func TestDrainTwiceWhileClaiming(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, c *agentd.Config) {
			c.Uplink = claims{r.backend, func(_ context.Context, _ ci.Claim, ask func() (*ci.Work, error)) (*ci.Work, error) {
				work, err := ask()
				time.Sleep(3 * time.Second)
				return work, err
			}}
		})
		after(time.Second)
		id := r.backend.Trigger("small", "sleep 10h")
		after(time.Second)
		begin := time.Now()
		r.agent.Drain()
		after(time.Second / 2)
		r.agent.Drain()
		require.NoError(t, <-r.err)
		require.Less(t, time.Since(begin), time.Minute)
		r.empty()
		require.Equal(t, ci.OutcomeAborted, r.outcome(id))
		require.Equal(t, "The run was aborted because its agent a1 was stopped while it ran; trigger it again.", r.backend.Get(id).Run.Reason)
	})
}

// With the backend away a second signal still ends the agent within a minute.
func TestDrainTwiceWithoutBackend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := false
		r := start(t, func(r *rig, _ *agentd.Config) {
			r.backend.Fault = func(context.Context, string, int, bool) error {
				if away {
					return errors.New("away")
				}
				return nil
			}
		})
		after(time.Second)
		r.backend.Trigger("small", "ignore-term; sleep 10h")
		after(time.Second)
		away = true
		begin := time.Now()
		r.agent.Drain()
		r.agent.Drain()
		require.NoError(t, <-r.err)
		require.Less(t, time.Since(begin), time.Minute)
		r.empty()
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		id := r.backend.Trigger("small", "ignore-term; sleep 10h")
		after(time.Second)
		begin := time.Now()
		r.cancel()
		require.ErrorIs(t, <-r.err, context.Canceled)
		require.Zero(t, time.Since(begin))
		r.empty()
		after(2 * time.Minute)
		require.Equal(t, ci.OutcomeLost, r.outcome(id))
	})
}

func TestRemoteDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		held := r.backend.Trigger("small", "sleep 10h")
		after(time.Second)
		// The backend's clock is five minutes ahead: only the distance of its times counts.
		ahead := time.Now().Add(5 * time.Minute)
		r.backend.Drain("a1", &ci.Drain{Reason: "new disks", By: "ann", Since: ahead, Deadline: ahead.Add(time.Minute)})
		after(6 * time.Second)
		next := r.backend.Trigger("small", "print x")
		after(30 * time.Second)
		require.Equal(t, ci.PhaseQueued, r.phase(next))
		require.Empty(t, r.outcome(held))
		hb := r.backend.Agent("a1")
		require.True(t, hb.Draining)
		require.Equal(t, "the agent is drained by ann: new disks", hb.Refusals["small"])
		after(35 * time.Second)
		require.Equal(t, ci.OutcomeAborted, r.outcome(held), "the deadline passed")
		require.Contains(t, r.backend.Get(held).Run.Reason, "was drained and its deadline passed (new disks)")
		r.backend.Drain("a1", nil)
		after(6 * time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(next), "the order is undone")

		r.agent.Drain()
		require.NoError(t, <-r.err, "a local drain is not undone by a heartbeat without an order")
		r.empty()
	})
}

// A drain may say that runs go on after its deadline: it is late then, and waits.
func TestDrainWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		id := r.backend.Trigger("small", "sleep 5m")
		after(time.Second)
		r.agent.Leave(ci.Drain{Reason: "new disks", By: "tester", Deadline: time.Now().Add(time.Minute), Then: ci.DrainWait})
		after(4 * time.Minute)
		d := r.agent.Draining()
		require.True(t, d.Leaving)
		require.Equal(t, []int64{id}, d.Runs)
		require.True(t, d.Late(time.Now()))
		hb := r.backend.Agent("a1")
		require.Equal(t, "tester", hb.Leaving.By)
		require.Contains(t, hb.Refusals["small"], "new disks")
		require.NoError(t, <-r.err)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(id))
		require.True(t, r.agent.Draining().Drained())
		r.empty()
	})
}

// A drain of the process's own has a deadline as an order has.
func TestLeaveByDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		id := r.backend.Trigger("small", "sleep 10h")
		after(time.Second)
		begin := time.Now()
		r.agent.Leave(ci.Drain{Reason: "preStop", Deadline: begin.Add(time.Minute)})
		require.NoError(t, <-r.err)
		require.InDelta(t, time.Minute, time.Since(begin), float64(15*time.Second))
		require.Equal(t, ci.OutcomeAborted, r.outcome(id))
		require.Contains(t, r.backend.Get(id).Run.Reason, "its deadline passed (preStop)")
		r.empty()
	})
}

// An order that the agent has not heard of yet refuses its claim: the message
// goes back at once, and nothing is pulled until the order is known.
func TestClaimRefusedByAnOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		deaf := true
		claims := 0
		r := start(t, func(r *rig, _ *agentd.Config) {
			r.backend.Fault = func(_ context.Context, call string, _ int, after bool) error {
				switch {
				case call == "claim" && !after:
					claims++
				case call == "heartbeat" && deaf && !after && claims > 0:
					return errors.New("away")
				}
				return nil
			}
		})
		after(time.Second)
		r.backend.Drain("a1", &ci.Drain{By: "ann"})
		id := r.backend.Trigger("small", "print x")
		after(time.Minute)
		require.Equal(t, 1, claims, "it does not ask again and again")
		waiting, inHand := r.backend.Messages()
		require.Equal(t, []int{1, 0}, []int{waiting, inHand}, "the message is back")
		deaf = false
		after(10 * time.Second)
		require.Equal(t, 1, claims)
		require.Equal(t, ci.PhaseQueued, r.phase(id))
		r.backend.Drain("a1", nil)
		after(10 * time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(id))
		r.drained()
	})
}

// R18: with the backend away the agent still ends by itself: it kills what it
// can't hold any more, and does not wait for an answer.
func TestDrainWithoutBackend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		away := make(chan struct{})
		r := start(t, func(r *rig, _ *agentd.Config) {
			r.backend.Fault = func(ctx context.Context, _ string, _ int, _ bool) error {
				select {
				case <-away: // it hangs, as a database does whose machine is frozen
					<-ctx.Done()
					return ctx.Err()
				default:
					return nil
				}
			}
		})
		after(time.Second)
		r.backend.Trigger("small", "ignore-term; sleep 10h")
		after(time.Second)
		close(away)
		begin := time.Now()
		r.agent.Drain()
		require.NoError(t, <-r.err)
		require.Less(t, time.Since(begin), time.Minute)
		r.empty()
	})
}
