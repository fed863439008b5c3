package pipeline

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestTrace: what a pipeline triggers is in its trace, also when it was re-run, and its end is told of once.
func TestTrace(t *testing.T) {
	t.Parallel()
	place := &ci.Trace{ID: "4bf92f3577b34da6a3ce929d0e0e4736", Span: "00f067aa0ba902b7", Sampled: true, State: "a=1", Recorded: true}
	var mu sync.Mutex
	var told []ci.PipelineRun
	s := newSite(t, newWorld(), openJournal(t, ""), func(c *Config) {
		c.Trace = func(context.Context) *ci.Trace { return place }
		c.Done = func(r *ci.PipelineRun) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, *r)
		}
	})
	s.start()
	s.put("two", `all([run("unit"), run("lint")])`)
	r := s.done(s.begin("two", nil))
	require.Equal(t, place, r.Trace)
	own := r.OwnTrace()
	require.NotEqual(t, place.Span, own.Span)
	for _, child := range s.runs {
		require.Equal(t, own, child.Trace)
	}
	require.Len(t, s.runs, 2)
	status, body := s.do("guest", "GET", fmt.Sprintf("/pipelines/two/runs/%d", r.ID), nil)
	require.Equal(t, 200, status)
	require.Contains(t, body, `"trace":{"id":"4bf92f3577b34da6a3ce929d0e0e4736"`)

	mu.Lock()
	defer mu.Unlock()
	require.Len(t, told, 1)
	require.Equal(t, ci.OutcomeSucceeded, told[0].Outcome)
	require.Equal(t, r.Done, told[0].Done)
	require.Equal(t, own, told[0].OwnTrace())
}
