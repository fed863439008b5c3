package agentd

import (
	"context"
	"maps"
	"slices"
	"time"

	"ci/agentd/admission"
	"ci/agentd/runner"
	"ci/pkg/ci"
)

// slot is one run in the agent's hands, from its claim until its container is removed.
type slot struct {
	claim ci.Claim
	quota ci.Quota
	run   *runner.Runner
	// lease stops the run before the backend would give it up for lost.
	lease *time.Timer
}

// start carries a claimed run out. claimed is when the claim was sent: the
// lease is at least that old. The run has its slot, and so its lease, at once; it
// begins when no search for leftovers goes on that does not know of it.
func (a *Agent) start(ctx context.Context, work *ci.Work, claim ci.Claim, claimed time.Time) {
	r := runner.New(a.cfg.Runner, *work, claim)
	s := &slot{claim: claim, quota: a.quotaOf(work), run: r}
	s.lease = time.AfterFunc(time.Until(claimed.Add(a.selfKill())), func() {
		a.log.Error("the lease could not be renewed in time; the run is killed", "run", claim.Run)
		r.Stop()
	})
	a.mu.Lock()
	a.slots[claim.Run] = s
	if held := a.held(); held.CPUs > a.peak.CPUs {
		a.peak = held
	}
	_, early := a.early[claim.Run]
	delete(a.early, claim.Run)
	swept, why := a.swept, a.drain.abort
	a.mu.Unlock()
	if early || !work.Run.AbortRequestedAt.IsZero() {
		r.Abort("")
	} else if why != "" {
		r.Abort(why)
	}
	a.runs.Go(func() {
		if swept != nil {
			<-swept
		}
		r.Run(ctx)
		s.lease.Stop()
		a.release(claim.Run)
	})
	a.changed()
}

// release gives a slot back.
func (a *Agent) release(run int64) {
	a.mu.Lock()
	delete(a.slots, run)
	a.mu.Unlock()
	a.changed()
}

// quotaOf is what a run takes: its class's share, or what it asked for should the class be gone.
func (a *Agent) quotaOf(work *ci.Work) ci.Quota {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.classes {
		if q.Name == work.Run.Class {
			return q
		}
	}
	q := ci.Quota{Name: work.Run.Class}
	if spec := work.Run.Spec; spec != nil {
		needs := spec.Needs()
		q.CPUs, q.Memory = needs.CPUs, needs.Memory
	}
	return q
}

// held sums up what the slots take. a.mu is held.
func (a *Agent) held() ci.Quota { return admission.Sum(a.shares()) }

// shares are what each slot takes. a.mu is held.
func (a *Agent) shares() []ci.Quota {
	shares := make([]ci.Quota, 0, len(a.slots))
	for _, s := range a.slots {
		shares = append(shares, s.quota)
	}
	return shares
}

// live returns the claims of the runs that have not ended, by run.
func (a *Agent) live() []*slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.living()
}

// living is live. a.mu is held.
func (a *Agent) living() []*slot {
	slots := make([]*slot, 0, len(a.slots))
	for _, s := range a.slots {
		if !s.run.Ended() {
			slots = append(slots, s)
		}
	}
	slices.SortFunc(slots, func(x, y *slot) int { return int(x.claim.Run - y.claim.Run) })
	return slots
}

// occupied returns the ids of all runs that may have a container.
func (a *Agent) occupied() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ids()
}

// ids is occupied. a.mu is held.
func (a *Agent) ids() []int64 { return slices.Sorted(maps.Keys(a.slots)) }

// abortAll aborts whatever runs.
func (a *Agent) abortAll(why string) {
	for _, s := range a.live() {
		s.run.Abort(why)
	}
}
