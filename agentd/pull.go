package agentd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"ci/agentd/admission"
	"ci/pkg/ci"
)

const (
	// claimPatience is how long one claim is tried before the message goes back.
	claimPatience = 5 * time.Second
	// claimTimeout bounds one try. It is longer than claimPatience: when a thousand
	// agents claim at once the database answers late, and a try that is given up
	// and made again only adds to what it has to do. All tries together stay well
	// below the time after which the queue gives the message to another agent.
	claimTimeout = 15 * time.Second
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
	work, claim, claimed, err := a.claim(ctx, d.Run)
	code := ci.CodeOf(err)
	switch {
	case err == nil:
		a.start(ctx, work, claim, claimed)
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

// claim takes a run in the database. An answer that never came may have been
// a yes, so later tries for the same run repeat the same claim.
func (a *Agent) claim(ctx context.Context, run int64) (work *ci.Work, c ci.Claim, sent time.Time, err error) {
	try, again := a.unsure[run]
	if !again || time.Since(try.first) > a.selfKill()/2 {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, c, sent, fmt.Errorf("make a claim id: %w", err)
		}
		try = unsure{claim: ci.Claim{Run: run, Agent: a.cfg.ID, ID: id.String()}, first: time.Now()}
	}
	begin := time.Now()
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		work, err = a.claimOnce(ctx, try.claim)
		code := ci.CodeOf(err)
		if err == nil || code == ci.CodeConflict || code == ci.CodeNotFound || code == ci.CodeForbidden {
			delete(a.unsure, run)
			return work, try.claim, try.first, err
		}
		if ctx.Err() != nil || time.Since(begin) > claimPatience {
			if len(a.unsure) > 1000 { // their leases have long run out
				clear(a.unsure)
			}
			a.unsure[run] = try
			return nil, try.claim, try.first, err
		}
		sleep(ctx, wait)
	}
}

// unsure is a claim whose answer never came. Its lease may count from its first try.
type unsure struct {
	claim ci.Claim
	first time.Time
}

func (a *Agent) claimOnce(ctx context.Context, c ci.Claim) (*ci.Work, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	work, err := a.cfg.Uplink.Claim(ctx, c)
	if err == nil && work == nil {
		return nil, ci.Errorf(ci.CodeInternal, "the backend answered the claim of run %d without any work", c.Run)
	}
	return work, err
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
