package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/queue"
	"ci/pkg/ci"
)

func TestWaitEndsInTime(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run := w.trigger(hello)
	began := time.Now()
	got, err := w.Wait(w.ctx, "hello", run.ID, ci.UntilDone, 50*time.Millisecond)
	require.NoError(t, err)
	require.False(t, got.Done())
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
	_, err = w.Wait(w.ctx, "hello", 999, ci.UntilDone, time.Second)
	require.Equal(t, ci.CodeNotFound, code(err))
}

// deaf is a bus that is away.
type deaf struct{ queue.Bus }

// Subscribe implements engine.Bus.
func (deaf) Subscribe(string, func(string, []byte)) (func(), error) {
	return nil, ci.Errorf(ci.CodeUnavailable, "the bus is away")
}

// A waiter whom the bus does not tell looks by itself.
func TestWaitWithoutBus(t *testing.T) {
	w := setup(t, func(c *engine.Config) { c.Bus = deaf{c.Bus} })
	w.freestyle()
	run := w.trigger(hello)
	aborted := time.AfterFunc(50*time.Millisecond, func() {
		_, err := w.Abort(w.ctx, "hello", run.ID, "")
		assert.NoError(t, err)
	})
	defer aborted.Stop()
	got, err := w.Wait(w.ctx, "hello", run.ID, ci.UntilDone, time.Minute)
	require.NoError(t, err)
	require.Equal(t, ci.OutcomeAborted, got.Outcome)
}

// A server that stops ends waits at any moment, also before they have begun:
// each is answered with the run as it is, never with an error.
func TestWaitEndsWithItsContext(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run := w.trigger(hello)
	for i := range 100 {
		ctx, cancel := context.WithTimeout(w.ctx, time.Duration(i)*20*time.Microsecond)
		got, err := w.Wait(ctx, "hello", run.ID, ci.UntilDone, time.Minute)
		cancel()
		require.NoError(t, err, i)
		require.False(t, got.Done())
	}
}
