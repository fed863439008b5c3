package rabbitmq

import (
	"context"
	"time"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// Pull blocks until one of the lanes has a message. While the server is away
// it waits for its return. It ends with ctx's error, or a ci.CodeUnavailable
// after Close. A message that comes when Pull has ended goes back at once.
func (d *Driver) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	return d.PullAfter(ctx, lanes, 0)
}

// PullAfter is Pull for one of many that wait: the server gives a message to
// whoever hesitates least, and to others only when nobody waits who hesitates
// less. Nobody waits longer for it: hesitation is an order, not a time, and
// becomes the priority of a consumer. The first look is everyone's at once.
func (d *Driver) PullAfter(ctx context.Context, lanes []ci.Lane, hesitation time.Duration) (ci.Delivery, error) {
	want := wanted{lanes, eagerness(hesitation)}
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
		h, err := d.seek(ctx, conn, want)
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

// wanted is what one Pull looks for.
type wanted struct {
	lanes []ci.Lane // in the order of preference
	eager int32     // before others, the larger
}

// eagerest is the priority of a consumer that does not hesitate.
const eagerest = 1_000_000

// eagerness turns a hesitation into a consumer's priority, which is not
// negative: a millionth for each microsecond.
func eagerness(hesitation time.Duration) int32 {
	return int32(eagerest - min(max(hesitation.Microseconds(), 0), eagerest))
}

// seek finds a message, or ends when ctx or the connection does. The client
// library waits for answers as long as the connection lives, so another
// goroutine does, and gives back what comes too late.
func (d *Driver) seek(ctx context.Context, conn *line, want wanted) (*hand, error) {
	type found struct {
		h   *hand
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.closing, cancel)()
	out := make(chan found)
	if !d.run(func() {
		h, err := d.find(ctx, conn, want)
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
func (d *Driver) find(ctx context.Context, conn *line, want wanted) (*hand, error) {
	for ctx.Err() == nil {
		if h, err := d.sit(ctx, conn, want); h != nil || err != nil {
			return h, err
		}
	}
	return nil, ctx.Err()
}

// sit looks for a message on one seat: lane by lane, and then by waiting. It
// returns nil when it is time to look again.
func (d *Driver) sit(ctx context.Context, conn *line, want wanted) (h *hand, err error) {
	var s *seat
	if err := conn.bounded(func() (err error) { s, err = d.seat(conn); return err }); err != nil {
		return nil, err
	}
	defer func() {
		if h == nil {
			s.leave()
		}
	}()
	for _, l := range want.lanes {
		err := conn.bounded(func() error {
			if err = d.lane(conn, l); err == nil {
				h, err = s.get(ctx, l)
			}
			return err
		})
		if h != nil || err != nil {
			return h, err
		}
	}
	return s.wait(ctx, want)
}
