// Package chaos plays with time and death: aborts that race with ends, and
// cids that are killed at any moment. Every test prints its seed; CHAOS_SEED
// plays it again, as far as the machine's own timing allows.
package chaos

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/agentd"
	"ci/agentd/fake"
	"ci/backend"
	"ci/backend/store"
	"ci/pkg/ci"
)

// system is a whole backend and an agent in this process. Only containers are played.
type system struct {
	backend *backend.Backend
	driver  *fake.Driver
	agent   *agentd.Agent
	config  agentd.Config // the agent's
	more    []*agentd.Agent
	drivers []*fake.Driver // of all agents
	ctx     context.Context
	stop    context.CancelFunc
	group   *errgroup.Group
}

// seed is what CHAOS_SEED says, or the time.
func seed(t *testing.T) uint64 {
	if given := os.Getenv("CHAOS_SEED"); given != "" {
		n, err := strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
		return n
	}
	return uint64(time.Now().UnixNano())
}

func newSystem(t *testing.T) *system {
	t.Helper()
	return newSystemWith(t, backend.Config{Dir: t.TempDir()}, nil)
}

// newSystemWith fills in what c lacks. change, unless nil, may put something
// between the system's parts before anything runs.
func newSystemWith(t *testing.T, c backend.Config, change func(*backend.Backend, *agentd.Config)) *system {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	c.URL, c.Key, c.Log, c.Metrics = "http://localhost", key, log, prometheus.NewRegistry()
	ctx, stop := context.WithCancel(context.Background())
	b, err := backend.New(ctx, c)
	require.NoError(t, err)
	s := &system{backend: b, driver: fake.NewDriver(), stop: stop, group: new(errgroup.Group)}
	agent := agentd.Config{
		ID: "chaos", TTL: c.Lease, Uplink: b.Engine, Queue: b.Queue, Bus: b.Queue.Bus(), Driver: s.driver, Log: log,
		Classes: func(ctx context.Context) ([]ci.Quota, error) {
			c, err := b.Store.GetConfig(ctx)
			if err != nil {
				return nil, err
			}
			return c.Classes, nil
		},
		Depths: b.Store.QueueDepths, CPUs: 16, Memory: 64 << 30, Threshold: 1, MinFreeMemory: 1, MinFreeDisk: 1, Dir: t.TempDir(),
	}
	if change != nil {
		change(b, &agent)
	}
	s.agent, err = agentd.New(agent)
	require.NoError(t, err)
	s.config, s.drivers, s.ctx = agent, []*fake.Driver{s.driver}, ctx
	s.group.Go(func() error { return b.Run(ctx) })
	s.group.Go(func() error { return s.agent.Run(ctx) })
	t.Cleanup(func() {
		stop()
		_ = s.group.Wait()
		_ = b.Close()
	})
	require.NoError(t, b.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		for name, script := range map[string]string{"quick": "print hello; sleep 2ms", "slow": "print hello; sleep 1h"} {
			if _, err := tx.PutJob(ctx, &ci.Job{Name: name, Freestyle: fmt.Appendf(nil, `{"script":%q}`, script)}, 0); err != nil {
				return err
			}
		}
		_, err := tx.PutJob(ctx, &ci.Job{Name: "saves", Freestyle: []byte(`{"script":"print hello; result r text; print bye","results":{"r":"r.txt"}}`)}, 0)
		return err
	}))
	return s
}

// another starts one more agent, with containers of its own.
func (s *system) another(t *testing.T, id string) {
	t.Helper()
	driver, c := fake.NewDriver(), s.config
	c.ID, c.Driver, c.Uplink, c.Dir = id, driver, s.backend.Engine, t.TempDir()
	agent, err := agentd.New(c)
	require.NoError(t, err)
	s.more, s.drivers = append(s.more, agent), append(s.drivers, driver)
	s.group.Go(func() error { return agent.Run(s.ctx) })
}

// close drains the agents and stops everything.
func (s *system) close(t *testing.T) {
	t.Helper()
	for _, a := range append(s.more, s.agent) {
		a.Drain()
	}
	s.stop()
	if err := s.group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the system ended with: %v", err)
	}
}

// life is how long a run usually takes from the answer to its trigger, while
// others run beside it: a median.
func (s *system) life(ctx context.Context, t *testing.T) time.Duration {
	t.Helper()
	took := make([]time.Duration, 64)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range took {
		g.Go(func() error {
			run, _, err := s.backend.Engine.Trigger(ctx, ci.Trigger{Job: "quick"})
			began := time.Now()
			if err == nil {
				_, err = s.backend.Engine.Wait(ctx, "quick", run.ID, ci.UntilDone, time.Minute)
			}
			took[i] = time.Since(began)
			return err
		})
	}
	require.NoError(t, g.Wait())
	slices.Sort(took)
	return took[len(took)/2]
}
