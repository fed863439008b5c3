package rabbitmq

import (
	"context"
	"sync/atomic"
	"time"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// longestRest bounds how long a message that was given back is kept: well
// below the half hour after which RabbitMQ closes the channel.
const longestRest = 10 * time.Minute

// hand is a message that was handed out. However this process ends, its
// connection does, and RabbitMQ gives the message to another.
type hand struct {
	seat    *seat
	tag     uint64
	run     int64
	lane    ci.Lane
	settled atomic.Bool
	limit   *time.Timer
}

// newHand counts AckWait from now. RabbitMQ's own limit is half an hour.
func newHand(s *seat, tag uint64, run int64, l ci.Lane) *hand {
	h := &hand{seat: s, tag: tag, run: run, lane: l}
	h.limit = time.AfterFunc(s.d.cfg.AckWait, func() {
		if h.settled.CompareAndSwap(false, true) {
			s.d.log.Warn("a message was in hand for too long; another gets it", "run", run, "lane", l.String())
			_ = h.giveBack()
		}
	})
	return h
}

// settle is true once: for who may say what becomes of the message.
func (h *hand) settle() bool {
	h.limit.Stop()
	return h.settled.CompareAndSwap(false, true)
}

func (h *hand) delivery() ci.Delivery {
	return ci.Delivery{Run: h.run, Lane: h.lane, Ack: h.ack, Nak: h.nak}
}

// ack removes the message. RabbitMQ does not confirm it: should it be lost
// with the connection, the message comes again.
func (h *hand) ack(ctx context.Context) error {
	if !h.settle() {
		return nil // it was in hand for too long, and is another's now
	}
	d := h.seat.d
	d.live.gone(h.run)
	d.bus.mark(markGone, []queue.Message{{Run: h.run, Lane: h.lane}})
	if err := h.seat.ch.Ack(h.tag, false); err != nil {
		return d.wrap(ctx, err)
	}
	h.seat.free()
	return nil
}

// nak gives the message back. For a delay it is kept here, so that it goes
// back to the head of its lane then, or at once when this process ends.
func (h *hand) nak(ctx context.Context, delay time.Duration) error {
	if !h.settle() {
		return nil
	}
	if delay > 0 {
		time.AfterFunc(min(delay, longestRest), func() { _ = h.giveBack() })
		return nil
	}
	return h.seat.d.wrap(ctx, h.giveBack())
}

func (h *hand) giveBack() error {
	if err := h.seat.ch.Reject(h.tag, true); err != nil {
		return err
	}
	h.seat.free()
	return nil
}
