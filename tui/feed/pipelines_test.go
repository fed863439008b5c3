package feed

import (
	"context"
	"iter"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// pipes is a server of pipelines with one run, that holds its answers until the run changes.
type pipes struct {
	*server
	mu      sync.Mutex
	changed chan struct{}
	reason  string
	asked   int
	old     bool // a server that can't hold answers
}

func (p *pipes) ListPipelines(context.Context) iter.Seq2[ci.Pipeline, error] {
	return one(ci.Pipeline{Name: "release"}, nil)
}

func (p *pipes) change(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reason = reason
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pipes) WaitPipelineRuns(ctx context.Context, _ string, _ int, since string) ([]ci.PipelineRun, string, error) {
	for {
		p.mu.Lock()
		reason, changed := p.reason, p.changed
		p.asked++
		p.mu.Unlock()
		if p.old {
			return []ci.PipelineRun{{ID: 1, Reason: reason}}, "", nil
		}
		if reason != since {
			return []ci.PipelineRun{{ID: 1, Reason: reason}}, reason, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
}

// watching runs a feed that somebody looks at pipelines of.
func watching(t *testing.T, p *pipes) chan tea.Msg {
	t.Helper()
	p.server, p.changed, p.reason = &server{events: make(chan ci.Event)}, make(chan struct{}), "begins"
	ctx, cancel := context.WithCancel(t.Context())
	f := New(ctx, p.server, p, time.Now)
	msgs := make(chan tea.Msg, 1000)
	var all sync.WaitGroup
	all.Go(func() { f.Run(func(m tea.Msg) { msgs <- m }) })
	all.Go(func() {
		for ctx.Err() == nil {
			f.WatchPipelines()
			time.Sleep(watchedFor / 10)
		}
	})
	t.Cleanup(func() { cancel(); all.Wait() })
	return msgs
}

func shows(reason string) func(Pipelines) bool {
	return func(p Pipelines) bool { return p.Err == nil && len(p.Runs) == 1 && p.Runs[0].Reason == reason }
}

// While somebody looks, the server is asked once and answers when something has changed.
func TestPipelinesAreTold(t *testing.T) {
	t.Parallel()
	var p pipes
	msgs := watching(t, &p)
	await(t, msgs, shows("begins"))
	for _, reason := range []string{"waits", "asks", "ends"} {
		p.change(reason)
		await(t, msgs, shows(reason))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Less(t, p.asked, 20, "nobody asks again and again")
}

// A server that can't hold its answers is asked every now and then.
func TestPipelinesOfAnOldServer(t *testing.T) {
	t.Parallel()
	p := pipes{old: true}
	msgs := watching(t, &p)
	await(t, msgs, shows("begins"))
	p.change("ends")
	await(t, msgs, shows("ends"))
}
