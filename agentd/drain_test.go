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
		r.backend.Drain("a1", &ci.Drain{Reason: "new disks", Since: ahead, Deadline: ahead.Add(time.Minute)})
		after(6 * time.Second)
		next := r.backend.Trigger("small", "print x")
		after(30 * time.Second)
		require.Equal(t, ci.PhaseQueued, r.phase(next))
		require.Empty(t, r.outcome(held))
		hb := r.backend.Agent("a1")
		require.True(t, hb.Draining)
		require.Equal(t, "the agent is drained: new disks", hb.Refusals["small"])
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
