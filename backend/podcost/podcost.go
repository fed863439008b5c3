// Package podcost tells Kubernetes which agents' pods to remove first: those
// with the fewest runs. It writes each pod's deletion cost, which a ReplicaSet
// heeds when it gets smaller.
//
// cid does it and not the agents: who may change a pod of a namespace may put
// another program into any of them, and nothing beside jobs should hold such a
// right. An agent is found by its id, which has to be its pod's name.
package podcost

import (
	"context"
	"crypto/rand"
	"log/slog"
	"time"

	"ci/pkg/ci"
)

// annotation is how Kubernetes is told; see "Pod deletion cost" in its
// documentation of ReplicaSets. The value is an int32 in decimal.
const annotation = "controller.kubernetes.io/pod-deletion-cost"

const (
	// every is the time between two rounds. Kubernetes asks to write rarely; only
	// what has changed is written.
	every = 10 * time.Second
	// leaseFor is how long one cid is the one that writes.
	leaseFor = 45 * time.Second
	// callLimit bounds one call of the API server.
	callLimit = 10 * time.Second
)

// Config is what a Keeper is joined to.
type Config struct {
	// Cluster is the API server.
	Cluster *Cluster
	// Agents lists all agents; Now is the clock that their SeenAt is of.
	Agents func(ctx context.Context) ([]ci.Agent, error)
	Now    func() time.Time
	// Lead takes or keeps the right to be the only writer for a while.
	Lead func(ctx context.Context, holder string, d time.Duration) (bool, error)
	// TTL is how long an agent that is silent counts as alive.
	TTL time.Duration
	Log *slog.Logger
}

// Keeper keeps the costs up to date.
type Keeper struct {
	Config
	holder string
	// written is what pods say, as far as this process has written it; noPod are
	// agents that are no pods.
	written map[string]int
	noPod   map[string]bool
}

// New makes a keeper; nothing is written yet.
func New(c Config) *Keeper {
	return &Keeper{Config: c, holder: rand.Text(), written: map[string]int{}, noPod: map[string]bool{}}
}

// Run keeps the costs until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := k.round(ctx); err != nil && ctx.Err() == nil {
			k.Log.Warn("the deletion costs of agents' pods are not written; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// round writes what has changed. The first error ends it: the next one goes on.
func (k *Keeper) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseFor-every)
	defer cancel()
	mine, err := k.Lead(ctx, k.holder, leaseFor)
	if err != nil {
		return err
	}
	if !mine {
		clear(k.written) // another one writes meanwhile
		return nil
	}
	agents, err := k.Agents(ctx)
	if err != nil {
		return err
	}
	alive := map[string]bool{}
	for i := range agents {
		a := &agents[i]
		if !a.Alive(k.Now(), k.TTL) {
			continue
		}
		alive[a.ID] = true
		if err := k.write(ctx, a.ID, cost(a)); err != nil {
			return err
		}
	}
	k.forget(alive)
	return nil
}

// cost is dear for a pod with many runs, and cheapest for an empty one that is drained.
func cost(a *ci.Agent) int {
	c := 100 * len(a.Runs)
	if a.Draining {
		c -= 50
	}
	return c
}

func (k *Keeper) write(ctx context.Context, pod string, cost int) error {
	if had, known := k.written[pod]; k.noPod[pod] || (known && had == cost) {
		return nil
	}
	found, err := k.Cluster.annotate(ctx, pod, cost)
	switch {
	case err != nil:
		return err
	case !found:
		k.noPod[pod] = true
		k.Log.Info("an agent is no pod of the namespace, so it has no deletion cost", "agent", pod)
	default:
		k.written[pod] = cost
	}
	return nil
}

// forget drops what is known of agents that are gone.
func (k *Keeper) forget(alive map[string]bool) {
	for id := range k.written {
		if !alive[id] {
			delete(k.written, id)
		}
	}
	for id := range k.noPod {
		if !alive[id] {
			delete(k.noPod, id)
		}
	}
}
