package fake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"ci/pkg/ci"
)

// Backend is a backend in memory: the uplink, queue and bus of an agent. It
// guards every move of a run as the real one does, by ci.Transitions and the
// claim. Its zero limits mean no limit, its zero durations a default.
type Backend struct {
	TTL        time.Duration // of a lease; 60 s
	Timeout    time.Duration // of a run; 1 h
	Grace      time.Duration // between SIGTERM and SIGKILL
	MaxConsole int64
	MaxResult  int64
	// Notes are those of every run's job file.
	Notes []string
	// Secrets are those of every run.
	Secrets map[string]string

	// Fault is asked before and after each call of the uplink; n counts all
	// calls from 1. An error before means that the call never arrived, one
	// after that its answer was lost. It may be nil, and may wait.
	Fault func(ctx context.Context, call string, n int, after bool) error

	mu      sync.Mutex
	calls   int
	last    int64
	runs    map[int64]*Row
	agents  map[string]ci.Agent
	drains  map[string]*ci.Drain
	lanes   map[ci.Lane][]int64
	inHand  int
	keepers map[ci.Lane]map[string]time.Time // until when which agent keeps room
	waiting chan struct{}                    // closed and made anew when a message arrives
	subs    map[int]subscriber
	subID   int
}

// Row is what the backend knows of a run.
type Row struct {
	Run     ci.Run
	Console []byte
	Results map[string]string
	// Claims counts how many different claims have held it, Starts how often its script was said to begin.
	Claims, Starts int
	// Reports are the calls about it that changed something, in order.
	Reports []string
}

// NewBackend makes an empty backend.
func NewBackend() *Backend {
	return &Backend{
		TTL: time.Minute, Timeout: time.Hour, Grace: 10 * time.Second,
		MaxConsole: 1 << 30, MaxResult: 1 << 20,
		runs: map[int64]*Row{}, agents: map[string]ci.Agent{}, drains: map[string]*ci.Drain{},
		lanes: map[ci.Lane][]int64{}, waiting: make(chan struct{}), subs: map[int]subscriber{}, keepers: map[ci.Lane]map[string]time.Time{},
	}
}

// Trigger queues a run of a script (see Driver) that saves the named results.
func (b *Backend) Trigger(class, script string, results ...string) int64 {
	return b.TriggerIn(ci.Lane{Class: class, Priority: ci.PriorityNormal}, script, results...)
}

// TriggerIn is Trigger for any lane.
func (b *Backend) TriggerIn(lane ci.Lane, script string, results ...string) int64 {
	spec := &ci.Spec{Script: script, Resources: ci.Resources{CPUs: 1, Memory: 2 << 30}, Notes: b.Notes}
	for _, name := range results {
		spec.Results = append(spec.Results, ci.ResultSpec{Name: name, Path: name + ".txt"})
	}
	b.mu.Lock()
	b.last++
	id := b.last
	b.runs[id] = &Row{Results: map[string]string{}, Run: ci.Run{
		ID: id, Job: "play", Status: ci.StatusInProgress, Phase: ci.PhaseQueued, Class: lane.Class, Priority: lane.Priority, Spec: spec,
	}}
	b.mu.Unlock()
	b.Publish(id, lane)
	return id
}

// Get returns a copy of a run's row.
func (b *Backend) Get(run int64) Row {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire()
	r := b.runs[run]
	if r == nil {
		return Row{}
	}
	row := *r
	row.Console = slices.Clone(r.Console)
	row.Reports = slices.Clone(r.Reports)
	return row
}

// Agent returns an agent as it last described itself.
func (b *Backend) Agent(id string) ci.Agent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.agents[id]
}

// Drain orders an agent to drain; nil undoes it.
func (b *Backend) Drain(agent string, d *ci.Drain) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drains[agent] = d
}

// Abort asks for a run's end; told says whether the bus may tell the agent too.
func (b *Backend) Abort(run int64, told bool) {
	b.mu.Lock()
	r := b.runs[run]
	agent := r.Run.Agent
	switch {
	case r.Run.Done():
	case r.Run.Phase == ci.PhaseQueued:
		b.done(r, ci.End{Outcome: ci.OutcomeAborted, Reason: "The run was aborted before it began."})
	default:
		r.Run.AbortRequestedAt = time.Now()
	}
	b.mu.Unlock()
	if told && agent != "" {
		b.Tell("abort."+agent, fmt.Appendf(nil, "%d", run))
	}
}

// call counts a call and asks Fault about it.
func (b *Backend) call(ctx context.Context, name string, do func() error) error {
	b.mu.Lock()
	b.calls++
	n := b.calls
	b.mu.Unlock()
	if err := b.fault(ctx, name, n, false); err != nil {
		return err
	}
	b.mu.Lock()
	b.expire()
	err := do()
	b.mu.Unlock()
	if err != nil {
		return err
	}
	return b.fault(ctx, name, n, true)
}

func (b *Backend) fault(ctx context.Context, name string, n int, after bool) error {
	if b.Fault == nil {
		return ctx.Err()
	}
	if err := b.Fault(ctx, name, n, after); err != nil {
		return err
	}
	return ctx.Err()
}

// Calls returns how many calls of the uplink there were.
func (b *Backend) Calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// expire ends the runs whose lease ran out. b.mu is held.
func (b *Backend) expire() {
	now := time.Now()
	for _, r := range b.runs {
		if !r.Run.Done() && r.Run.Claim != "" && now.After(r.Run.LeaseUntil) {
			b.done(r, ci.End{Outcome: ci.OutcomeLost, Reason: "Its agent went away.", ScriptStarted: r.Run.ScriptStarted})
		}
	}
}

// done ends a run. b.mu is held.
func (b *Backend) done(r *Row, e ci.End) {
	r.Run.Status, r.Run.Outcome, r.Run.Reason = ci.StatusDone, e.Outcome, e.Reason
	r.Run.ExitCode, r.Run.ScriptStarted, r.Run.Console = e.ExitCode, e.ScriptStarted, e.Console
	r.Run.Times.Done = time.Now()
	r.Reports = append(r.Reports, "done "+string(e.Outcome))
}

// owned returns the row that a claim holds. b.mu is held.
func (b *Backend) owned(c ci.Claim) (*Row, error) {
	r := b.runs[c.Run]
	switch {
	case r == nil:
		return nil, ci.Errorf(ci.CodeNotFound, "there is no run %d", c.Run)
	case r.Run.Claim != c.ID || r.Run.Done():
		return nil, ci.Errorf(ci.CodeConflict, "run %d is not held by this claim", c.Run)
	}
	return r, nil
}

// move moves an owned run to a phase; being there already is fine. b.mu is held.
func (b *Backend) move(c ci.Claim, to ci.Phase) (r *Row, moved bool, err error) {
	r, err = b.owned(c)
	if err != nil || r.Run.Phase == to {
		return r, false, err
	}
	if !ci.Allowed(r.Run.Phase, ci.State{Phase: to}) {
		return r, false, ci.Errorf(ci.CodeConflict, "run %d can't go from %s to %s", c.Run, r.Run.Phase, to)
	}
	r.Run.Phase = to
	r.Reports = append(r.Reports, string(to))
	return r, true, nil
}

// sumOf is the console as the backend would seal it.
func sumOf(data []byte) ci.Console {
	sum := sha256.Sum256(data)
	return ci.Console{Bytes: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

// readAll reads a result.
func readAll(r io.Reader) (string, error) {
	data, err := io.ReadAll(r)
	return string(data), err
}
