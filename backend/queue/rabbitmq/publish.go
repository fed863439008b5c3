package rabbitmq

import (
	"context"
	"errors"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// window is how many messages are on their way to the server at once.
const window = 256

// publisher is a channel whose messages the server confirms. Those that fit
// no queue come back before their confirmation.
type publisher struct {
	conn     *line
	ch       *amqp.Channel
	returned chan amqp.Return
}

// Publish adds messages whose runs have none yet. When it returns nil, a
// majority of the queue's servers has stored them. After an error some may be;
// what was stored then and is published again is doubled.
func (d *Driver) Publish(ctx context.Context, ms []queue.Message) error {
	for _, m := range ms {
		if m.Run <= 0 {
			return ci.Errorf(ci.CodeInvalid, "run %d can't be queued: ids begin at 1", m.Run)
		}
		if err := queue.CheckLane(m.Lane); err != nil {
			return err
		}
	}
	for len(ms) > 0 {
		n := min(window, len(ms))
		if err := d.publishSome(ctx, ms[:n]); err != nil {
			return d.wrap(ctx, err)
		}
		ms = ms[n:]
	}
	return nil
}

// publishSome does it for one window. What has begun goes on when ctx ends, in
// bounded time.
func (d *Driver) publishSome(ctx context.Context, ms []queue.Message) error {
	if err := d.pubs.refuses(); err != nil {
		return err
	}
	conn, err := d.pubs.now()
	if err != nil {
		return err
	}
	if err := d.bus.hearMarks(ctx); err != nil {
		return err
	}
	if err := d.publishing.take(ctx); err != nil {
		return err
	}
	_, err = ask(ctx, d, func() (bool, error) {
		defer d.publishing.leave()
		limit, cancel := context.WithTimeout(d.dead, min(2*patience, d.cfg.Answer))
		defer cancel()
		// A server that doesn't read would hold up whoever writes.
		stop := context.AfterFunc(limit, func() { conn.cut(grace) })
		defer stop()
		return true, d.store(limit, conn, ms)
	})
	return err
}

// store sends what is not live. What comes back, since its queue is gone, is
// sent once more.
func (d *Driver) store(ctx context.Context, conn *line, ms []queue.Message) error {
	p, err := d.confirmed(conn)
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		fresh, err := d.fresh(conn, ms)
		if err != nil || len(fresh) == 0 {
			return err
		}
		back, err := p.send(ctx, fresh)
		if err != nil {
			return err
		}
		stored := slices.DeleteFunc(fresh, func(m queue.Message) bool { return back[m.Lane] })
		d.live.add(stored)
		d.bus.mark(markAdd, stored)
		if len(back) == 0 {
			return nil
		}
		if again {
			return errors.New("RabbitMQ has lost a queue that was made a moment before")
		}
		for l := range back {
			d.lanes.Delete(l)
		}
	}
}

// fresh returns the messages whose runs have none that is live, and makes
// their queues.
func (d *Driver) fresh(conn *line, ms []queue.Message) ([]queue.Message, error) {
	looked := map[ci.Lane]bool{}
	for _, m := range ms {
		if looked[m.Lane] {
			continue
		}
		looked[m.Lane] = true
		if err := d.lane(conn, m.Lane); err != nil {
			return nil, err
		}
		if !d.live.doubtful(m.Lane) {
			continue
		}
		waiting, _, err := inspect(conn, queueOf(m.Lane))
		if err != nil {
			return nil, err
		}
		if d.live.audit(m.Lane, waiting) {
			d.log.Info("messages of a lane are missing; waiting runs are queued again", "lane", m.Lane.String(), "there", waiting)
		}
	}
	return d.live.missing(ms), nil
}

// confirmed returns a publisher on the connection. It is called by who has the turn.
func (d *Driver) confirmed(conn *line) (*publisher, error) {
	if p := d.publisher; p != nil && p.conn == conn && !p.ch.IsClosed() {
		return p, nil
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	if err := ch.Confirm(false); err != nil {
		return nil, err
	}
	// The client library blocks on a full channel; this one never is.
	d.publisher = &publisher{conn, ch, ch.NotifyReturn(make(chan amqp.Return, window))}
	return d.publisher, nil
}

// send waits until the server has stored the messages, and returns the lanes
// that have no queue.
func (p *publisher) send(ctx context.Context, ms []queue.Message) (back map[ci.Lane]bool, err error) {
	confirms := make([]*amqp.DeferredConfirmation, 0, len(ms))
	for _, m := range ms {
		c, err := p.ch.PublishWithDeferredConfirm("", queueOf(m.Lane), true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, ContentType: "text/plain", Body: bodyOf(m.Run),
		})
		if err != nil {
			return nil, err
		}
		confirms = append(confirms, c)
	}
	refused := 0
	for _, c := range confirms {
		acked, err := c.WaitContext(ctx)
		if err != nil {
			return nil, err
		}
		if !acked {
			refused++
		}
	}
	back = p.unroutable(ms)
	if refused > 0 && len(back) == 0 {
		return nil, errors.New("RabbitMQ could not store a message, or the connection was lost meanwhile")
	}
	return back, nil
}

// unroutable takes what has come back, and returns its lanes.
func (p *publisher) unroutable(ms []queue.Message) map[ci.Lane]bool {
	back := map[ci.Lane]bool{}
	for {
		select {
		case r, ok := <-p.returned:
			if !ok {
				return back
			}
			for _, m := range ms {
				if queueOf(m.Lane) == r.RoutingKey {
					back[m.Lane] = true
					break
				}
			}
		default:
			return back
		}
	}
}
