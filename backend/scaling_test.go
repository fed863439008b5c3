package backend

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// aFleet is what a database would know.
type aFleet struct {
	lanes  []ci.QueueDepth
	agents []ci.Agent
	err    error
	asked  int
}

func (f *aFleet) QueueDepths(context.Context) ([]ci.QueueDepth, error) {
	f.asked++
	return f.lanes, f.err
}
func (f *aFleet) ListAgents(context.Context) ([]ci.Agent, error) { return f.agents, nil }
func (f *aFleet) GetConfig(context.Context) (*ci.Config, error) {
	return &ci.Config{Classes: []ci.Quota{{Name: "small", CPUs: 1, Memory: 2 << 30}, {Name: "large", CPUs: 4, Memory: 8 << 30}}}, nil
}
func (f *aFleet) Now() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

func TestDemand(t *testing.T) {
	t.Parallel()
	f := &aFleet{}
	seen := func(a ci.Agent, ago time.Duration) ci.Agent {
		a.SeenAt = f.Now().Add(-ago)
		return a
	}
	half := ci.Agent{CPUs: 4, FreeCPUs: 1.5, Memory: 8 << 30, FreeMemory: 2 << 30}
	draining, broken := half, half
	draining.Draining, broken.Problem = true, "Docker does not answer"
	f.agents = []ci.Agent{seen(half, 0), seen(draining, time.Second), seen(broken, time.Second), seen(half, time.Hour)}
	f.lanes = []ci.QueueDepth{
		{Lane: ci.Lane{Class: "small", Priority: ci.PriorityNormal}, Queued: 3},
		{Lane: ci.Lane{Class: "large", Priority: ci.PriorityUrgent}, Queued: 2},
	}
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(newDemand(f, time.Minute)))
	want := map[string]float64{
		"ci_offered_cores": 4, "ci_wanted_cores": 3*1 + 2*4 + 3*2.5, "ci_wanted_mebibytes": 3*2048 + 2*8192 + 3*6144,
		"ci_runs_waiting large urgent": 2, "ci_runs_waiting small normal": 3,
	}
	require.Equal(t, want, gather(t, reg))
	require.Equal(t, want, gather(t, reg))
	require.Equal(t, 1, f.asked, "scrapes right after each other ask the database once")
}

func TestDemandWithoutADatabase(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	require.NoError(t, reg.Register(newDemand(&aFleet{err: errors.New("away")}, time.Minute)))
	require.Empty(t, gather(t, reg), "a 0 would take the fleet away")
}

// gather returns all gauges by name and label values.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			all[name] = m.GetGauge().GetValue()
		}
	}
	return all
}
