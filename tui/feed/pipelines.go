package feed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
)

// PipelineClient is what the terminal UI needs of the API of pipelines, which
// may be another server's. pkg/api.Client is one; it must not repeat calls by itself.
type PipelineClient interface {
	ListPipelines(ctx context.Context) iter.Seq2[ci.Pipeline, error]
	GetPipeline(ctx context.Context, name string) (*ci.Pipeline, error)
	RunPipeline(ctx context.Context, name string, parameters map[string]string, key string) (*ci.PipelineRun, error)
	RerunPipeline(ctx context.Context, name string, id int64, failed bool, key string) (*ci.PipelineRun, error)
	ListPipelineRuns(ctx context.Context, name string, status ci.Status, outcome ci.Outcome) iter.Seq2[ci.PipelineRun, error]
	WaitPipelineRuns(ctx context.Context, name string, n int, since string) (runs []ci.PipelineRun, state string, err error)
	GetPipelineRun(ctx context.Context, name string, id int64) (*ci.PipelineRun, error)
	WaitPipelineRun(ctx context.Context, name string, id int64, since int) (*ci.PipelineRun, error)
	AbortPipelineRun(ctx context.Context, name string, id int64) (*ci.PipelineRun, error)
	AnswerPipeline(ctx context.Context, name string, id int64, call string, approved bool, note string) (*ci.PipelineRun, error)
}

const (
	// pipelinesEvery is how often pipelines are asked for while somebody looks at
	// them, where a server can't hold its answer until something has changed.
	pipelinesEvery = 2 * time.Second
	// pipelinesCalm is how long changes are gathered.
	pipelinesCalm = 500 * time.Millisecond
	// watchedFor is how long somebody counts as looking.
	watchedFor = 5 * time.Second
	// heldFor is how long an answer about pipelines' runs is held, at most.
	heldFor      = 20 * time.Second
	maxPipelines = 1000
)

// Pipelines is the picture of the pipelines. Nobody changes one once it was sent.
type Pipelines struct {
	// At is when the server last answered; zero for never.
	At   time.Time
	List []ci.Pipeline    // by name
	Runs []ci.PipelineRun // newest first, without their calls
	// state is what Runs show, for the server; "" where it does not say.
	state string
	// Err is why the rest is not up to date.
	Err error
}

// Runs of pipelines.
type (
	// PipelineRunsLoaded are the newest runs of one pipeline.
	PipelineRunsLoaded struct {
		Name string
		Runs []ci.PipelineRun
		Err  error
	}
	// PipelineRunLoaded is one run of a pipeline with its calls.
	PipelineRunLoaded struct {
		Name string
		ID   int64
		Run  *ci.PipelineRun
		Err  error
		// Held says that it is what Next has waited for.
		Held bool
	}
)

// LookAtPipelines asks for the picture of the pipelines once.
func (f *Feed) LookAtPipelines() (p Pipelines) {
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	if p.List, p.Err = take(f.pipes.ListPipelines(ctx), maxPipelines); p.Err != nil {
		return p
	}
	if p.Runs, p.state, p.Err = f.pipes.WaitPipelineRuns(ctx, "", PageOfRuns, ""); p.Err == nil {
		p.At = f.now()
	}
	return p
}

// pipelines keeps their picture up to date until the feed ends. It is apart from
// the rest: where pipelines are a server of their own, that may be away alone.
func (f *Feed) pipelines(send func(tea.Msg)) {
	var p Pipelines
	for f.ctx.Err() == nil {
		next := f.LookAtPipelines()
		if f.ctx.Err() != nil {
			return
		}
		if next.Err == nil {
			p = next
		}
		p.Err = next.Err
		send(p)
		f.restPipelines(p)
	}
}

// restPipelines waits until pipelines are to be looked at again: while somebody does, that is when something has changed.
func (f *Feed) restPipelines(p Pipelines) {
	changed := make(chan struct{})
	every := runsEvery
	if f.watched() {
		every = pipelinesEvery
		if p.state != "" && p.Err == nil {
			ctx, cancel := context.WithTimeout(f.ctx, heldFor)
			go func() {
				defer close(changed)
				f.pipelinesChange(ctx, p.state)
			}()
			defer func() { cancel(); <-changed }()
			every = heldFor
		}
	}
	t := time.NewTimer(every)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-f.wakePipes:
	case <-f.ctx.Done():
	}
}

// pipelinesChange returns once the list is in another state. One that changes all the time is told of now and then.
func (f *Feed) pipelinesChange(ctx context.Context, since string) {
	begun := time.Now()
	_, _, err := f.pipes.WaitPipelineRuns(ctx, "", PageOfRuns, since)
	pause := pipelinesCalm - time.Since(begun)
	if err != nil {
		pause = pipelinesEvery
	}
	t := time.NewTimer(max(pause, 0))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// WatchPipelines says that somebody looks at pipelines now. Else they are asked for seldom.
func (f *Feed) WatchPipelines() {
	was := f.watched()
	f.mu.Lock()
	f.watchedAt = time.Now()
	f.mu.Unlock()
	if !was {
		knock(f.wakePipes)
	}
}

func (f *Feed) watched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.watchedAt) < watchedFor
}

