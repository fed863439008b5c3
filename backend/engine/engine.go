// Package engine is the only writer of a run's state: trigger, plan, claim,
// renew, report, finish, abort, reap, sweep. It is a library over the
// database: cid and an agent with database access both hold one.
//
// Every move is one conditional update, and the event that tells of it is
// written in the same transaction. What lies outside (queue, bus, waiting
// clients) is told afterwards, and may be down for an hour without harm.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"ci/backend/blob"
	"ci/backend/console"
	"ci/backend/queue"
	"ci/backend/store"
	"ci/pkg/ci"
)

// Planner is the planner's eyes; backend/source implements it.
type Planner interface {
	// Plan finds the full commit that sha or branch names and the job file at
	// it, and hands both to parse, which may read further files of the same
	// commit until it returns; parse's error comes back as it is. access is what
	// the repository is reached with. ci.CodeInvalid is final and its
	// sentence becomes the run's reason; ci.CodeUnavailable means to try again.
	Plan(ctx context.Context, git ci.Git, access ci.GitAccess, sha, branch string, parse func(commit string, file []byte, read func(path string) ([]byte, error)) error) error
}

// Config is what an Engine needs. All fields but those with a default are required.
type Config struct {
	Store   *store.Store
	Queue   queue.Queue
	Bus     queue.Bus
	Blobs   blob.Store
	Planner Planner // only for Run
	// Secrets and Registries are read when runs are claimed; an engine without
	// them can't claim runs that name secrets.
	Secrets    Secrets
	Registries Registries
	// SSHKeys are read when runs are planned and claimed; an engine without them
	// can't claim runs that have a key.
	SSHKeys SSHKeys
	// Repositories opens those of forges; nil opens none.
	Repositories Repositories
	Log          *slog.Logger
	// URL is where people reach the API; runs' addresses begin with it.
	URL string
	// Lease is how long an agent may be silent before its runs are lost. Default 60 s.
	Lease time.Duration
	// PlanFor is how long planning is tried while the git host is away. Default 60 s.
	PlanFor time.Duration
	// AccessFor is how long a claim is tried while a store of secrets is away. Default 2 min.
	AccessFor time.Duration
	// Sweep is the time between two looks for stale, expired and overdue runs. Default 5 s.
	Sweep time.Duration
	// CountFor is how long the consoles of runs that end without their agent are
	// read for their hashes, all of a round together. Default 10 s.
	CountFor time.Duration
	// RepublishAfter is how old a message may be before the sweeper sends it
	// again; one that is still live is left as it is by the queue. Default 30 s.
	RepublishAfter time.Duration
	// PartFor bounds each part of a sweeper's round. Default 30 s.
	PartFor time.Duration
	// NewTrace begins the trace of a run of a job that is triggered in none; nil
	// says that no spans are sent of runs.
	NewTrace func(ctx context.Context, job string) *ci.Trace
	// Observe, if set, is told how long each phase of a run took, once it is done.
	Observe func(r *ci.Run)
}

// Engine moves runs. It is safe for concurrent use.
type Engine struct {
	Config
	console *console.Console
	holder  string
	planned chan int64         // ids that wait for a planner here
	outbox  chan queue.Message // committed, not yet published
	waiting patience
	steady  steady // only the sweeper uses it, and leading
	leading bool
	// overtook is when messages were sent again of runs that were overtaken; the sweeper's, too.
	overtook map[int64]time.Time
	dryRun   sync.Mutex // held by the one plan of retention that is made
}

// New checks the configuration and fills in defaults.
func New(c Config) (*Engine, error) {
	if c.Store == nil || c.Queue == nil || c.Bus == nil || c.Blobs == nil || c.Log == nil {
		return nil, errors.New("engine: Store, Queue, Bus, Blobs and Log are required")
	}
	defaultTo(&c.Lease, time.Minute)
	defaultTo(&c.PlanFor, time.Minute)
	defaultTo(&c.AccessFor, 2*time.Minute)
	defaultTo(&c.Sweep, 5*time.Second)
	defaultTo(&c.CountFor, 10*time.Second)
	defaultTo(&c.RepublishAfter, 30*time.Second)
	defaultTo(&c.PartFor, 30*time.Second)
	if c.Observe == nil {
		c.Observe = func(*ci.Run) {}
	}
	e := &Engine{
		Config:   c,
		holder:   uuid.NewString(),
		overtook: map[int64]time.Time{},
		planned:  make(chan int64, 1024),
		outbox:   make(chan queue.Message, 16<<10),
	}
	e.console = console.New(chunks{Store: c.Store}, c.Blobs)
	return e, nil
}

func defaultTo(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

// Console reads what runs printed.
func (e *Engine) Console() *console.Console { return e.console }

// Run plans, publishes, sweeps and reaps until ctx ends. Only cids call it; an
// agent's engine moves its own runs alone and calls Publish.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.publishLoop(ctx) })
	g.Go(func() error { return e.planLoop(ctx) })
	g.Go(func() error { return e.sweepLoop(ctx) })
	g.Go(func() error { return e.retainLoop(ctx) })
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// moved tells everybody who listens that runs changed. The database has
// decided already: a message that is lost costs time, nothing else.
func (e *Engine) moved(ctx context.Context, runs ...*ci.Run) {
	for _, r := range runs {
		e.tell(ctx, topic("run", r.ID), string(r.Phase))
		if r.Done() {
			e.Observe(r)
		}
	}
	e.tell(ctx, "events", "")
}

func (e *Engine) tell(ctx context.Context, topic, data string) {
	if err := e.Bus.Publish(ctx, topic, []byte(data)); err != nil {
		e.Log.Debug("bus: not told", "topic", topic, "err", err)
	}
}

// event is what a run's present state tells.
func event(t ci.EventType, r *ci.Run, at time.Time) *ci.Event {
	return &ci.Event{Type: t, Run: r.ID, Job: r.Job, Phase: r.Phase, Outcome: r.Outcome, At: at}
}
