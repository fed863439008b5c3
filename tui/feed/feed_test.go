package feed

import (
	"context"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"ci/pkg/ci"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/require"
)

// server is one that goes away and comes back.
type server struct {
	Client         // what is not called here
	PipelineClient // the same
	mu             sync.Mutex
	err            error
	lists          int
	denied         error
	events         chan ci.Event
}

func (s *server) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *server) state() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	return s.err
}

func one[T any](item T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) { yield(item, err) }
}

func (s *server) ListRuns(context.Context, ci.RunFilter) iter.Seq2[ci.Run, error] {
	return one(ci.Run{ID: 1}, s.state())
}

func (s *server) ListJobs(context.Context) iter.Seq2[ci.Job, error] {
	return one(ci.Job{Name: "a"}, s.state())
}

func (s *server) ListAgents(context.Context) ([]ci.Agent, error) {
	if err := s.state(); err != nil {
		return nil, err
	}
	return nil, s.denied
}

// ListPipelines is of a server apart, which is never there.
func (s *server) ListPipelines(context.Context) iter.Seq2[ci.Pipeline, error] {
	return one(ci.Pipeline{}, ci.Errorf(ci.CodeUnavailable, "no pipelines"))
}

func (s *server) Queues(context.Context) ([]ci.QueueDepth, error) { return nil, s.state() }

func (s *server) Events(ctx context.Context, _ int64) iter.Seq2[ci.Event, error] {
	return func(yield func(ci.Event, error) bool) {
		for {
			select {
			case e := <-s.events:
				if !yield(e, nil) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// await returns the next message that fits, and fails when none comes.
func await[T any](t *testing.T, msgs chan tea.Msg, fits func(T) bool) T {
	t.Helper()
	over := time.After(time.Minute)
	for {
		select {
		case m := <-msgs:
			if v, ok := m.(T); ok && fits(v) {
				return v
			}
		case <-over:
			t.Fatal("the message does not come")
		}
	}
}

func TestAwayAndBack(t *testing.T) {
	t.Parallel()
	s := &server{events: make(chan ci.Event), denied: ci.Errorf(ci.CodeForbidden, "not for you")}
	ctx, cancel := context.WithCancel(t.Context())
	f := New(ctx, s, s, time.Now)
	msgs := make(chan tea.Msg, 1000)
	done := make(chan struct{})
	go func() { defer close(done); f.Run(func(m tea.Msg) { msgs <- m }) }()
	any := func(Snapshot) bool { return true }

	require.True(t, await(t, msgs, func(Link) bool { return true }).Online)
	snap := await(t, msgs, any)
	require.Equal(t, "not for you", snap.Denied["agents"], "what is denied does not hide the rest")
	require.Len(t, snap.Runs, 1)
	f.WatchPipelines() // looks at once
	require.ErrorContains(t, await(t, msgs, func(p Pipelines) bool { return p.Err != nil }).Err, "no pipelines", "pipelines may be away alone")

	s.set(ci.Errorf(ci.CodeUnavailable, "gone"))
	s.events <- ci.Event{Run: 7}
	require.Equal(t, int64(7), await(t, msgs, func(Changed) bool { return true }).Run)
	off := await(t, msgs, func(l Link) bool { return !l.Online })
	require.EqualError(t, off.Err, "gone")
	require.True(t, off.NextTry.After(off.Since))

	s.set(nil)
	f.Wake()
	await(t, msgs, func(l Link) bool { return l.Online })
	await(t, msgs, any)
	cancel()
	<-done
}

// stream is a console that breaks off.
type stream struct {
	Client
	parts []string // each is one connection's; "" fails
	from  []int64
}

func (s *stream) Console(_ context.Context, _ string, _, from int64, _ bool) (io.ReadCloser, error) {
	s.from = append(s.from, from)
	part := s.parts[0]
	s.parts = s.parts[1:]
	if part == "" {
		return nil, ci.Errorf(ci.CodeUnavailable, "gone")
	}
	text, cut := strings.CutSuffix(part, "!")
	r := io.Reader(strings.NewReader(text))
	if cut {
		r = io.MultiReader(r, broken{})
	}
	return io.NopCloser(r), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, ci.Errorf(ci.CodeUnavailable, "cut") }

func TestConsoleGoesOn(t *testing.T) {
	t.Parallel()
	s := &stream{parts: []string{"one\n!", "", "two\n"}}
	now := time.Now()
	f := New(t.Context(), s, nil, func() time.Time { return now })
	var got strings.Builder
	c := f.Console(ci.RunRef{Job: "a", Run: 1}, &got)
	defer c.Close()
	var breaks int
	for {
		m, ok := c.Next()().(ConsoleGrew)
		require.True(t, ok)
		if m.Err != nil {
			breaks++
			require.True(t, m.Again.After(now))
		}
		if m.Over {
			break
		}
	}
	require.Equal(t, "one\ntwo\n", got.String())
	require.Equal(t, []int64{0, 4, 4}, s.from, "it goes on at the byte where it was")
	require.Equal(t, 2, breaks)
}
