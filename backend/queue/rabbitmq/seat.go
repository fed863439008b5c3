package rabbitmq

import (
	"context"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/pkg/ci"
)

// seat is a channel on which one Pull at a time looks for messages. What was
// delivered on it and is not settled goes back when it is left.
type seat struct {
	d    *Driver
	conn *line
	ch   *amqp.Channel
	lost chan *amqp.Error
	// waited is set once the server was told to bring messages. A message that
	// is on its way when the last consumer is cancelled is dropped by the client
	// library and stays in this channel's hands; so nobody sits here again.
	waited bool
}

// seat returns one on the connection that nobody sits on.
func (d *Driver) seat(conn *line) (*seat, error) {
	for {
		select {
		case s := <-d.idle:
			if s.conn == conn && !s.ch.IsClosed() {
				return s, nil
			}
			continue
		default:
		}
		break
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	// One message of each lane at most may be on its way to a Pull.
	if err := ch.Qos(1, 0, false); err != nil {
		return nil, err
	}
	return &seat{d: d, conn: conn, ch: ch, lost: ch.NotifyClose(make(chan *amqp.Error, 1))}, nil
}

// leave closes the seat, and so gives back what it holds.
func (s *seat) leave() { _ = s.conn.bounded(s.ch.Close) }

// free lets the next Pull have the seat, where it may. Everything that is
// known of on it is settled.
func (s *seat) free() {
	if !s.waited {
		select {
		case s.d.idle <- s:
			return
		default:
		}
	}
	s.d.run(s.leave) // when the driver is closed, so is the channel
}

// get takes a message that waits in a lane; nil when there is none.
func (s *seat) get(ctx context.Context, l ci.Lane) (*hand, error) {
	for ctx.Err() == nil {
		m, ok, err := s.ch.Get(queueOf(l), false)
		if replied(err, amqp.NotFound) {
			s.d.lanes.Delete(l)
		}
		if err != nil || !ok {
			return nil, err
		}
		if h, err := s.hold(m, l); h != nil || err != nil {
			return h, err
		}
	}
	return nil, ctx.Err()
}

// hold takes a message in hand. One that names no run is sent to ci.dead and
// nil returned: it must never come back.
func (s *seat) hold(m amqp.Delivery, l ci.Lane) (*hand, error) {
	run, ok := runOf(m.Body)
	if ok {
		return newHand(s, m.DeliveryTag, run, l), nil
	}
	s.d.log.Warn("a message in the queue names no run; it is put into "+deadQueue, "lane", l.String(), "bytes", len(m.Body))
	return nil, m.Reject(false)
}

// wait has the server bring the next message of any of the lanes. It returns
// nil when they have to be looked into again.
func (s *seat) wait(ctx context.Context, want wanted) (*hand, error) {
	s.waited = true
	in := newInflow(len(want.lanes))
	err := s.conn.bounded(func() error { return in.open(s, want) })
	if err != nil {
		return nil, err // the channel is closed, and so the readers end
	}
	look := time.NewTimer(spread(s.d.cfg.Poll))
	defer look.Stop()
	select {
	case <-in.ring:
	case <-look.C: // who consumes from a queue that is removed is not always told
	case <-ctx.Done():
		s.leave()
		in.readers.Wait()
		return nil, ctx.Err()
	case err := <-s.lost:
		return nil, fmt.Errorf("the channel is lost: %w", orClosed(err))
	}
	if err := s.conn.bounded(func() error { return in.shut(s) }); err != nil {
		return nil, err
	}
	return s.choose(want.lanes, in.all)
}

func orClosed(err *amqp.Error) error {
	if err == nil {
		return amqp.ErrClosed
	}
	return err
}

// choose keeps the message of the best lane and gives the others back.
func (s *seat) choose(lanes []ci.Lane, all []arrival) (best *hand, err error) {
	slices.SortStableFunc(all, func(a, b arrival) int { return a.lane - b.lane })
	for _, a := range all {
		if best != nil {
			err = a.m.Reject(true)
		} else {
			best, err = s.hold(a.m, lanes[a.lane])
		}
		if err != nil {
			if best != nil {
				best.settle()
			}
			return nil, err
		}
	}
	return best, nil
}
