package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
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
	pulls := newStalledRegistry(t)
	something := func() error {
		n, err := s.counts(ctx)
		if err == nil && n["containers"]+n["networks"]+n["volumes"] == 0 {
			err = errors.New("the run has nothing yet that could stay")
		}
		return err
	}
	network := func() error {
		n, err := s.counts(ctx)
		if err == nil && n["networks"] == 0 {
			err = errors.New("the run has no network yet")
		}
		return err
	}
	for _, c := range []struct {
		name, phase, script, check, image string
		results                           map[string]any
		there                             func() error // what has to be there before the kill
	}{
		{name: "claimed", phase: "preparing", script: "true", check: "true", there: func() error { return nil }},
		{name: "pulling", phase: "preparing", script: "true", check: "true", image: pulls.image, there: pulls.asked},
		{name: "network", phase: "preparing", script: "true", check: "false", there: network},
		{name: "running", phase: "running", script: "sleep 1000", check: "true", there: something},
		{name: "collecting", phase: "collecting", script: "head -c 500000000 /dev/urandom > big", check: "true", results: slow, there: something},
	} {
		spec := map[string]any{"script": c.script, "environment": map[string]any{"image": cmp.Or(c.image, s.image)}, "services": web(c.check)}
		if c.results != nil {
			spec["results"] = c.results
		}
		require.NoError(t, s.client.Call(ctx, "PUT", "/jobs/"+c.name, map[string]any{"freestyle": spec}, nil))
		r, err := s.client.Trigger(ctx, c.name)
		require.NoError(t, err)
		require.NoError(t, rig.Poll(ctx, 3*time.Minute, func() error {
			now, err := s.client.Get(ctx, c.name, r.ID)
			if err == nil && now.Phase != c.phase {
				err = fmt.Errorf("run %d is not %s but %s %s: %s", r.ID, c.phase, now.Phase, now.Outcome, now.Reason)
			}
			if err != nil {
				return err
			}
			return c.there()
		}), c.name)
		require.NoError(t, s.Kill())
		require.NoError(t, s.Start(ctx))
		end, err := s.client.Wait(ctx, c.name, r.ID, 2*time.Minute)
		require.NoError(t, err)
		require.Equal(t, "lost", end.Outcome, "%s: %s", c.name, end.Reason)
		require.Equal(t, c.phase != "preparing", end.ScriptStarted, c.name)
		require.NoError(t, s.gone(ctx), c.name)
	}
}

// stalledRegistry takes connections, and never says a word.
type stalledRegistry struct {
	image string
	came  chan struct{}
}

func newStalledRegistry(t *testing.T) *stalledRegistry {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	r := &stalledRegistry{image: l.Addr().String() + "/never/there:1", came: make(chan struct{})}
	go func() {
		for first := true; ; first = false {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			if first {
				close(r.came)
			}
		}
	}()
	return r
}

// asked returns nil once somebody pulls.
func (r *stalledRegistry) asked() error {
	select {
	case <-r.came:
		return nil
	default:
		return errors.New("nobody has asked the registry for the image yet")
	}
}
