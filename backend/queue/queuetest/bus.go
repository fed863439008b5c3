package queuetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// ear keeps what a subscription hears.
type ear struct {
	mu    sync.Mutex
	heard []string
}

func (e *ear) listen(topic string, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, topic+"="+string(data))
}

func (e *ear) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string{}, e.heard...)
}

func (e *ear) hears(t *testing.T, want ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(e.all()) >= len(want) }, bound, time.Millisecond, "%v", want)
	require.Equal(t, want, e.all())
}

func subscribe(t *testing.T, s *System, topic string) *ear {
	t.Helper()
	e := &ear{}
	cancel, err := s.Bus.Subscribe(topic, e.listen)
	require.NoError(t, err)
	t.Cleanup(cancel)
	return e
}

func say(t *testing.T, s *System, topic, data string) {
	t.Helper()
	require.NoError(t, s.Bus.Publish(t.Context(), topic, []byte(data)))
}

func topics(t *testing.T, s *System) {
	one := subscribe(t, s, "run.42")
	runs := subscribe(t, s, "run.*")
	middle := subscribe(t, s, "a.*.c")
	all := subscribe(t, s, ">")
	rest := subscribe(t, s, "a.>")
	say(t, s, "run.42", "x")
	say(t, s, "run.43", "")
	say(t, s, "a.b.c", "1")
	say(t, s, "a.b.c.d", "2")
	say(t, s, "plan", "7")
	one.hears(t, "run.42=x")
	runs.hears(t, "run.42=x", "run.43=")
	middle.hears(t, "a.b.c=1")
	rest.hears(t, "a.b.c=1", "a.b.c.d=2")
	all.hears(t, "run.42=x", "run.43=", "a.b.c=1", "a.b.c.d=2", "plan=7")
}

func wrongTopics(t *testing.T, s *System) {
	for _, topic := range []string{"", ".", "a.", ".a", "a..b", "a b", "a\nb", "a*", "a.#", "a.>.b"} {
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(s.Bus.Publish(t.Context(), topic, nil)), "%q", topic)
		_, err := s.Bus.Subscribe(topic, func(string, []byte) {})
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%q", topic)
	}
	for _, topic := range []string{"*", "a.*", ">"} {
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(s.Bus.Publish(t.Context(), topic, nil)), "%q", topic)
	}
}

func busOrder(t *testing.T, s *System) {
	e := subscribe(t, s, "console.1")
	var want []string
	for i := range 1000 {
		data := fmt.Sprint(i)
		say(t, s, "console.1", data)
		want = append(want, "console.1="+data)
	}
	e.hears(t, want...)
}

func busCancel(t *testing.T, s *System) {
	e := &ear{}
	cancel, err := s.Bus.Subscribe("events", e.listen)
	require.NoError(t, err)
	other := subscribe(t, s, "events")
	say(t, s, "events", "1")
	e.hears(t, "events=1")
	cancel()
	cancel()
	say(t, s, "events", "2")
	other.hears(t, "events=1", "events=2")
	e.hears(t, "events=1")
}

func stalled(t *testing.T, s *System) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	cancel, err := s.Bus.Subscribe("events", func(string, []byte) { <-release })
	require.NoError(t, err)
	t.Cleanup(cancel)
	last := make(chan struct{})
	cancel, err = s.Bus.Subscribe("events", func(_ string, data []byte) {
		if string(data) == "last" {
			close(last)
		}
	})
	require.NoError(t, err)
	t.Cleanup(cancel)
	data := string(make([]byte, 1000))
	start := time.Now()
	for i := range 20_000 {
		say(t, s, "events", data)
		if i%1000 == 0 {
			// Publishing faster than anyone could listen is not the point here.
			publish(t, s, normal, int64(i+1))
			require.EqualValues(t, i+1, take(t, s, normal))
		}
	}
	say(t, s, "events", "last")
	select {
	case <-last:
	case <-time.After(bound):
		t.Fatal("the other subscriber waits for the stalled one")
	}
	t.Log("20,000 messages passed a stalled subscriber in", time.Since(start))
}
