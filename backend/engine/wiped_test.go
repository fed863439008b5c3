package engine_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/queue"
	"ci/backend/queue/nats"
	"ci/pkg/ci"
)

var small = []ci.Lane{{Class: "small", Priority: ci.PriorityNormal}}

// take expects the queue to have a run, and claims it.
func (w *world) take(run int64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	d, err := w.queue.Pull(ctx, small)
	require.NoError(w.t, err)
	require.Equal(w.t, run, d.Run)
	w.claim(run, "a")
	require.NoError(w.t, d.Ack(ctx))
}

// A process dies between commit and publish: the next one publishes.
func TestRunsThatWereNeverPublished(t *testing.T) {
	w := setup(t)
	w.freestyle()
	run := w.trigger(hello) // nobody runs the publisher
	w.loops()
	w.take(run.ID)
}

// movable is a queue in whose place another one can come.
type movable struct{ atomic.Pointer[nats.Driver] }

func (m *movable) Publish(ctx context.Context, ms []queue.Message) error {
	return m.Load().Publish(ctx, ms)
}

func (m *movable) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	return m.Load().Pull(ctx, lanes)
}
func (m *movable) Depth(ctx context.Context) (map[ci.Lane]int, error) { return m.Load().Depth(ctx) }
func (m *movable) Check(ctx context.Context) error                    { return m.Load().Check(ctx) }
func (m *movable) Close() error                                       { return m.Load().Close() }

// The queue's files are wiped, with messages that it had confirmed, while cid
// goes on: all runs are sent again. In a fleet so is what a broker forgets that
// confirms before it syncs.
func TestQueuedRunsSurviveAWipedQueue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	var q movable
	open := func() {
		d, err := nats.Open(nats.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		q.Store(d)
	}
	open()
	w := setup(t, func(c *engine.Config) { c.Queue, c.RepublishAfter = &q, 100*time.Millisecond })
	t.Cleanup(func() { require.NoError(t, q.Close()) }) // behind the loops
	w.freestyle()
	w.loops()
	var runs []int64
	for range 20 {
		runs = append(runs, w.trigger(hello).ID)
	}
	there := func() int {
		depth, err := q.Depth(w.ctx)
		if err != nil {
			return -1
		}
		return depth[small[0]]
	}
	require.Eventually(t, func() bool { return there() == len(runs) }, time.Minute, 5*time.Millisecond, "all are confirmed")
	require.NoError(t, q.Close())
	require.NoError(t, os.RemoveAll(dir))
	open()
	require.Eventually(t, func() bool { return there() == len(runs) }, time.Minute, 5*time.Millisecond)
	var got []int64
	for range runs {
		d, err := q.Pull(w.ctx, small)
		require.NoError(t, err)
		got = append(got, d.Run)
		w.claim(d.Run, "a")
		require.NoError(t, d.Ack(w.ctx))
	}
	require.ElementsMatch(t, runs, got)
}

// forgetful is a queue that has lost the message of one run, which counting
// does not find out: others stand there in its place.
type forgetful struct {
	queue.Queue
	lost atomic.Int64
}

func (f *forgetful) Publish(ctx context.Context, ms []queue.Message) error {
	var kept []queue.Message
	for _, m := range ms {
		if m.Run != f.lost.Load() || m.Overtaken {
			kept = append(kept, m)
		}
	}
	return f.Queue.Publish(ctx, kept)
}

func (f *forgetful) Depth(ctx context.Context) (map[ci.Lane]int, error) {
	depth, err := f.Queue.Depth(ctx)
	if err == nil {
		depth[small[0]]++
	}
	return depth, err
}

// One message of a busy lane is lost: its run has its turn soon all the same.
func TestOvertakenRunIsSentAgain(t *testing.T) {
	f := &forgetful{}
	w := setup(t, func(c *engine.Config) { f.Queue, c.Queue, c.RepublishAfter = c.Queue, f, 100*time.Millisecond })
	w.freestyle()
	run := w.trigger(hello)
	f.lost.Store(run.ID)
	w.loops()
	require.Eventually(t, func() bool { // the first round has sent it, it thinks
		unsent, err := w.db.StaleQueued(w.ctx, time.UnixMicro(1), 1)
		return err == nil && len(unsent) == 0
	}, time.Minute, time.Millisecond)
	younger := w.trigger(hello)
	w.take(younger.ID)
	w.take(run.ID)
}
