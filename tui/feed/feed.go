// Package feed is the only caller of the API's client in the terminal UI. It
// keeps a picture of the server up to date, says when the server is away, and
// turns each other call into a command that ends in bounded time and runs off
// the update loop, so that nothing on the screen ever waits for the network.
package feed

import (
	"context"
	"io"
	"iter"
	"maps"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
)

// Client is what the terminal UI needs of the API. pkg/api.Client is one; it
// must not repeat calls by itself, since the feed says when it tries again.
type Client interface {
	GetJob(ctx context.Context, name string) (*ci.Job, error)
	PutJob(ctx context.Context, j *ci.Job, ifVersion int64) (*ci.Job, bool, error)
	ListJobs(ctx context.Context) iter.Seq2[ci.Job, error]
	DeleteJob(ctx context.Context, name string) error

	Trigger(ctx context.Context, t ci.Trigger) (*ci.Run, error)
	GetRun(ctx context.Context, job string, id int64) (*ci.Run, error)
	ListRuns(ctx context.Context, f ci.RunFilter) iter.Seq2[ci.Run, error]
	Abort(ctx context.Context, job string, id int64) (*ci.Run, error)
	Explain(ctx context.Context, job string, id int64) (*ci.QueueReport, error)

	Results(ctx context.Context, job string, id int64) ([]ci.Result, error)
	OpenResult(ctx context.Context, job string, id int64, name string) (body io.ReadCloser, contentType, filename string, size int64, err error)
	Console(ctx context.Context, job string, id, from int64, follow bool) (io.ReadCloser, error)
	ConsoleTimes(ctx context.Context, job string, id, from int64) (ci.ConsoleTimes, error)
	Events(ctx context.Context, after int64) iter.Seq2[ci.Event, error]

	ListAgents(ctx context.Context) ([]ci.Agent, error)
	Drain(ctx context.Context, agent string, d ci.Drain) (ci.Drain, error)
	Undrain(ctx context.Context, agent string) error
	Queues(ctx context.Context) ([]ci.QueueDepth, error)

	PutSecret(ctx context.Context, job, name, value string) (ci.Secret, error)
	ListSecrets(ctx context.Context, job string) ([]ci.Secret, error)
	DeleteSecret(ctx context.Context, job, name string) error
}

// How long a call may take, and how often what nobody tells is asked for.
const (
	patience  = 10 * time.Second
	jobsEvery = 10 * time.Second
	restEvery = 2 * time.Second  // agents and queues, whose loads change all the time
	runsEvery = 15 * time.Second // events tell of runs; this is for events that got lost
	// settle gathers events, so that a burst of them is one call.
	settle     = 150 * time.Millisecond
	firstPause = time.Second
	longPause  = 15 * time.Second
	maxJobs    = 5000
	// PageOfRuns is how many runs the picture holds, and by how many it grows on demand.
	PageOfRuns = 200
	maxRuns    = 5000
)

// Job is a job; the name keeps screens from importing more than they need.
type Job = ci.Job

// Snapshot is the picture of the server. Nobody changes one once it was sent.
type Snapshot struct {
	// At is when the server last answered.
	At     time.Time
	Runs   []ci.Run // newest first
	Jobs   []ci.Job // by name
	Agents []ci.Agent
	Queues []ci.QueueDepth
	// Denied says of a part ("agents") why the token may not see it.
	Denied map[string]string
}

// Link says how it stands with the server.
type Link struct {
	Online bool
	// Err is why it is not, NextTry when the feed asks again, Since since when it is so.
	Err     error
	NextTry time.Time
	Since   time.Time
}

// Changed says that a run has changed.
type Changed struct{ Run int64 }

// Feed is one server's picture and calls.
type Feed struct {
	client Client
	pipes  PipelineClient
	now    func() time.Time
	ctx    context.Context // of everything; the program ends with it

	wake      chan struct{}
	wakePipes chan struct{}
	mu        sync.Mutex
	runs      int       // how many are wanted
	jobsOld   bool      // somebody has changed a job
	watchedAt time.Time // when somebody last looked at pipelines

	// Owned by Run.
	snap Snapshot
	seen map[string]time.Time // when each part was last answered
	link Link
}

// New makes a feed whose calls all end with ctx.
func New(ctx context.Context, client Client, pipelines PipelineClient, now func() time.Time) *Feed {
	return &Feed{client: client, pipes: pipelines, now: now, ctx: ctx, wake: make(chan struct{}, 1), wakePipes: make(chan struct{}, 1), runs: PageOfRuns, seen: map[string]time.Time{}, snap: Snapshot{Denied: map[string]string{}}}
}

// Look asks for the whole picture once. It is for programs that don't call Run.
func (f *Feed) Look() (Snapshot, error) {
	clear(f.seen)
	err := f.refresh()
	return f.snap, err
}

