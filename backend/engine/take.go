package engine

import (
	"context"
	"time"

	"github.com/google/uuid"

	"ci/pkg/ci"
)

const (
	// settleTimeout bounds what is still told to the queue once a Take is over.
	settleTimeout = 5 * time.Second
	// restAfterFailure is how long the message rests of a run that could not be claimed for want of something.
	restAfterFailure = 5 * time.Second
	// claimShare is the part of a lease that a claim may take: longer, and it would
	// be old before it is known, as when somebody who is frozen holds a lock on the run.
	claimShare = 4
)

// Take waits until a run is there that the agent may have, claims it, and
// settles its message: an agent that can't reach the queue gets a run whole or
// not at all. nil says that none came in time.
//
// It may be repeated with the same ID when its answer was lost: the run that was
// claimed under it comes again, with a new lease, as long as its script has
// not begun. An ID whose run is further than that is ci.CodeConflict. Of an
// agent's Takes the newest alone waits, whichever cid the others are at.
//
// ci.CodeForbidden means that this agent is to take nothing, and others may.
// may is asked before anything is claimed: a token can be revoked meanwhile.
func (e *Engine) Take(ctx context.Context, t ci.Take, may func(context.Context) error) (*ci.Taken, error) {
	ctx, leave := e.onlyTake(ctx, t.Agent)
	defer leave()
	if taken, err := e.takenBefore(ctx, t); taken != nil || err != nil || len(t.Lanes) == 0 {
		return taken, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.Wait)
	defer cancel()
	for {
		d, err := e.pull(ctx, t)
		if ctx.Err() != nil && err != nil {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		taken, err := e.takeOne(ctx, t, d, may)
		if taken != nil || err != nil {
			return taken, err
		}
	}
}

// hesitant is a queue that lets others go first.
type hesitant interface {
	PullAfter(ctx context.Context, lanes []ci.Lane, hesitation time.Duration) (ci.Delivery, error)
}

func (e *Engine) pull(ctx context.Context, t ci.Take) (ci.Delivery, error) {
	if q, ok := e.Queue.(hesitant); ok {
		return q.PullAfter(ctx, t.Lanes, t.Hesitation)
	}
	return e.Queue.Pull(ctx, t.Lanes)
}

// takeTopic is where an agent's Takes hear of each other.
func takeTopic(agent string) string { return "take." + agent }

// onlyTake returns a context that ends when the agent takes anew elsewhere. It
// ends earlier ones. Without a bus they end by their time.
func (e *Engine) onlyTake(ctx context.Context, agent string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	me := uuid.NewString()
	unsubscribe, err := e.Bus.Subscribe(takeTopic(agent), func(_ string, data []byte) {
		if string(data) != me {
			cancel()
		}
	})
	if err != nil {
		e.Log.Debug("bus: a take hears of no other", "agent", agent, "err", err)
		unsubscribe = func() {}
	}
	e.tell(ctx, takeTopic(agent), me)
	return ctx, func() { unsubscribe(); cancel() }
}

// takenBefore returns the run that an earlier Take with this ID has claimed.
func (e *Engine) takenBefore(ctx context.Context, t ci.Take) (*ci.Taken, error) {
	run, err := e.Store.ClaimedBy(ctx, t.Agent, t.ID)
	if err != nil || run == nil {
		return nil, err
	}
	c := ci.Claim{Run: run.ID, Agent: t.Agent, ID: t.ID}
	if run.Phase != ci.PhasePreparing {
		return nil, ci.Errorf(ci.CodeConflict, "the claim %s holds run %d, which is %s already; take the next run with another id", t.ID, run.ID, run.Phase)
	}
	since := time.Now()
	verdicts, err := e.Renew(ctx, t.Agent, []ci.Claim{c})
	if err != nil {
		return nil, err
	}
	if verdicts[0].Gone {
		return nil, ci.Errorf(ci.CodeConflict, "the claim %s does not hold run %d any more; take the next run with another id", t.ID, run.ID)
	}
	work, err := e.Claim(ctx, c)
	if err != nil {
		return nil, err
	}
	return &ci.Taken{Claim: c, Lane: ci.Lane{Class: run.Class, Priority: run.Priority}, Work: work, Since: since}, nil
}

// takeOne claims the run of one message and settles the message. Neither a run
// nor an error says that it was not to be had.
func (e *Engine) takeOne(ctx context.Context, t ci.Take, d ci.Delivery, may func(context.Context) error) (*ci.Taken, error) {
	err := ctx.Err() // who asked is gone, or asks elsewhere
	if err == nil {
		err = may(ctx)
	}
	if err != nil {
		e.giveBack(ctx, d, 0)
		return nil, err
	}
	c, since := ci.Claim{Run: d.Run, Agent: t.Agent, ID: t.ID}, time.Now()
	claiming, cancel := context.WithTimeout(ctx, e.Lease/claimShare)
	defer cancel()
	work, err := e.Claim(claiming, c)
	switch ci.CodeOf(err) {
	case "":
		e.settled(ctx, d)
		return &ci.Taken{Claim: c, Lane: d.Lane, Work: work, Since: since}, nil
	case ci.CodeConflict, ci.CodeNotFound:
		return e.notToBeHad(ctx, t, d)
	case ci.CodeForbidden: // the agent is to drain; others may have the run at once
		e.giveBack(ctx, d, 0)
		return nil, err
	}
	e.giveBack(ctx, d, restAfterFailure)
	return nil, err
}

// notToBeHad tells a run that went to somebody else from one that could not be
// claimed since another Take with the same ID was faster.
func (e *Engine) notToBeHad(ctx context.Context, t ci.Take, d ci.Delivery) (*ci.Taken, error) {
	taken, err := e.takenBefore(ctx, t)
	if taken == nil && err == nil || taken != nil && taken.Claim.Run == d.Run {
		e.settled(ctx, d)
	} else {
		e.giveBack(ctx, d, 0)
	}
	return taken, err
}

// settled tells the queue that a run needs no agent any more. If that is lost,
// the message comes again and is refused.
func (e *Engine) settled(ctx context.Context, d ci.Delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := d.Ack(ctx); err != nil {
		e.Log.Warn("take: a message could not be acknowledged; it will come again and be refused", "run", d.Run, "err", err)
	}
}

// giveBack lets another agent have a message. If that is lost, it comes again by itself.
func (e *Engine) giveBack(ctx context.Context, d ci.Delivery, delay time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := d.Nak(ctx, delay); err != nil {
		e.Log.Warn("take: a message could not be given back; it will come again by itself", "run", d.Run, "err", err)
	}
}

// Terms tells an agent what it can't look up by itself.
func (e *Engine) Terms(ctx context.Context, agent string) (*ci.Terms, error) {
	config, err := e.Store.GetConfig(ctx)
	if err != nil {
		return nil, err
	}
	depths, err := e.Store.QueueHeads(ctx)
	if err != nil {
		return nil, err
	}
	return &ci.Terms{Agent: agent, Lease: e.Lease, Classes: config.Classes, Depths: depths}, nil
}
