package chaos

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/e2e/rig"
)

// TestAbortInDocker lets aborts race with real containers, all along their
// lives: queued, prepared, started, ended, removed.
func TestAbortInDocker(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	t.Parallel()
	const races = 30
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	random := seeded(t)
	k := newKilled(ctx, t)
	client := k.cid.Client()
	require.NoError(t, client.Freestyle(ctx, "quick", "echo hello"))
	first, err := client.Trigger(ctx, "quick") // waits for the agent to be ready, too
	require.NoError(t, err)
	_, err = client.Wait(ctx, "quick", first.ID, 3*time.Minute)
	require.NoError(t, err)
	began := time.Now()
	second, err := client.Trigger(ctx, "quick")
	require.NoError(t, err)
	_, err = client.Wait(ctx, "quick", second.ID, 3*time.Minute)
	require.NoError(t, err)
	aim := newAim(time.Since(began))

	var g errgroup.Group
	g.SetLimit(4)
	var mu sync.Mutex
	outcomes := map[string]int{}
	for range races {
		jitter := 1.4 * random.Float64()
		g.Go(func() error {
			r, err := abortOnce(ctx, client, aim.at(jitter))
			if err != nil {
				return err
			}
			aim.hit(r.Outcome == "aborted")
			mu.Lock()
			defer mu.Unlock()
			outcomes[r.Outcome+" in "+r.Phase]++
			return nil
		})
	}
	require.NoError(t, g.Wait())
	t.Logf("%v", outcomes)
	k.abortInPhases(ctx, t)
}

// abortInPhases aborts a run in each phase, since moments may all miss one.
func (k *killed) abortInPhases(ctx context.Context, t *testing.T) {
	t.Helper()
	client, drain := k.cid.Client(), "/agents/"+k.cid.Agent+"/drain"
	require.NoError(t, client.Freestyle(ctx, "long", "sleep 1000"))
	require.NoError(t, client.Call(ctx, "PUT", drain, map[string]any{}, nil))
	for _, phase := range []string{"queued", "preparing", "running"} {
		// A run may have left its phase when the abort comes.
		require.NoError(t, rig.Poll(ctx, 3*time.Minute, func() error {
			r, err := client.Trigger(ctx, "long")
			if err != nil {
				return err
			}
			if err := rig.Poll(ctx, time.Minute, func() error {
				now, err := client.Get(ctx, "long", r.ID)
				if err == nil && now.Phase != phase && (now.Phase != "running" || phase != "preparing") {
					err = fmt.Errorf("run %d is %s %s", r.ID, now.Phase, now.Outcome)
				}
				return err
			}); err != nil {
				return err
			}
			if _, err := client.Do(ctx, "POST", fmt.Sprintf("/jobs/long/runs/%d/abort", r.ID), nil); err != nil {
				return err
			}
			end, err := client.Wait(ctx, "long", r.ID, 3*time.Minute)
			if err != nil {
				return err
			}
			require.Equal(t, "aborted", end.Outcome, end.Reason)
			if end.Phase != phase {
				return fmt.Errorf("run %d was aborted while %s, not %s", r.ID, end.Phase, phase)
			}
			return nil
		}))
		if phase == "queued" {
			require.NoError(t, client.Call(ctx, "DELETE", drain, nil, nil))
		}
	}
}

// abortOnce is one race. An abort that was refused must have met a run that succeeded.
func abortOnce(ctx context.Context, c *rig.Client, delay time.Duration) (end rig.Run, err error) {
	r, err := c.Trigger(ctx, "quick")
	if err != nil {
		return r, err
	}
	pause := time.NewTimer(delay) // the race's own randomness; nothing is awaited by it
	defer pause.Stop()
	<-pause.C
	a, err := c.Do(ctx, "POST", fmt.Sprintf("/jobs/quick/runs/%d/abort", r.ID), nil)
	if err != nil {
		return r, err
	}
	if end, err = c.Wait(ctx, "quick", r.ID, 3*time.Minute); err != nil {
		return end, err
	}
	switch {
	case a.Status != 202 && a.Status != 409:
		err = fmt.Errorf("run %d: abort answers %d: %s", r.ID, a.Status, a.Body)
	case end.Outcome != "aborted" && end.Outcome != "succeeded":
		err = fmt.Errorf("run %d: %s: %s", r.ID, end.Outcome, end.Reason)
	case a.Status == 409 && end.Outcome != "succeeded":
		err = fmt.Errorf("run %d: the abort was refused, and the outcome is %s", r.ID, end.Outcome)
	case end.Outcome == "succeeded" && (end.ExitCode == nil || *end.ExitCode != 0):
		err = fmt.Errorf("run %d succeeded without exit status 0", r.ID)
	}
	return end, err
}
