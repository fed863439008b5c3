package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"ci/backend/queue"
	"ci/backend/store"
	"ci/pkg/ci"
)

const (
	sweepBatch = 500
	// overtakenFor is how long a message has that was sent again since its run was overtaken.
	overtakenFor = time.Hour
	// collectMargin is how long after its deadline a run may still store results.
	collectMargin = 15 * time.Minute
	pruneEvery    = time.Minute
	eventsFor     = 7 * 24 * time.Hour
	tokensFor     = 7 * 24 * time.Hour // behind the end of a brief one, for who asks whose it was
)

// sweepLoop repairs what messages and machines have lost: it republishes
// queued runs, plans again what no planner holds, ends runs whose agent went
// away, and forgets what is old. One cid at a time does it, by a lease.
func (e *Engine) sweepLoop(ctx context.Context) error {
	var pruned time.Time
	first := true
	for {
		if e.leads(ctx) || first {
			e.sweep(ctx, first)
			if now := e.Store.Now(); now.Sub(pruned) > pruneEvery {
				pruned = now
				e.prune(ctx)
			}
			first = false
		}
		if !sleep(ctx, e.Sweep) {
			return ctx.Err()
		}
	}
}

// leads takes or keeps the sweeper's lease.
func (e *Engine) leads(ctx context.Context) (mine bool) {
	e.part(ctx, "lease", func(ctx context.Context) error {
		return e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
			now := e.Store.Now()
			mine, err = tx.TakeLease(ctx, "sweeper", e.holder, now.Add(3*e.Sweep), now)
			return err
		})
	})
	if mine != e.leading {
		e.leading = mine
		e.Log.Info("the loops that run once in the fleet", "here", mine)
	}
	return mine
}

// sweep does one round. The first of a process republishes all queued runs:
// its queue may have been wiped while it was down.
func (e *Engine) sweep(ctx context.Context, first bool) {
	now := e.Store.Now()
	before := now.Add(-e.RepublishAfter)
	if first {
		before = now
	}
	// Before the queue's own account is believed, which notes that it has sent what it may not have.
	e.part(ctx, "compare with the queue", e.overtaken)
	whole := false
	e.part(ctx, "count the queue", func(ctx context.Context) (err error) {
		whole, err = e.complete(ctx)
		return err
	})
	if first || !whole {
		e.part(ctx, "republish", func(ctx context.Context) error { return e.republish(ctx, before) })
	}
	e.part(ctx, "plan", e.replan)
	if e.believesLeases() {
		e.part(ctx, "reap", e.reap)
		e.part(ctx, "overdue", e.overdue)
	}
}

// part is one part of a round. None keeps the others waiting for long, whatever
// it waits for itself; the next round goes on where it was.
func (e *Engine) part(ctx context.Context, what string, do func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, e.PartFor)
	defer cancel()
	e.warn(what, do(ctx))
}

// believesLeases says whether the database's clock can be taken for a measure.
func (e *Engine) believesLeases() bool {
	believed, jumped := e.steady.look(e.Store.Now(), time.Now(), e.Lease)
	if jumped != 0 {
		e.Log.Warn("the database's clock was set, or the machine has slept: nobody is called lost until every agent had time to renew", "by", jumped, "until", e.Lease)
	}
	return believed
}

func (e *Engine) warn(what string, err error) {
	if err != nil {
		e.Log.Warn("sweep: "+what+" failed; trying again", "err", err)
	}
}

// inHand is the share of a lane's messages that may be on their way between
// queue, agents and database while they are counted.
const inHand = 0.01

// complete says that the queue has a message for each queued run: in every lane
// about as many as runs wait. Sending hundreds of thousands again every half
// minute to find that out would cost more than carrying them out.
//
// What is missing may hide in the tolerance, or behind messages of runs that
// were aborted meanwhile. Both shrink as agents take what there is: the last
// hundred are counted exactly. In a lane that is kept full, overtaken finds it.
func (e *Engine) complete(ctx context.Context) (bool, error) {
	messages, err := e.Queue.Depth(ctx)
	if err != nil {
		return false, err
	}
	waiting, err := e.Store.QueueDepths(ctx) // after the messages: what is claimed meanwhile is in neither
	if err != nil {
		return false, err
	}
	for _, d := range waiting {
		if messages[d.Lane] < d.Queued-int(inHand*float64(d.Queued)) {
			return false, nil
		}
	}
	return true, nil
}

// republish sends messages for queued runs again, oldest first, and notes when.
func (e *Engine) republish(ctx context.Context, before time.Time) error {
	for {
		runs, err := e.Store.StaleQueued(ctx, before, sweepBatch)
		if err != nil || len(runs) == 0 {
			return err
		}
		if err := e.resend(ctx, runs, false); err != nil || len(runs) < sweepBatch {
			return err
		}
	}
}

// resend publishes messages of queued runs and notes when.
func (e *Engine) resend(ctx context.Context, runs []ci.Run, overtaken bool) error {
	ids, ms := make([]int64, len(runs)), make([]queue.Message, len(runs))
	for i := range runs {
		ids[i], ms[i] = runs[i].ID, message(&runs[i])
		ms[i].Overtaken = overtaken
	}
	if err := e.Queue.Publish(ctx, ms); err != nil {
		return err
	}
	return e.Store.Write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.MarkPublished(ctx, ids, e.Store.Now()) })
}