// Wake makes the feed look at once.
func (f *Feed) Wake() {
	knock(f.wake)
	if f.watched() {
		knock(f.wakePipes)
	}
}

// More makes the picture hold more runs.
func (f *Feed) More() {
	f.mu.Lock()
	f.runs = min(f.runs+PageOfRuns, maxRuns)
	f.mu.Unlock()
	f.Wake()
}

// Run keeps the picture up to date until ctx ends; send gets Snapshot, Pipelines, Link and Changed.
func (f *Feed) Run(send func(tea.Msg)) {
	var others sync.WaitGroup
	others.Go(func() { f.listen(send) })
	others.Go(func() { f.pipelines(send) })
	defer others.Wait()
	pause := firstPause
	for f.ctx.Err() == nil {
		err := f.refresh()
		if f.ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = firstPause
			f.tell(send, nil, time.Time{})
			send(f.snap)
			f.rest(restEvery)
			continue
		}
		f.tell(send, err, f.now().Add(pause))
		f.rest(pause)
		pause = min(2*pause, longPause)
	}
}

// tell sends how it stands when that has changed, or when there is a new time to wait for.
func (f *Feed) tell(send func(tea.Msg), err error, next time.Time) {
	if online := err == nil; online != f.link.Online || f.link.Since.IsZero() {
		f.link = Link{Online: online, Since: f.now()}
	} else if online {
		return
	}
	f.link.Err, f.link.NextTry = err, next
	send(f.link)
}

// rest waits for d, or until somebody wakes the feed.
func (f *Feed) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.wake:
		// Each list is asked for again: a change of a run frees an agent too.
		for _, part := range []string{"runs", "agents", "queues"} {
			delete(f.seen, part)
		}
	case <-f.ctx.Done():
	}
}

// refresh asks for each part whose time has come. The first that can't be had ends it.
func (f *Feed) refresh() error {
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	f.mu.Lock()
	runs := f.runs
	if f.jobsOld {
		delete(f.seen, "jobs")
		f.jobsOld = false
	}
	f.mu.Unlock()
	now := f.now()
	f.snap.Denied = maps.Clone(f.snap.Denied) // the last one was sent
	parts := []struct {
		name  string
		every time.Duration
		get   func() error
	}{
		{"runs", runsEvery, func() (err error) {
			f.snap.Runs, err = take(f.client.ListRuns(ctx, ci.RunFilter{}), runs)
			return err
		}},
		{"jobs", jobsEvery, func() (err error) {
			f.snap.Jobs, err = take(f.client.ListJobs(ctx), maxJobs)
			return err
		}},
		{"agents", restEvery, func() (err error) { f.snap.Agents, err = f.client.ListAgents(ctx); return err }},
		{"queues", restEvery, func() (err error) { f.snap.Queues, err = f.client.Queues(ctx); return err }},
	}
	for _, p := range parts {
		if at, asked := f.seen[p.name]; asked && now.Sub(at) < p.every-p.every/10 {
			continue
		}
		err := p.get()
		if away(err) {
			return err
		}
		delete(f.snap.Denied, p.name)
		if err != nil {
			f.snap.Denied[p.name] = err.Error()
		}
		f.seen[p.name] = now
	}
	f.snap.At = f.now()
	return nil
}

// away says whether err is about the server as a whole, and not about what was asked.
func away(err error) bool {
	switch ci.CodeOf(err) {
	case ci.CodeUnavailable, ci.CodeTooMany, ci.CodeInternal, ci.CodeUnauthorized:
		return true
	}
	return false
}

// listen wakes the feed when events come. It never gives up while there is a server.
func (f *Feed) listen(send func(tea.Msg)) {
	var pending *time.Timer
	for f.ctx.Err() == nil {
		for e, err := range f.client.Events(f.ctx, -1) {
			if err != nil {
				break
			}
			send(Changed{Run: e.Run})
			if pending == nil {
				pending = time.AfterFunc(settle, f.Wake)
			} else {
				pending.Reset(settle)
			}
		}
		t := time.NewTimer(firstPause)
		select {
		case <-t.C:
		case <-f.ctx.Done():
		}
		t.Stop()
	}
	if pending != nil {
		pending.Stop()
	}
}

// take collects at most n items.
func take[T any](seq iter.Seq2[T, error], n int) ([]T, error) {
	var items []T
	for item, err := range seq {
		if err != nil {
			return nil, err
		}
		if len(items) >= n {
			break
		}
		items = append(items, item)
	}
	return items, nil
}

// forgetJobs has the jobs asked for with the next look.
func (f *Feed) forgetJobs() {
	f.mu.Lock()
	f.jobsOld = true
	f.mu.Unlock()
}
