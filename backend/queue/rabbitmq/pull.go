package rabbitmq

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// Pull blocks until one of the lanes has a message. While the server is away
// it waits for its return. It ends with ctx's error, or a ci.CodeUnavailable
// after Close. A message that comes when Pull has ended goes back at once.
func (d *Driver) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	for _, l := range lanes {
		if err := queue.CheckLane(l); err != nil {
			return ci.Delivery{}, err
		}
	}
	for {
		conn, err := d.pulls.wait(ctx)
		if err != nil {
			return ci.Delivery{}, err
		}
		h, err := d.seek(ctx, conn, lanes)
		switch {
		case err == nil:
			return h.delivery(), nil
		case d.ended(ctx) != nil:
			return ci.Delivery{}, d.ended(ctx)
		case ci.CodeOf(err) == ci.CodeInvalid:
			return ci.Delivery{}, err
		case !conn.IsClosed(): // a lost connection is told of where it is made again
			d.log.Warn("the queue does not answer; it is asked again", "err", err)
		}
		select {
		case <-time.After(spread(d.cfg.Retry)):
		case <-ctx.Done():
		case <-d.closing.Done():
		}
	}
}

// seek finds a message, or ends when ctx or the connection does. The client
// library waits for answers as long as the connection lives, so another
// goroutine does, and gives back what comes too late.
func (d *Driver) seek(ctx context.Context, conn *amqp.Connection, lanes []ci.Lane) (*hand, error) {
	type found struct {
		h   *hand
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.closing, cancel)()
	out := make(chan found)
	if !d.run(func() {
		h, err := d.find(ctx, conn, lanes)
		select {
		case out <- found{h, err}:
		case <-ctx.Done():
			if h != nil && h.settle() {
				h.seat.leave()
			}
		}
	}) {
		return nil, errClosed
	}
	select {
	case f := <-out:
		return f.h, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// find takes the first message there is, in the order of preference, or waits
// for one.
func (d *Driver) find(ctx context.Context, conn *amqp.Connection, lanes []ci.Lane) (h *hand, err error) {
	var s *seat
	if err := bounded(conn, func() (err error) { s, err = d.seat(conn); return err }); err != nil {
		return nil, err
	}
	defer func() {
		if h == nil {
			s.leave()
		}
	}()
	for ctx.Err() == nil {
		for _, l := range lanes {
			err := bounded(conn, func() (err error) {
				if err = d.lane(conn, l); err == nil {
					h, err = s.get(ctx, l)
				}
				return err
			})
			if h != nil || err != nil {
				return h, err
			}
		}
		if h, err = s.wait(ctx, lanes); h != nil || err != nil {
			return h, err
		}
	}
	return nil, ctx.Err()
}
