package agentd_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/agentd/admission"
	"ci/agentd/fake"
	"ci/pkg/ci"
)

// machine is a machine whose load a test sets.
type machine struct {
	mu   sync.Mutex
	s    admission.Sample
	load float64
}

func newMachine(cores int) *machine {
	return &machine{s: admission.Sample{Cores: float64(cores), MemoryFree: 32 << 30, MemoryTotal: 32 << 30, DiskFree: 1 << 40, DiskTotal: 1 << 40}}
}

// Sample advances the counters by a second.
func (m *machine) Sample() (admission.Sample, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.CPUTotal += 1000
	m.s.CPUBusy += uint64(1000 * m.load)
	return m.s, nil
}

func (m *machine) set(change func(*machine)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// rig is an agent with everything around it, in a bubble of virtual time.
type rig struct {
	t       *testing.T
	backend *fake.Backend
	driver  *fake.Driver
	machine *machine
	agent   *agentd.Agent
	cancel  context.CancelFunc
	err     chan error
}

func classes(context.Context) ([]ci.Quota, error) { return ci.DefaultConfig().Classes, nil }

// start starts an agent. change may alter its configuration.
func start(t *testing.T, change func(*rig, *agentd.Config)) *rig {
	t.Helper()
	r := &rig{t: t, backend: fake.NewBackend(), driver: fake.NewDriver(), machine: newMachine(4), err: make(chan error, 1)}
	cfg := agentd.Config{
		ID: "a1", Version: "test", Uplink: r.backend, Queue: r.backend, Bus: r.backend, Driver: r.driver,
		Classes: classes, Depths: r.backend.Depths, CPUs: 4, Machine: r.machine, Dir: t.TempDir(),
	}
	if change != nil {
		change(r, &cfg)
	}
	agent, err := agentd.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	r.agent, r.cancel = agent, cancel
	go func() { r.err <- agent.Run(ctx) }()
	return r
}

// fleet starts n agents on one backend, named a0, a1, …; change may alter each.
func fleet(t *testing.T, n int, change func(*agentd.Config)) (*fake.Backend, []*rig) {
	t.Helper()
	backend := fake.NewBackend()
	rigs := make([]*rig, n)
	for i := range rigs {
		rigs[i] = start(t, func(r *rig, c *agentd.Config) {
			r.backend = backend
			c.ID = fmt.Sprintf("a%d", i)
			c.Uplink, c.Queue, c.Bus, c.Depths = backend, backend, backend, backend.Depths
			if change != nil {
				change(c)
			}
		})
	}
	return backend, rigs
}

// after lets virtual time pass, and everything that happens in it.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// drained drains the agent and waits for its end. Nothing may be left.
func (r *rig) drained() {
	r.t.Helper()
	r.agent.Drain()
	require.NoError(r.t, <-r.err)
	r.empty()
}

// empty ends the test: no container, no message in hand, no goroutine (synctest sees to that).
func (r *rig) empty() {
	r.t.Helper()
	r.cancel()
	require.Empty(r.t, r.driver.Boxes())
	_, inHand := r.backend.Messages()
	require.Zero(r.t, inHand, "every message is settled")
}

// outcome returns a run's outcome; "" while it is not done.
func (r *rig) outcome(run int64) ci.Outcome { return r.backend.Get(run).Run.Outcome }

// phase returns where a run stands.
func (r *rig) phase(run int64) ci.Phase { return r.backend.Get(run).Run.Phase }