// PipelineRuns asks for the newest runs of one pipeline.
func (f *Feed) PipelineRuns(name string, n int) tea.Cmd {
	return f.call(patience, func(ctx context.Context) tea.Msg {
		runs, err := take(f.pipes.ListPipelineRuns(ctx, name, "", ""), n)
		return PipelineRunsLoaded{name, runs, err}
	})
}

// Watch follows one run of a pipeline.
type Watch struct {
	feed   *Feed
	name   string
	id     int64
	ctx    context.Context
	cancel context.CancelFunc
}

// WatchPipelineRun begins to follow a run; Close ends that.
func (f *Feed) WatchPipelineRun(name string, id int64) *Watch {
	w := &Watch{feed: f, name: name, id: id}
	w.ctx, w.cancel = context.WithCancel(f.ctx)
	return w
}

// Close ends what is under way.
func (w *Watch) Close() { w.cancel() }

// Look asks how the run stands.
func (w *Watch) Look() tea.Cmd {
	return w.feed.call(patience, func(ctx context.Context) tea.Msg { return w.look(ctx, false) })
}

func (w *Watch) look(ctx context.Context, held bool) tea.Msg {
	run, err := w.feed.pipes.GetPipelineRun(ctx, w.name, w.id)
	return PipelineRunLoaded{w.name, w.id, run, err, held}
}

// Next waits until more has happened than since, the Progress that was seen, or
// for heldFor. It is nothing once the watch was closed.
func (w *Watch) Next(since int) tea.Cmd {
	return func() tea.Msg {
		held, cancel := context.WithTimeout(w.ctx, heldFor)
		defer cancel()
		run, err := w.feed.pipes.WaitPipelineRun(held, w.name, w.id, since)
		switch {
		case w.ctx.Err() != nil || errors.Is(err, context.Canceled):
			return nil
		case held.Err() != nil: // nothing was counted, but its reason may read otherwise
			ctx, cancel := context.WithTimeout(w.ctx, patience)
			defer cancel()
			return w.look(ctx, true)
		}
		return PipelineRunLoaded{w.name, w.id, run, err, true}
	}
}

// did makes a command of something that the user does to a pipeline.
func (f *Feed) did(said string, made bool, do func(context.Context) (*ci.PipelineRun, error)) tea.Cmd {
	return f.act(func(ctx context.Context) Acted {
		run, err := do(ctx)
		knock(f.wakePipes)
		if err != nil {
			return Acted{Err: err}
		}
		return Acted{Said: fmt.Sprintf(said, PipelineRef(run)), Pipeline: run, Made: made}
	})
}

// PipelineRef is how a run of a pipeline is called.
func PipelineRef(r *ci.PipelineRun) string { return ci.RunRef{Job: r.Pipeline, Run: r.ID}.String() }

// RunPipeline begins a run of a pipeline. Its key makes a second try harmless.
func (f *Feed) RunPipeline(name string, parameters map[string]string, key string) tea.Cmd {
	return f.did("Started %s.", true, func(ctx context.Context) (*ci.PipelineRun, error) {
		return f.pipes.RunPipeline(ctx, name, parameters, key)
	})
}

// RerunPipeline begins a run with what another one had; failed reuses what succeeded then.
func (f *Feed) RerunPipeline(name string, id int64, failed bool, key string) tea.Cmd {
	return f.did("Started %s.", true, func(ctx context.Context) (*ci.PipelineRun, error) {
		return f.pipes.RerunPipeline(ctx, name, id, failed, key)
	})
}

// AbortPipelineRun asks for the end of a run and of all that it has triggered.
func (f *Feed) AbortPipelineRun(name string, id int64) tea.Cmd {
	return f.did("%s is asked to end.", false, func(ctx context.Context) (*ci.PipelineRun, error) {
		return f.pipes.AbortPipelineRun(ctx, name, id)
	})
}

// AnswerPipeline says yes or no to what a call of a run asks.
func (f *Feed) AnswerPipeline(name string, id int64, call string, approved bool, note string) tea.Cmd {
	said := "Rejected in %s."
	if approved {
		said = "Approved in %s."
	}
	return f.did(said, false, func(ctx context.Context) (*ci.PipelineRun, error) {
		return f.pipes.AnswerPipeline(ctx, name, id, call, approved, note)
	})
}

// LookAtPipeline asks for a pipeline's run and waits for the answer. It is for programs that don't call Run.
func (f *Feed) LookAtPipeline(name string, id int64) (*ci.PipelineRun, error) {
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	return f.pipes.GetPipelineRun(ctx, name, id)
}

// knock fills a channel of one place, unless it is full.
func knock(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
