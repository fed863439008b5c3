package engine_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/pkg/ci"
)

// place is a place in a trace of which only the span's last digit matters.
func place(digit string) *ci.Trace {
	return &ci.Trace{ID: "4bf92f3577b34da6a3ce929d0e0e4736", Span: "00f067aa0ba902b" + digit, Sampled: true, State: "a=1"}
}

// TestTraceOfRuns: who says a place is believed, then who is known to be in one, and else a trace begins if any are sent.
func TestTraceOfRuns(t *testing.T) {
	var mu sync.Mutex
	var ended []ci.Run
	w := setup(t, func(c *engine.Config) {
		c.NewTrace = func(context.Context, string) *ci.Trace { return place("9") }
		c.Observe = func(r *ci.Run) {
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, *r)
		}
	})
	w.scripted("hello")
	w.freestyle()
	recorded := func(p *ci.Trace) *ci.Trace { r := *p; r.Recorded = true; return &r }
	traceOf := func(r *ci.Run) *ci.Trace {
		stored, err := w.db.GetRun(w.ctx, r.Job, r.ID)
		require.NoError(t, err)
		return stored.Trace
	}

	parent := w.trigger(ci.Trigger{Job: "parent", Trace: place("1")})
	require.Equal(t, recorded(place("1")), traceOf(parent))
	require.Equal(t, recorded(place("9")), traceOf(w.trigger(ci.Trigger{Job: "parent"})), "nobody said, so it begins here")
	child := hello
	child.Parent = &ci.RunRef{Job: "parent", Run: parent.ID}
	require.Equal(t, parent.ScriptTrace(), traceOf(w.trigger(child)), "the script that triggers is known")
	child.Trace = place("2")
	require.Equal(t, recorded(place("2")), traceOf(w.trigger(child)), "and knows better where in it")
	batch, err := w.TriggerBatch(w.ctx, []ci.Trigger{child, {Job: "parent", Trace: place("3")}})
	require.NoError(t, err)
	require.Equal(t, recorded(place("2")), traceOf(&batch[0]))
	require.Equal(t, recorded(place("3")), traceOf(&batch[1]))

	claim, work := w.claim(parent.ID, "a")
	require.Equal(t, parent.ScriptTrace(), work.Run.ScriptTrace(), "the agent gets it with the run")
	require.NoError(t, w.Finish(w.ctx, claim, ci.End{Outcome: ci.OutcomeError, Reason: "over", Console: ci.Console{SHA256: sum("")}, Steps: []ci.Step{{Name: "checkout"}}}))
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, ended, 1)
	require.Equal(t, recorded(place("1")), ended[0].Trace)
	require.Len(t, ended[0].Steps, 1, "whoever tells of the run has all of it")
}

// TestTraceIsNotWhatIsAskedFor: a request that is repeated within another trace is the same request.
func TestTraceIsNotWhatIsAskedFor(t *testing.T) {
	w := setup(t)
	w.freestyle()
	asked := hello
	asked.IdempotencyKey, asked.Trace = "key", place("1")
	first := w.trigger(asked)
	require.Equal(t, place("1"), first.Trace, "no spans are sent, so nothing of ours is gone on from")
	asked.Trace = place("2")
	again, replayed, err := w.Trigger(w.ctx, asked)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, first.ID, again.ID)
	require.Equal(t, place("1"), again.Trace)
	require.Nil(t, w.trigger(hello).Trace, "and none begins")
}
