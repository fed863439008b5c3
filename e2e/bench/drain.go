package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

const (
	// drainers is how many agents a fleet has here, eachCores how many runs each has at a time.
	drainers, eachCores = 3, 2
	// drainGoal is against the bare engine with as many containers at a time.
	drainGoal = 0.9
)

// drain is figure l: queued runs of an empty script, drained by three agents,
// against the same number of containers at a time by the bare engine. The floor
// is measured half before and half after, since the machine's pace wanders. cid
// and agents are processes of their own on Postgres and NATS.
func (b *bench) drain(ctx context.Context) (figures []figure, err error) {
	err = onBed(ctx, func(t testing.TB) {
		s, engines := b.drained(ctx, t, postgres.Start(t).Database(t), natsServer(t), "wait", eachCores)
		floor := b.bare(ctx, t, engines[0])
		ids := make([]int, b.queued)
		for i := range ids {
			r, err := s.trigger(ctx, "wait")
			require.NoError(t, err)
			ids[i] = r.ID
		}
		began := time.Now()
		require.NoError(t, s.undrain(ctx, engines))
		for _, id := range ids {
			_, err := s.wait(ctx, "wait", id)
			require.NoError(t, err)
		}
		ours := float64(b.queued) / time.Since(began).Seconds()
		for _, e := range engines {
			require.NoError(t, e.quiet(ctx))
		}
		floor = (floor + b.bare(ctx, t, engines[0])) / 2
		ratio := ours / floor
		figures = []figure{{
			"l", fmt.Sprintf("%d queued runs, %d agents, %d in parallel", b.queued, drainers, drainers*eachCores),
			fmt.Sprintf("%.2f/s", ours), fmt.Sprintf("%.2f/s", floor), ratio, fmt.Sprintf("≥ %.2f", drainGoal), ratio >= drainGoal,
			"the machine's load is " + load(),
		}}
	})
	return figures, err
}

// bare is how many containers a second the engine begins, waits for and removes by itself.
func (b *bench) bare(ctx context.Context, t testing.TB, e *engine) float64 {
	n := max(drainers*eachCores, min(100, b.queued/4))
	began := time.Now()
	require.NoError(t, e.loop(ctx, n, drainers*eachCores))
	return float64(n) / time.Since(began).Seconds()
}

// drained starts a cid and agents of so many cores, which have made what runs
// of job share, and take nothing more.
func (b *bench) drained(ctx context.Context, t testing.TB, database, queue, job string, cores int) (*server, []*engine) {
	dir, err := os.MkdirTemp("", "ci-bench-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	shared := []string{"--database", database, "--queue", queue, "--blobs", "file:" + filepath.Join(dir, "blobs")}
	s, err := b.start(ctx, "", append(shared, "--agent", "off")...)
	require.NoError(t, err)
	t.Cleanup(s.stop)
	require.NoError(t, s.putJob(ctx, job, "true"))
	var engines []*engine
	for i := range drainers {
		id, home := "bench-"+rig.Random(), filepath.Join(dir, fmt.Sprint("agent", i))
		require.NoError(t, os.Mkdir(home, 0o700))
		b.agent(ctx, t, home, append(shared, "--id", id, "--cpus", fmt.Sprint(cores), "--memory", "8GiB", "--max-load", "1")...)
		r, err := s.trigger(ctx, job) // by this agent: those before it drain
		require.NoError(t, err)
		_, err = s.wait(ctx, job, r.ID)
		require.NoError(t, err)
		require.NoError(t, s.call(ctx, "PUT", "/agents/"+id+"/drain", map[string]any{"reason": "bench"}, nil))
		e, err := newEngine(ctx, id)
		require.NoError(t, err)
		require.NoError(t, e.quiet(ctx))
		engines = append(engines, e)
	}
	return s, engines
}

// undrain lets the agents take runs again.
func (s *server) undrain(ctx context.Context, engines []*engine) error {
	for _, e := range engines {
		if err := s.call(ctx, "DELETE", "/agents/"+e.agent+"/drain", nil, nil); err != nil {
			return err
		}
	}
	return nil
}
