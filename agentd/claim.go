package agentd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"ci/pkg/ci"
)

const (
	// claimPatience is how long one claim is tried before the message goes back.
	claimPatience = 5 * time.Second
	// claimTimeout bounds one try. It is longer than claimPatience: when a thousand
	// agents claim at once the database answers late, and a try that is given up
	// and made again only adds to what it has to do. All tries before the message goes
	// back stay well below the time after which the queue gives it to another agent.
	// Of a short lease it is claimShare: a later answer would be of an old lease.
	claimTimeout = 15 * time.Second
	claimShare   = 4
	// claimPause is the most time between two tries.
	claimPause = 2 * time.Second
)

// try is a claim that is asked for until there is an answer. Its lease may count from its first call.
type try struct {
	claim ci.Claim
	first time.Time
	// unsure is set once a call failed that may have claimed the run all the same.
	unsure bool
}

func (a *Agent) newTry(run int64) (*try, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make a claim id: %w", err)
	}
	return &try{claim: ci.Claim{Run: run, Agent: a.cfg.ID, ID: id.String()}, first: time.Now()}, nil
}

// claim takes a run in the database. An answer that never came may have been
// a yes, so each call, of which each has its time, repeats the same claim.
func (a *Agent) claim(ctx context.Context, try *try, patience, each time.Duration) (*ci.Work, error) {
	begin := time.Now()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, claimPause) {
		work, err := a.claimOnce(ctx, try.claim, each)
		code := ci.CodeOf(err)
		if err == nil || code == ci.CodeConflict || code == ci.CodeNotFound || code == ci.CodeForbidden {
			return work, err
		}
		try.unsure = try.unsure || !errors.Is(err, ci.ErrUnclaimed)
		if ctx.Err() != nil || time.Since(begin) > patience {
			return nil, err
		}
		sleep(ctx, wait)
	}
}

func (a *Agent) claimOnce(ctx context.Context, c ci.Claim, timeout time.Duration) (*ci.Work, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	work, err := a.cfg.Uplink.Claim(ctx, c)
	if err == nil && work == nil {
		return nil, ci.Errorf(ci.CodeInternal, "the backend answered the claim of run %d without any work", c.Run)
	}
	return work, err
}

// clear asks on what became of a claim whose answer never came: it may have
// been a yes, and the next who gets the message is refused then and settles it.
// Nothing else is taken meanwhile, so the run has its room if it is ours; and
// who does not answer this claim would answer no other.
func (a *Agent) clear(ctx context.Context, try *try) {
	until := time.Until(try.first.Add(a.selfKill() / 2)) // later, too little of the lease would be left
	asking, cancel := context.WithTimeout(ctx, until)
	defer cancel()
	work, err := a.claim(asking, try, until, claimPatience)
	switch ci.CodeOf(err) {
	case "":
		a.start(ctx, work, try.claim, try.first)
	case ci.CodeConflict, ci.CodeNotFound:
		a.log.Debug("the run went to someone else", "run", try.claim.Run, "err", err)
	case ci.CodeForbidden:
		a.refused()
	default:
		a.log.Warn("whether the run was claimed stays unknown; if it was, it has not begun and will be called lost", "run", try.claim.Run, "err", err)
	}
}