// overtaken sends messages again of runs that were queued before others which
// agents have by now. Lanes are queues, so most of those are lost; the claim refuses
// the second message of a run whose first one was only in somebody's hands. It
// has to wait behind others again, so no run gets another one for long.
func (e *Engine) overtaken(ctx context.Context) error {
	now := e.Store.Now()
	maps.DeleteFunc(e.overtook, func(_ int64, at time.Time) bool { return now.Sub(at) > overtakenFor })
	runs, err := e.Store.Overtaken(ctx, now.Add(-e.RepublishAfter), sweepBatch)
	if err != nil {
		return err
	}
	runs = slices.DeleteFunc(runs, func(r ci.Run) bool { return !e.overtook[r.ID].IsZero() })
	if len(runs) == 0 {
		return nil
	}
	e.Log.Info("runs were overtaken by later ones; their messages are sent again", "runs", len(runs), "first", runs[0].ID)
	if err := e.resend(ctx, runs, true); err != nil {
		return err
	}
	for i := range runs {
		e.overtook[runs[i].ID] = now
	}
	return nil
}

// replan hands out runs in planning that no planner holds.
func (e *Engine) replan(ctx context.Context) error {
	ids, err := e.Store.PlanningRuns(ctx, e.Store.Now(), cap(e.planned)/2)
	for _, id := range ids {
		e.wantPlan(id)
	}
	return err
}

// reap ends runs whose agent has not renewed its lease. The agent has stopped
// their containers before, by its own clock.
func (e *Engine) reap(ctx context.Context) error {
	runs, err := e.Store.ExpiredRuns(ctx, e.Store.Now(), sweepBatch)
	until := time.Now().Add(e.CountFor) // for all of them: the next round must not wait for each
	eachRun(runs, func(r *ci.Run) {
		e.lose(ctx, r, fmt.Sprintf("its agent %s has not been heard of for %s", r.Agent, e.Lease), ending{still: e.expired(r), countUntil: until})
	})
	return err
}

// expired says whether a run's lease is over still: its agent may have renewed
// it since the sweeper looked, and then holds the run rightly.
func (e *Engine) expired(r *ci.Run) func(ctx context.Context, tx *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		if err := tx.HoldRun(ctx, ci.Claim{Run: r.ID, Agent: r.Agent, ID: r.Claim}); err != nil {
			return err
		}
		now, err := tx.GetRun(ctx, "", r.ID)
		if err != nil {
			return err
		}
		if now.LeaseUntil.After(e.Store.Now()) {
			return ci.Errorf(ci.CodeConflict, "run %d: its lease was renewed meanwhile", r.ID)
		}
		return nil
	}
}

func (e *Engine) lose(ctx context.Context, r *ci.Run, why string, x ending) {
	again := "The script had not begun: it is safe to run it again."
	if r.ScriptStarted {
		again = "The script had begun, so it is not started again by itself: trigger a new run if that is safe."
	}
	x.run, x.claim, x.from = r.ID, &ci.Claim{Run: r.ID, Agent: r.Agent, ID: r.Claim}, []ci.Phase{r.Phase}
	err := e.end(ctx, x, ci.End{Outcome: ci.OutcomeLost, Reason: "Lost: " + why + ". " + again, ExitCode: r.ExitCode, ScriptStarted: r.ScriptStarted})
	if ci.CodeOf(err) != ci.CodeConflict {
		e.warn("lost", err)
	}
}

// Disown ends, as lost, every run that an agent held in an earlier life. The
// agent calls it when it begins anew, after it has removed its containers.
func (e *Engine) Disown(ctx context.Context, agent string) error {
	held, err := e.Held(ctx, agent)
	if err != nil {
		return err
	}
	return e.DisownRuns(ctx, agent, held)
}

// Held returns the runs in progress that an agent has claimed, ascending.
func (e *Engine) Held(ctx context.Context, agent string) ([]int64, error) {
	runs, err := e.Store.HeldRuns(ctx, agent, sweepBatch)
	ids := make([]int64, len(runs))
	for i := range runs {
		ids[i] = runs[i].ID
	}
	return ids, err
}

// DisownRuns is Disown for the runs that were Held then: a call that is late
// ends nothing that was claimed since.
func (e *Engine) DisownRuns(ctx context.Context, agent string, ids []int64) error {
	runs, err := e.Store.HeldRuns(ctx, agent, sweepBatch)
	until := time.Now().Add(e.CountFor)
	eachRun(runs, func(r *ci.Run) {
		if slices.Contains(ids, r.ID) {
			e.lose(ctx, r, fmt.Sprintf("its agent %s was restarted while it was %s", agent, r.Phase), ending{countUntil: until})
		}
	})
	return err
}

// overdue ends runs that are past their deadline although their agent is
// there. The agent learns of it with its next renewal.
func (e *Engine) overdue(ctx context.Context) error {
	runs, err := e.Store.OverdueRuns(ctx, e.Store.Now(), sweepBatch)
	until := time.Now().Add(e.CountFor)
	eachRun(runs, func(r *ci.Run) {
		if r.Phase == ci.PhaseCollecting && e.Store.Now().Sub(r.Deadline) < collectMargin {
			return // its script has ended in time; storing results may take longer
		}
		c := ci.Claim{Run: r.ID, Agent: r.Agent, ID: r.Claim}
		endErr := e.end(ctx, ending{run: r.ID, claim: &c, from: []ci.Phase{r.Phase}, countUntil: until}, ci.End{
			Outcome: ci.OutcomeTimedOut, ExitCode: r.ExitCode, ScriptStarted: r.ScriptStarted,
			Reason: fmt.Sprintf("Timed out: the run was past its deadline and its agent %s had not ended it.", r.Agent),
		})
		if ci.CodeOf(endErr) != ci.CodeConflict {
			e.warn("overdue", endErr)
		}
	})
	return err
}
