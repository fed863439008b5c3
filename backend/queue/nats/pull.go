package nats

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"ci/backend/queue"
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
	// maxVain is how often a hesitation doubles.
	maxVain = 2
)

// Pull blocks until one of the lanes has a message. While the server is away
// it waits for its return. It ends with ctx's error, or a ci.CodeUnavailable
// after Close.
func (d *Driver) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	return d.PullAfter(ctx, lanes, 0)
}

// PullAfter is Pull for one of many that wait: once it is woken it holds back
// for so long, and asks only if nobody took the message meanwhile. Its first
// look is at once, and so is each look by itself. With the server in this
// process there is nobody else, and it does not hold back. It also chooses who
// hears: a wake-up reaches a few of those that hold back for about as long.
//
// Who asked in vain holds back for twice as long the next time, and then four
// times: on a slow network or a busy server the news that a message is taken
// comes late, and would find all of a large fleet asking. The next Pull is quick again.
func (d *Driver) PullAfter(ctx context.Context, lanes []ci.Lane, hesitation time.Duration) (ci.Delivery, error) {
	for _, l := range lanes {
		if err := queue.CheckLane(l); err != nil {
			return ci.Delivery{}, err
		}
	}
	w := newWaiter(lanes)
	leave, err := d.attend(w, hesitation)
	defer leave()
	if err != nil {
		return ci.Delivery{}, err
	}
	if d.server != nil {
		hesitation = 0
	}
	a := &asker{conn: d.conn}
	defer a.close()
	poll := time.NewTimer(0)
	defer poll.Stop()
	news, wait, pause := lanes, time.Duration(0), again
	back := holdback{base: hesitation}
	for {
		del, found, err := d.look(ctx, a, w, news, wait)
		if found || err != nil {
			return del, err
		}
		if wait > 0 && len(news) > 0 {
			back.inVain()
		}
		poll.Reset(spread(min(pause, d.cfg.Poll)))
		select {
		case <-w.ring:
			d.letOthers(ctx, w, back.wait())
			// Of other lanes others have heard, if there was anything to hear.
			if news, wait, pause = w.take(), settle, again; len(news) == 0 {
				pause = d.cfg.Poll // somebody else was quicker
			}
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

// holdback is how long a Pull lets others go first once it is woken.
type holdback struct {
	base time.Duration
	vain int // how often it asked after a wake-up and got nothing, up to maxVain
}

func (h *holdback) wait() time.Duration { return h.base << h.vain }

func (h *holdback) inVain() { h.vain = min(h.vain+1, maxVain) }

// letOthers waits, and hears meanwhile what others take.
func (d *Driver) letOthers(ctx context.Context, w *waiter, pause time.Duration) {
	if pause <= 0 {
		return
	}
	stop, _ := d.hearTook(w, w.news()) // without it, it asks in vain
	defer stop()
	pauseFor(ctx, pause)
}

func pauseFor(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// spread keeps many agents from asking at the same time.
func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// look goes through the lanes once, and waits in each for a message. What the server fails to answer is left
// for the next time; only an error that waiting can't mend is returned. Lanes
// that w was woken for stay its news until they have answered.
func (d *Driver) look(ctx context.Context, a *asker, w *waiter, lanes []ci.Lane, wait time.Duration) (ci.Delivery, bool, error) {
	left := lanes
	if wait > 0 {
		defer func() { w.keep(left) }()
	}
	if err := d.ended(ctx); err != nil {
		return ci.Delivery{}, false, err
	}
	for i, l := range lanes {
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
		}
		left = lanes[i+1:]
		if m != nil {
			d.took(m, l)
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
