package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// An agent is killed in each phase that a run has in its hands (R14): the run is
// lost, once, and nothing of it stays when the agent is back.
func TestKilledInEachPhase(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	s := newServed(ctx, t)
	web := func(check string) map[string]any {
		return map[string]any{"web": map[string]any{
			"image": s.image, "command": []string{"sleep", "1000"}, "volumes": []string{"data:/data"},
			"healthcheck": map[string]any{"test": []string{"CMD", check}, "interval": "1s", "retries": 1000},
		}}
	}
	// What is stored takes a while since it is large and does not compress.
	slow := map[string]any{"big": map[string]any{"path": "big", "type": "application/zip"}}
	for _, c := range []struct {
		phase, script, check string
		results              map[string]any
	}{
		{phase: "preparing", script: "true", check: "false"},
		{phase: "running", script: "sleep 1000", check: "true"},
		{phase: "collecting", script: "head -c 500000000 /dev/urandom > big", check: "true", results: slow},
	} {
		spec := map[string]any{"script": c.script, "environment": map[string]any{"image": s.image}, "services": web(c.check)}
		if c.results != nil {
			spec["results"] = c.results
		}
		require.NoError(t, s.client.Call(ctx, "PUT", "/jobs/"+c.phase, map[string]any{"freestyle": spec}, nil))
		r, err := s.client.Trigger(ctx, c.phase)
		require.NoError(t, err)
		require.NoError(t, rig.Poll(ctx, 3*time.Minute, func() error {
			now, err := s.client.Get(ctx, c.phase, r.ID)
			if err == nil && now.Phase != c.phase {
				err = fmt.Errorf("run %d is not %s but %s %s: %s", r.ID, c.phase, now.Phase, now.Outcome, now.Reason)
			}
			if err != nil {
				return err
			}
			n, err := s.counts(ctx)
			if err == nil && n["containers"]+n["networks"]+n["volumes"] == 0 {
				err = fmt.Errorf("%s: the run has nothing yet that could stay", c.phase)
			}
			return err
		}))
		require.NoError(t, s.Kill())
		require.NoError(t, s.Start(ctx))
		end, err := s.client.Wait(ctx, c.phase, r.ID, 2*time.Minute)
		require.NoError(t, err)
		require.Equal(t, "lost", end.Outcome, "%s: %s", c.phase, end.Reason)
		require.Equal(t, c.phase != "preparing", end.ScriptStarted, c.phase)
		require.NoError(t, s.gone(ctx), c.phase)
	}
}
