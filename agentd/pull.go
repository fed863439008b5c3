package agentd

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ci/agentd/admission"
	"ci/pkg/ci"
)

const (
	// settleTimeout bounds an Ack or a Nak: losing either costs time only.
	settleTimeout = 5 * time.Second
	// nakDelay is how long a message rests when the backend could not be asked about it.
	nakDelay = 5 * time.Second
	// pullPause is the time between two pulls while the queue is away, give or take a half.
	pullPause = time.Second
)

// errChanged says that a pull was given up because admission changed.
var errChanged = errors.New("other lanes are wanted now")

// pullLoop takes one run after the other, as long as admission allows it.
func (a *Agent) pullLoop(ctx context.Context) {
	away := false
	for ctx.Err() == nil {
		lanes := a.lanes()
		if len(lanes) == 0 {
			if a.isLeaving() {
				return
			}
			select {
			case <-ctx.Done():
			case <-a.admit:
			}
			continue
		}
		d, err := a.pull(ctx, lanes)
		switch {
		case err == nil:
			away = false
			a.take(ctx, d)
		case ctx.Err() != nil || errors.Is(err, errChanged):
		case ci.CodeOf(err) == ci.CodeForbidden:
			a.log.Info("nothing is to be taken", "err", err)
			a.refused()
		default:
			if !away {
				a.log.Warn("the queue does not answer; trying on", "err", err)
			}
			away = true
			sleep(ctx, pullPause/2+rand.N(pullPause)) // many agents come back after the same fault
		}
	}
}

// pull waits for one message in lanes. It gives up (errChanged) when admission
// does not want these lanes any more.
func (a *Agent) pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-a.admit:
				if !slices.Equal(lanes, a.lanes()) {
					cancel(errChanged)
				}
			}
		}
	})
	d, err := a.next(ctx, lanes)
	if err != nil && errors.Is(context.Cause(ctx), errChanged) {
		err = errChanged
	}
	cancel(nil)
	watch.Wait()
	return d, err
}

// next lets busier agents go first where the queue can.
func (a *Agent) next(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	q, ok := a.cfg.Queue.(Hesitant)
	if !ok {
		return a.cfg.Queue.Pull(ctx, lanes)
	}
	a.mu.Lock()
	wait := admission.Hesitation(a.cfg.ID, a.offered(), a.held())
	a.mu.Unlock()
	return q.PullAfter(ctx, lanes, wait)
}

// take claims a run and starts it. The message is settled only then, and at
// most once: what the database says about the run decides, not the message.
func (a *Agent) take(ctx context.Context, d ci.Delivery) {
	if d.Taken != nil {
		a.taken(ctx, d.Taken)
		return
	}
	if !slices.Contains(a.lanes(), d.Lane) {
		a.nak(ctx, d, 0) // it was on its way when admission changed its mind
		return
	}
	if a.holds(d.Run) {
		a.ack(ctx, d)
		return
	}
	try, err := a.newTry(d.Run)
	var work *ci.Work
	if err == nil {
		work, err = a.claim(ctx, try, claimPatience, min(claimTimeout, a.cfg.TTL/claimShare))
	}
	code := ci.CodeOf(err)
	switch {
	case err == nil:
		a.start(ctx, work, try.claim, try.first)
		a.ack(ctx, d)
	case code == ci.CodeConflict || code == ci.CodeNotFound:
		a.log.Debug("the run went to someone else", "run", d.Run, "err", err)
		a.ack(ctx, d)
	case code == ci.CodeForbidden:
		a.log.Info("nothing is to be claimed; the message goes back", "run", d.Run, "err", err)
		a.refused()
		a.nak(ctx, d, 0)
	default:
		a.log.Warn("the run could not be claimed; its message goes back", "run", d.Run, "err", err)
		a.nak(ctx, d, nakDelay)
		if try != nil && try.unsure {
			a.clear(ctx, try)
		}
	}
}

// taken starts a run that the backend has claimed for us. It can't be given
// back, so one that came while admission changed its mind is carried out.
func (a *Agent) taken(ctx context.Context, t *ci.Taken) {
	if a.holds(t.Claim.Run) {
		a.log.Warn("the backend hands out a run that is here already", "run", t.Claim.Run)
		return
	}
	a.start(ctx, t.Work, t.Claim, t.Since)
}

func (a *Agent) holds(run int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.slots[run]
	return ok
}

func (a *Agent) ack(ctx context.Context, d ci.Delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := d.Ack(ctx); err != nil {
		a.log.Warn("a message could not be acknowledged; it will come again and be refused", "run", d.Run, "err", err)
	}
}

func (a *Agent) nak(ctx context.Context, d ci.Delivery, delay time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := d.Nak(ctx, delay); err != nil {
		a.log.Warn("a message could not be given back; it will come again by itself", "run", d.Run, "err", err)
	}
}
