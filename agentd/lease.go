package agentd

import (
	"context"
	"strconv"
	"time"

	"ci/pkg/ci"
)

// earlyFor is how long an abort is remembered that came before its claim.
const earlyFor = time.Minute

// selfKill is how old a lease may get before the agent kills the run itself:
// well before the backend gives it up, so that no run is ever lost and alive.
func (a *Agent) selfKill() time.Duration { return a.cfg.TTL * 3 / 4 }

// renewLoop keeps all claims alive with one call every third of the TTL, and
// more often while that fails.
func (a *Agent) renewLoop(ctx context.Context) {
	period := a.cfg.TTL / 3
	failed := 0
	for ctx.Err() == nil {
		wait := period
		if failed > 0 {
			wait = min(period/16<<min(failed, 2), period)
		}
		sleep(ctx, wait)
		switch err := a.renew(ctx); {
		case err == nil:
			failed = 0
		case ctx.Err() == nil:
			if failed++; failed == 1 {
				a.log.Warn("the leases could not be renewed; trying on", "err", err)
			}
		}
	}
}

// renew renews all leases once and does what the verdicts say.
func (a *Agent) renew(ctx context.Context) error {
	slots := a.live()
	if len(slots) == 0 {
		return nil
	}
	claims := make([]ci.Claim, len(slots))
	for i, s := range slots {
		claims[i] = s.claim
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.TTL/6)
	defer cancel()
	sent := time.Now() // the new lease is at least this old when the answer comes
	verdicts, err := a.cfg.Uplink.Renew(ctx, a.cfg.ID, claims)
	if err != nil {
		return err
	}
	byRun := make(map[int64]ci.Verdict, len(verdicts))
	for _, v := range verdicts {
		byRun[v.Run] = v
	}
	for _, s := range slots {
		v, known := byRun[s.claim.Run]
		switch {
		case !known: // no word about it is no renewal
		case v.Gone:
			if !s.run.Ended() {
				a.log.Warn("the run is not ours any more; it is killed", "run", s.claim.Run)
			}
			s.run.Stop()
		default:
			s.extend(sent.Add(a.selfKill()))
			if v.Abort {
				s.run.Abort("")
			}
		}
	}
	return nil
}

// extend moves the time at which the run is killed for want of a lease. A
// timer that has fired stays fired: then the run is being killed already.
func (s *slot) extend(until time.Time) {
	if s.lease.Stop() {
		s.lease.Reset(time.Until(until))
	}
}

// onAbort hears of an abort on the bus. data is the run's id in decimal.
func (a *Agent) onAbort(_ string, data []byte) {
	run, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		a.log.Warn("an abort names no run", "err", err)
		return
	}
	a.mu.Lock()
	s := a.slots[run]
	if s == nil {
		a.rememberAbort(run)
	}
	a.mu.Unlock()
	if s != nil {
		s.run.Abort("")
	}
}

// rememberAbort keeps an abort that overtook the answer to its claim. a.mu is held.
func (a *Agent) rememberAbort(run int64) {
	now := time.Now()
	for id, at := range a.early {
		if now.Sub(at) > earlyFor || len(a.early) > 1000 {
			delete(a.early, id)
		}
	}
	a.early[run] = now
}
