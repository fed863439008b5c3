package backend

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ci/backend/podcost"
	"ci/backend/store"
	"ci/pkg/ci"
)

// scaling joins what a fleet is scaled by: what runs want, and which machines
// may go first.
func (b *Backend) scaling() error {
	c := b.config
	if c.Metrics != nil {
		if err := c.Metrics.Register(newDemand(b.Store, b.ttl())); err != nil {
			return err
		}
	}
	if c.PodCosts == "" {
		return nil
	}
	cluster, err := podcost.InCluster(c.PodCosts)
	if err != nil {
		return err
	}
	b.costs = podcost.New(podcost.Config{
		Cluster: cluster, Agents: b.Store.ListAgents, Now: b.Store.Now, TTL: b.ttl(), Log: c.Log,
		Lead: func(ctx context.Context, holder string, d time.Duration) (mine bool, err error) {
			err = b.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
				now := b.Store.Now()
				mine, err = tx.TakeLease(ctx, "pod-costs", holder, now.Add(d), now)
				return err
			})
			return mine, err
		},
	})
	return nil
}

// ttl is how long an agent that is silent still counts.
func (b *Backend) ttl() time.Duration {
	if b.config.Lease > 0 {
		return b.config.Lease
	}
	return time.Minute
}

// fleet is what the database knows about waiting runs and agents.
type fleet interface {
	QueueDepths(ctx context.Context) ([]ci.QueueDepth, error)
	ListAgents(ctx context.Context) ([]ci.Agent, error)
	GetConfig(ctx context.Context) (*ci.Config, error)
	Now() time.Time
}

const (
	// demandFor is how long an answer of the database is good for: whoever scrapes,
	// and however often, it is asked no more than so.
	demandFor = 3 * time.Second
	// demandLimit bounds the asking, since a scrape waits for it.
	demandLimit = 5 * time.Second
)

// demand shows what waiting and held runs want together. It is the figure to
// scale a fleet by: unlike the queue's length it does not fall when runs are
// claimed, and it weighs large runs.
type demand struct {
	fleet                           fleet
	ttl                             time.Duration
	waiting, cores, memory, offered *prometheus.Desc

	mu   sync.Mutex
	at   time.Time // on this machine's clock
	last figures
}

// figures are what demand shows.
type figures struct {
	lanes  []ci.QueueDepth
	cores  float64
	memory float64 // MiB
	// offered are the cores of agents that take runs.
	offered float64
}

func newDemand(f fleet, ttl time.Duration) *demand {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &demand{
		fleet: f, ttl: ttl,
		waiting: describe("ci_runs_waiting", "Runs that wait for an agent, of lanes in which some do.", "class", "priority"),
		cores:   describe("ci_wanted_cores", "Cores that waiting runs and runs that agents hold want together."),
		memory:  describe("ci_wanted_mebibytes", "Memory that waiting runs and runs that agents hold want together, in MiB."),
		offered: describe("ci_offered_cores", "Cores of the agents that take runs."),
	}
}

// Describe implements prometheus.Collector.
func (d *demand) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{d.waiting, d.cores, d.memory, d.offered} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector. While the database does not answer
// there are no figures, which scalers take to mean "leave all as it is"; a 0
// would take the fleet away.
func (d *demand) Collect(ch chan<- prometheus.Metric) {
	f, err := d.figures()
	if err != nil {
		return // /readyz says why
	}
	for _, l := range f.lanes {
		ch <- prometheus.MustNewConstMetric(d.waiting, prometheus.GaugeValue, float64(l.Queued), l.Lane.Class, string(l.Lane.Priority))
	}
	ch <- prometheus.MustNewConstMetric(d.cores, prometheus.GaugeValue, f.cores)
	ch <- prometheus.MustNewConstMetric(d.memory, prometheus.GaugeValue, f.memory)
	ch <- prometheus.MustNewConstMetric(d.offered, prometheus.GaugeValue, f.offered)
}

func (d *demand) figures() (figures, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.at) < demandFor {
		return d.last, nil
	}
	// A scrape has no context that could be handed on.
	ctx, cancel := context.WithTimeout(context.Background(), demandLimit)
	defer cancel()
	f, err := measure(ctx, d.fleet, d.ttl)
	if err == nil {
		d.last, d.at = f, time.Now()
	}
	return f, err
}

// measure asks the database.
func measure(ctx context.Context, from fleet, ttl time.Duration) (f figures, err error) {
	if f.lanes, err = from.QueueDepths(ctx); err != nil {
		return f, err
	}
	config, err := from.GetConfig(ctx)
	if err != nil {
		return f, err
	}
	agents, err := from.ListAgents(ctx)
	if err != nil {
		return f, err
	}
	for _, l := range f.lanes {
		for _, class := range config.Classes {
			if class.Name == l.Lane.Class {
				f.cores += float64(l.Queued) * class.CPUs
				f.memory += float64(l.Queued) * mebibytes(class.Memory)
			}
		}
	}
	for i := range agents {
		a := &agents[i]
		if !a.Alive(from.Now(), ttl) {
			continue
		}
		f.cores += a.CPUs - a.FreeCPUs
		f.memory += mebibytes(a.Memory - a.FreeMemory)
		if !a.Draining && a.Problem == "" {
			f.offered += a.CPUs
		}
	}
	return f, nil
}

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
