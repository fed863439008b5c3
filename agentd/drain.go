package agentd

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ci/pkg/ci"
)

// drain is why an agent takes nothing new. The two reasons are independent:
// the backend can undo its own order, but not that the process is ending.
type drain struct {
	// leaving is set once the process was told to end: Run returns when nothing is left.
	leaving *ci.Drain
	// order is what the backend ordered; nil when it did not.
	order *ci.Drain
	// leaveBy and orderBy are their deadlines on this machine's clock; zero is never.
	leaveBy, orderBy time.Time
	// refused: a claim was refused because of an order that no heartbeat has brought yet.
	refused bool
	// late: what happens at a deadline has happened.
	late bool
	// abort is why every run is aborted, also one whose claim is still on its way; "" while none is.
	abort string
}

// Drain is Leave for a signal, which has no reason and no deadline.
func (a *Agent) Drain() { a.Leave(ci.Drain{By: "a signal"}) }

// Leave makes the agent take nothing new; Run returns when what it holds has
// ended. d says why, and by when: its times are of this machine's clock. Called
// again, whatever its words, it aborts what the agent still holds; what somebody
// had aborted before, by such a call too, is killed now and not after its grace.
func (a *Agent) Leave(d ci.Drain) {
	d.Since, d.Leaving, d.Runs = time.Now(), true, nil
	a.mu.Lock()
	again := a.drain.leaving != nil
	if again {
		a.drain.abort = "The run was aborted because its agent " + a.cfg.ID + " was stopped while it ran; trigger it again."
	} else {
		a.drain.leaving, a.drain.leaveBy = &d, d.Deadline
	}
	// A run whose claim comes in later has heard of the abort when it begins, and
	// must not take this call for a second word.
	why, slots := a.drain.abort, a.living()
	a.mu.Unlock()
	a.changed()
	if again {
		for _, s := range slots {
			s.run.Insist(why)
		}
	} else {
		a.log.Info("draining: nothing new is taken, what runs may end", "by", d.By, "reason", d.Reason, "deadline", d.Deadline)
	}
}

// Draining says how the agent's drain stands, with the runs that are left; nil
// when it takes runs. Both reasons together count as the process's own.
func (a *Agent) Draining() *ci.Drain {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.drain.leaving
	if d == nil {
		d = a.drain.order
	}
	if d == nil {
		return nil
	}
	now := *d
	now.Runs = nil
	for id := range a.slots {
		now.Runs = append(now.Runs, id)
	}
	slices.Sort(now.Runs)
	return &now
}

// ordered notes what the backend says about draining; nil undoes an earlier order.
func (a *Agent) ordered(d *ci.Drain) {
	a.mu.Lock()
	was := a.drain.order
	before := a.draining()
	a.drain.order, a.drain.refused = d, false
	switch {
	case d == nil || d.Deadline.IsZero():
		a.drain.orderBy = time.Time{}
	case was == nil || !was.Deadline.Equal(d.Deadline):
		// Both times are of the backend's clock; ours may differ from it, so only their distance counts.
		a.drain.orderBy, a.drain.late = time.Now().Add(d.Deadline.Sub(d.Since)), false
		if d.Since.IsZero() {
			a.drain.orderBy = d.Deadline
		}
	}
	changed := before != a.draining()
	a.mu.Unlock()
	if (was == nil) != (d == nil) {
		a.log.Info("the backend changed its order to drain", "draining", d != nil)
	}
	if changed {
		a.changed()
	}
}

// refused notes that the backend gave no run for the sake of an order to
// drain. Nothing is pulled until a heartbeat has asked about it.
func (a *Agent) refused() {
	a.mu.Lock()
	a.drain.refused = true
	a.mu.Unlock()
	a.changed()
}

// hear asks the backend at once whether it has orders.
func (a *Agent) hear(string, []byte) {
	select {
	case a.beat <- struct{}{}:
	default:
	}
}

// deadlineLoop does what a drain says about runs that are left at its deadline.
func (a *Agent) deadlineLoop(ctx context.Context) {
	every(ctx, time.Second, func(context.Context) {
		d := a.overdue(time.Now())
		if d == nil {
			return
		}
		if d.Then == ci.DrainWait {
			a.log.Warn("the drain's deadline passed; what runs goes on", "runs", a.occupied())
			return
		}
		why := fmt.Sprintf("The run was aborted because its agent %s was drained and its deadline passed", a.cfg.ID)
		if d.Reason != "" {
			why += " (" + d.Reason + ")"
		}
		a.abortAll(why + "; trigger it again.")
	})
}

// overdue is the drain whose deadline has passed; nil when there is none, or
// when nothing more is to be done about it. What is to be waited for is said
// once; an abort is asked for again, should a claim have come in late.
func (a *Agent) overdue(now time.Time) *ci.Drain {
	a.mu.Lock()
	defer a.mu.Unlock()
	passed := func(d *ci.Drain, by time.Time) bool { return d != nil && !by.IsZero() && !now.Before(by) }
	d := a.drain.leaving
	if !passed(d, a.drain.leaveBy) {
		d = a.drain.order
		if !passed(d, a.drain.orderBy) {
			return nil
		}
	}
	if d.Then == ci.DrainWait && a.drain.late {
		return nil
	}
	a.drain.late = true
	return d
}

// draining says why nothing is taken; "" when it is. a.mu is held.
func (a *Agent) draining() string {
	reason := func(text string, d *ci.Drain) string {
		if d.Reason == "" {
			return text
		}
		return text + ": " + d.Reason
	}
	switch d := a.drain; {
	case d.leaving != nil:
		return reason("the agent is draining, it ends when its runs have ended", d.leaving)
	case d.order != nil && d.order.By != "":
		return reason("the agent is drained by "+d.order.By, d.order)
	case d.order != nil:
		return reason("the agent is drained", d.order)
	case d.refused:
		return "the agent is drained"
	}
	return ""
}

// isLeaving says that the process is ending.
func (a *Agent) isLeaving() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drain.leaving != nil
}
