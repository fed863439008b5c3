package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/agentd"
	"ci/agentd/admission"
	"ci/agentd/fake"
	"ci/backend/engine"
	"ci/backend/queue/nats"
	"ci/backend/store"
	"ci/pkg/ci"
)

// fleet is n agents of 4 cores, each with a connection of its own to the broker.
// They share the database's connections unless the world says otherwise: a
// thousand pools would meet the server's limit of connections first.
type fleet struct {
	*world
	n      int
	agents []*agentd.Agent
	runs   sync.WaitGroup
	queues []*nats.Driver
	cancel context.CancelFunc
}

// calm is a machine on which nothing else happens.
type calm struct {
	mu sync.Mutex
	s  admission.Sample
}

func (c *calm) Sample() (admission.Sample, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.CPUTotal++
	return c.s, nil
}

func (w *world) start(ctx context.Context, n int) (f *fleet, err error) {
	life, cancel := context.WithCancel(context.Background())
	f = &fleet{world: w, n: n, cancel: cancel}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	e, err := w.engine(w.db)
	if err != nil {
		return f, err
	}
	var mu sync.Mutex
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			a, q, err := w.agent(ctx, e, fmt.Sprintf("fleet-%d-%04d", n, i))
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			f.agents, f.queues = append(f.agents, a), append(f.queues, q)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return f, err
	}
	for _, a := range f.agents {
		f.runs.Go(func() { _ = a.Run(life) })
	}
	return f, f.ready(ctx)
}

func (w *world) agent(ctx context.Context, e *engine.Engine, id string) (*agentd.Agent, *nats.Driver, error) {
	q, err := nats.Open(nats.Config{URL: w.broker.ClientURL(), Log: log})
	if err != nil {
		return nil, nil, err
	}
	db := w.db
	if w.own {
		if db, err = w.open(ctx); err == nil {
			e, err = w.engine(db)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	a, err := agentd.New(agentd.Config{
		ID: id, Version: "fleet", Uplink: e, Queue: q, Bus: q.Bus(), Driver: fake.NewDriver(),
		Classes: func(ctx context.Context) ([]ci.Quota, error) {
			c, err := db.GetConfig(ctx)
			if err != nil {
				return nil, err
			}
			return c.Classes, nil
		},
		Depths: db.QueueHeads, CPUs: 4, Memory: 16 << 30, Dir: w.spool, Log: log,
		Machine: &calm{s: admission.Sample{Cores: 4, MemoryFree: 16 << 30, MemoryTotal: 16 << 30, DiskFree: 1 << 40, DiskTotal: 1 << 40}},
	})
	return a, q, err
}

// ready waits until every agent has said that it takes runs.
func (f *fleet) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		agents, err := f.db.ListAgents(ctx)
		if err != nil {
			return err
		}
		up := 0
		for i := range agents {
			if agents[i].Version == "fleet" && agents[i].Problem == "" && agents[i].Alive(f.db.Now(), 15*time.Second) && !agents[i].Draining {
				up++
			}
		}
		if up >= f.n {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d agents are ready: %w", up, f.n, err)
		}
	}
}

func (f *fleet) stop() {
	for _, a := range f.agents {
		a.Drain()
	}
	f.runs.Wait()
	f.cancel()
	for _, q := range f.queues {
		_ = q.Close()
	}
	_ = f.db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM agents")
		return err
	})
}

// cost is what a stretch of time took.
type cost struct {
	took         time.Duration
	runs         int
	lost         int   // of these runs: their agent had to kill them, or did not renew their lease
	statements   int64 // all of agents and cids, without BEGIN and COMMIT
	transactions int64
	written      int64 // bytes that the database grew by, or logged
	asks         int64 // messages from the broker's clients to it
	cpu          time.Duration
	connections  int // to Postgres, at the end
}

// without takes off what the same time costs an idle fleet.
func (c *cost) without(idle *cost) *cost {
	share := c.took.Seconds() / idle.took.Seconds()
	rest := func(all, of int64) int64 { return max(0, all-int64(share*float64(of))) }
	d := *c
	d.statements, d.transactions = rest(c.statements, idle.statements), rest(c.transactions, idle.transactions)
	d.written, d.asks = rest(c.written, idle.written), rest(c.asks, idle.asks)
	d.cpu = time.Duration(rest(int64(c.cpu), int64(idle.cpu)))
	return &d
}

// during measures what happens while fn runs.
func (f *fleet) during(ctx context.Context, fn func() (runs int, err error)) (c *cost, err error) {
	written, err := f.written(ctx)
	if err != nil {
		return nil, err
	}
	stats, asks, cpu, began := f.stats(), f.messages(), ownCPU(), time.Now()
	runs, err := fn()
	if err != nil {
		return nil, err
	}
	c = &cost{took: time.Since(began), runs: runs, cpu: ownCPU() - cpu, asks: f.messages() - asks}
	now := f.stats()
	c.statements, c.transactions = now.Statements-stats.Statements, now.Transactions-stats.Transactions
	after, err := f.written(ctx)
	if err != nil {
		return nil, err
	}
	c.written = after - written
	c.connections, err = f.connections(ctx)
	return c, err
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// idle watches the fleet do nothing.
func (f *fleet) idle(ctx context.Context, d time.Duration) (*cost, error) {
	return f.during(ctx, func() (int, error) { return 0, pause(ctx, d) })
}

// calmDown is about how long nothing happens before a probe, so that the whole fleet waits again.
const calmDown = 100 * time.Millisecond

// probe triggers single runs, with nothing else to do, and returns how long each waited for its claim.
func (f *fleet) probe(ctx context.Context, n int) ([]time.Duration, error) {
	changed := f.claims.begin()
	for i := range n {
		if err := pause(ctx, calmDown/2+rand.N(calmDown)); err != nil {
			return nil, err
		}
		if _, _, err := f.cids[i%len(f.cids)].Trigger(ctx, ci.Trigger{Job: job, By: "bench"}); err != nil {
			return nil, err
		}
		if err := f.await(ctx, changed, i+1); err != nil {
			return nil, err
		}
	}
	return f.claims.all(), nil
}

// drain triggers all runs at once and waits for the last one's end.
func (f *fleet) drain(ctx context.Context, n int) (*cost, error) {
	changed := f.claims.begin()
	c, err := f.during(ctx, func() (int, error) {
		for left := n; left > 0; left -= engine.MaxBatch {
			batch := slices.Repeat([]ci.Trigger{{Job: job, By: "bench"}}, min(left, engine.MaxBatch))
			if _, err := f.cids[0].TriggerBatch(ctx, batch); err != nil {
				return 0, err
			}
		}
		return n, f.await(ctx, changed, n)
	})
	if err == nil {
		c.lost = f.claims.failures()
	}
	return c, err
}

var errStuck = errors.New("no run has ended for two minutes")

// await returns when so many runs are done.
func (f *fleet) await(ctx context.Context, changed <-chan struct{}, n int) error {
	for f.claims.count() < n {
		select {
		case <-changed:
		case <-time.After(2 * time.Minute):
			return fmt.Errorf("%w: %d of %d are done", errStuck, f.claims.count(), n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
