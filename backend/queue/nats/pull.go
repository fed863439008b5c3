package nats

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"ci/pkg/ci"
)

// answerTime bounds one look into one lane. It goes on when the caller's
// context ends, since the server may have handed out a message already.
const answerTime = 2 * time.Second

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
	poll := time.NewTimer(d.pause())
	defer poll.Stop()
	for {
		if err := d.ended(ctx); err != nil {
			return ci.Delivery{}, err
		}
		del, found, err := d.look(ctx, a, lanes)
		if found || err != nil {
			return del, err
		}
		poll.Reset(d.pause())
		select {
		case <-w.woken:
		case <-poll.C:
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

// pause spreads the polls of many agents.
func (d *Driver) pause() time.Duration {
	return time.Duration(float64(d.cfg.Poll) * (0.8 + 0.4*rand.Float64()))
}

// look goes through the lanes once. What the server fails to answer is left
// for the next time; only an error that waiting can't mend is returned.
func (d *Driver) look(ctx context.Context, a *asker, lanes []ci.Lane) (ci.Delivery, bool, error) {
	for _, l := range lanes {
		m, err := d.next(ctx, a, l)
		if gone(err) && d.conn.IsConnected() {
			if err = d.rebuild(d.closing); err == nil {
				m, err = d.next(ctx, a, l)
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

// next takes a message from a lane; nil when it is empty.
func (d *Driver) next(ctx context.Context, a *asker, l ci.Lane) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	v, err := d.lane(ctx, l)
	if err != nil {
		return nil, err
	}
	for {
		m, err := a.ask(ctx, v.next)
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
