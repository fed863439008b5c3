// Package agentd is an agent: a machine that takes waiting runs when it has
// room for them and carries them out. It pulls, and is never pushed to.
//
//	admission (load, quota, floors) → Pull → Claim → runner.Runner → slot free
//
// Beside that it renews the leases of what it holds, tells the backend how it
// is, and drains when it is asked to. It knows the backend by Uplink, Queue and
// Bus, and containers by runner.Driver.
package agentd

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"ci/agentd/admission"
	"ci/agentd/runner"
	"ci/pkg/ci"
)

// Uplink is what an agent tells the backend, and asks it.
type Uplink interface {
	runner.Uplink
	// Claim takes a queued run. Repeating a claim with the same ID succeeds
	// again. ci.CodeConflict and ci.CodeNotFound mean that it is not to be had,
	// ci.CodeForbidden that this agent is to take nothing, and others may. Any
	// other error may hide a yes, unless ci.ErrUnclaimed is in its chain.
	Claim(ctx context.Context, c ci.Claim) (*ci.Work, error)
	// Renew keeps the claims alive, all in one call, with a verdict for each.
	Renew(ctx context.Context, agent string, claims []ci.Claim) ([]ci.Verdict, error)
	// Heartbeat tells how the agent is, and returns the order to drain, or nil.
	Heartbeat(ctx context.Context, a ci.Agent) (*ci.Drain, error)
}

// Keeper is an Uplink that knows which agents keep room for runs that have
// waited for long. Without it an agent keeps its room by its own decision.
type Keeper interface {
	// Keep asks to be among the few agents that keep their room for the runs of
	// a lane. A yes holds for ci.KeepFor, and is prolonged by asking again.
	Keep(ctx context.Context, agent string, lane ci.Lane) (bool, error)
}

// Queue hands out waiting runs.
type Queue interface {
	// Pull blocks until a run waits in one of the lanes, which stand in order of preference, or ctx ends.
	// A backend that claims by itself returns the run with its claim, also when ctx ended at that moment.
	Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error)
}

// Hesitant is a Queue that lets others go first.
type Hesitant interface {
	// PullAfter is Pull, but when it has to wait, and a message comes, those that
	// hesitate less are asked first: by the server, or because the others hold
	// back for so long.
	PullAfter(ctx context.Context, lanes []ci.Lane, hesitation time.Duration) (ci.Delivery, error)
}

// Bus wakes the agent. What it misses comes with the next renewal.
type Bus interface {
	// Subscribe calls fn for each message of a topic until cancel is called.
	Subscribe(topic string, fn func(topic string, data []byte)) (cancel func(), err error)
}

