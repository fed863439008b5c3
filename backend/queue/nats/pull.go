package nats

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"ci/pkg/ci"
)

const (
	// answerTime bounds one look into one lane. It goes on when the caller's
	// context ends, since the server may have handed out a message already.
	answerTime = 2 * time.Second
	// settle is how long a woken Pull waits for its message: the server tells
	// the publisher that a message is stored a moment before a consumer has it.
	settle = 25 * time.Millisecond
	// again is when a Pull looks a second time after it began or was woken,
	// should that moment have been longer.
	again = 150 * time.Millisecond
)

// Pull blocks until one of the lanes has a message. While the server is away
// it waits for its return. It ends with ctx's error, or a ci.CodeUnavailable
// after Close.
func (d *Driver) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	for _, l := range lanes {
		if err := checkLane(l); err != nil {
			return ci.Delivery{}, err
		}
	}
	w := d.wakes.add(lanes)
	defer d.wakes.remove(w)
	a := &asker{conn: d.conn}
	defer a.close()
	poll := time.NewTimer(0)
	defer poll.Stop()
	news, wait, pause := lanes, time.Duration(0), again
	for {
		if err := d.ended(ctx); err != nil {
			return ci.Delivery{}, err
		}
		del, found, err := d.look(ctx, a, news, wait)
		if found || err != nil {
			return del, err
		}
		poll.Reset(spread(min(pause, d.cfg.Poll)))
		select {
		case <-w.ring:
			// The other lanes were empty and have not been heard of since.
			news, wait, pause = w.take(), settle, again
		case <-poll.C:
			news, wait, pause = lanes, 0, d.cfg.Poll
		case <-ctx.Done():
		case <-d.closing.Done():
		}
	}
}

func (d *Driver) ended(ctx context.Context) error {
	if d.closing.Err() != nil {
		return errClosed
	}
	return ctx.Err()
}

// spread keeps many agents from asking at the same time.
func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// look goes through the lanes once, and waits in each for a message. What the server fails to answer is left
// for the next time; only an error that waiting can't mend is returned.
func (d *Driver) look(ctx context.Context, a *asker, lanes []ci.Lane, wait time.Duration) (ci.Delivery, bool, error) {
	for _, l := range lanes {
		m, err := d.next(ctx, a, l, wait)
		if gone(err) && d.conn.IsConnected() {
			if err = d.rebuild(d.closing); err == nil {
				m, err = d.next(ctx, a, l, wait)
			}
		}
		switch {
		case d.ended(ctx) != nil && m != nil:
			// Nobody will look at it; without this it would stay away for AckWait.
			_ = d.nak(context.WithoutCancel(ctx), m.Reply, l, 0)
			return ci.Delivery{}, false, d.ended(ctx)
		case d.ended(ctx) != nil:
			return ci.Delivery{}, false, d.ended(ctx)
		case ci.CodeOf(err) == ci.CodeInvalid:
			return ci.Delivery{}, false, err
		case err != nil && !d.conn.IsConnected():
			return ci.Delivery{}, false, nil // its return wakes us
		case err != nil:
			d.log.Warn("the queue does not answer; it is asked again", "lane", l.String(), "err", err)
			return ci.Delivery{}, false, nil
		case m != nil:
			return d.delivery(m, l), true, nil
		}
	}
	return ci.Delivery{}, false, nil
}

// next takes a message from a lane; nil when it is empty for so long.
func (d *Driver) next(ctx context.Context, a *asker, l ci.Lane, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	v, err := d.lane(ctx, l)
	if err != nil {
		return nil, err
	}
	for {
		m, err := a.ask(ctx, v.next, wait)
		if m == nil || err != nil {
			return nil, err
		}
		if _, ok := runOf(m.Subject, l); ok {
			return m, nil
		}
		d.log.Warn("a message in the queue names no run; it is thrown away", "subject", m.Subject)
		if _, err := d.conn.RequestWithContext(ctx, m.Reply, []byte("+TERM names no run")); err != nil {
			return nil, err
		}
	}
}
