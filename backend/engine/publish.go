package engine

import (
	"context"
	"time"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// publishBatch is how many messages go out together at the most.
const publishBatch = 256

// publishLoop sends committed runs to the queue. It waits for nothing but the
// next message: triggering never waits for the queue.
func (e *Engine) publishLoop(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-e.outbox:
			e.publish(ctx, e.drain(m))
		}
	}
}

// drain takes what else waits already.
func (e *Engine) drain(first queue.Message) []queue.Message {
	ms := []queue.Message{first}
	for len(ms) < publishBatch {
		select {
		case m := <-e.outbox:
			ms = append(ms, m)
		default:
			return ms
		}
	}
	return ms
}

func (e *Engine) publish(ctx context.Context, ms []queue.Message) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := e.Queue.Publish(ctx, ms); err != nil {
		e.Log.Warn("queue: not published; the sweeper tries again", "runs", len(ms), "err", err)
	}
}

func message(r *ci.Run) queue.Message {
	return queue.Message{Run: r.ID, Lane: ci.Lane{Class: r.Class, Priority: r.Priority}}
}