// Config is what an agent is made of. ID, Uplink, Queue, Driver and Classes
// are required; other zero values mean their defaults.
type Config struct {
	// ID names the agent for good; its restarts keep it. It is a name as ci.ValidateName allows.
	ID      string
	Version string
	Uplink  Uplink
	Queue   Queue
	// Bus brings aborts at once. Without one they come with the renewal of the lease.
	Bus    Bus
	Driver runner.Driver
	// Classes returns the quota classes, in ascending order. It is asked again every few seconds.
	Classes func(context.Context) ([]ci.Quota, error)
	// Depths returns since when the first run of each lane waits; what else it says
	// is not looked at. With it, the agent keeps room for a large run that has
	// waited for Patience, if Uplink is a Keeper and lets it. It may be nil.
	Depths func(context.Context) ([]ci.QueueDepth, error)

	// CPUs and Memory (bytes) are offered to runs: by default all that the machine has.
	CPUs   float64
	Memory int64
	// Threshold is the CPU load (0 to 1) over which nothing is taken, unless
	// the runs that are here explain it (0.85). 1 never refuses for load.
	Threshold float64
	// MinFreeMemory and MinFreeDisk (in Dir) are floors in bytes; below them
	// nothing is taken. By default 256 MiB and 1 GiB, or 2 % of the whole where that is more.
	MinFreeMemory int64
	MinFreeDisk   int64
	// Dir is where results wait for their upload; "" means the system's temporary folder.
	Dir string
	// Machine tells load and free space; the default reads /proc and the control groups.
	Machine admission.Machine

	// TTL is how long the backend lets a claim live without a renewal (60 s).
	// The agent kills a run of its own after three quarters of that.
	TTL time.Duration
	// HeartbeatEvery is the time between two heartbeats when nothing changes (5 s).
	HeartbeatEvery time.Duration
	// SweepEvery is the time between two searches for leftovers (1 min).
	SweepEvery time.Duration
	// Patience is how long a large run waits before room is kept for it (30 s).
	Patience time.Duration
	// Runner changes the time limits inside a run; its Uplink, Driver, Log, Dir and Doubt are filled in.
	Runner runner.Config
	Log    *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if err := ci.ValidateName(c.ID); err != nil {
		return c, err
	}
	if c.Uplink == nil || c.Queue == nil || c.Driver == nil || c.Classes == nil {
		return c, errors.New("an agent needs an Uplink, a Queue, a Driver and Classes")
	}
	if c.Machine == nil {
		c.Machine = admission.NewProc(c.Dir)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("agent", c.ID)
	if c.CPUs <= 0 || c.Memory <= 0 {
		s, err := c.Machine.Sample()
		if err != nil {
			return c, err
		}
		c.CPUs, c.Memory = cmp.Or(max(0, c.CPUs), s.Cores), cmp.Or(max(0, c.Memory), s.MemoryTotal)
	}
	c.Threshold = cmp.Or(c.Threshold, 0.85)
	c.TTL = cmp.Or(c.TTL, time.Minute)
	c.HeartbeatEvery = cmp.Or(c.HeartbeatEvery, 5*time.Second)
	c.SweepEvery = cmp.Or(c.SweepEvery, time.Minute)
	c.Patience = cmp.Or(c.Patience, 30*time.Second)
	c.Runner.Uplink, c.Runner.Driver, c.Runner.Log, c.Runner.Dir = c.Uplink, c.Driver, c.Log, c.Dir
	return c, nil
}

// Agent is one agent. Run is called once; Drain and Leave at any time.
type Agent struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex
	slots map[int64]*slot
	// early are aborts that came before the claim they are about, with their time.
	early map[int64]time.Time
	drain drain
	// problem says why nothing can be run; "" when it can.
	problem string
	// ended says that the engine was gone, not only slow, since the last check.
	ended     bool
	leftovers int
	classes   []ci.Quota
	load      admission.Load
	// peak is the most that was held since the last look at the machine.
	peak    ci.Quota
	gate    admission.Gate
	waiting map[ci.Lane]waiting
	// kept is until when this agent keeps its room for the first run of a lane.
	kept map[ci.Lane]time.Time

	// swept is closed when the search for leftovers that goes on has ended; nil when none does.
	swept chan struct{}

	runs   sync.WaitGroup
	sweeps chan struct{} // holds a token while leftovers are swept
	admit  chan struct{} // something changed that admission looks at
	beat   chan struct{} // something changed that the backend should know
}

// New checks cfg and makes an agent.
func New(cfg Config) (*Agent, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Agent{
		cfg:     cfg,
		log:     cfg.Log,
		slots:   map[int64]*slot{},
		early:   map[int64]time.Time{},
		problem: ci.AgentStarting,
		waiting: map[ci.Lane]waiting{},
		kept:    map[ci.Lane]time.Time{},
		admit:   make(chan struct{}, 1),
		beat:    make(chan struct{}, 1),
		sweeps:  make(chan struct{}, 1),
	}
	a.cfg.Runner.Doubt = a.doubt
	return a, nil
}

// changed wakes the loops that depend on the agent's state.
func (a *Agent) changed() {
	for _, c := range []chan struct{}{a.admit, a.beat} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
