package agentd

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// drain is why an agent takes nothing new. The two reasons are independent:
// the backend can undo its own order, but not a signal's.
type drain struct {
	local bool // Drain was called: the process wants to end
	// order is what the backend ordered, deadline when that aborts what still
	// runs, on this machine's clock; zero is never.
	order    *ci.Drain
	deadline time.Time
}

// Drain makes the agent take nothing new; Run returns when what it holds has
// ended. A second call aborts what it still holds.
func (a *Agent) Drain() {
	a.mu.Lock()
	again := a.drain.local
	a.drain.local = true
	a.mu.Unlock()
	a.changed()
	if again {
		a.abortAll("The run was aborted because its agent " + a.cfg.ID + " was stopped while it ran; trigger it again.")
	} else {
		a.log.Info("draining: nothing new is taken, what runs may end")
	}
}

// ordered notes what the backend says about draining; nil undoes an earlier order.
func (a *Agent) ordered(d *ci.Drain) {
	a.mu.Lock()
	was := a.drain.order
	a.drain.order = d
	switch {
	case d == nil || d.Deadline.IsZero():
		a.drain.deadline = time.Time{}
	case was == nil || !was.Deadline.Equal(d.Deadline):
		// Both times are of the backend's clock; ours may differ from it, so only their distance counts.
		a.drain.deadline = time.Now().Add(d.Deadline.Sub(d.Since))
		if d.Since.IsZero() {
			a.drain.deadline = d.Deadline
		}
	}
	a.mu.Unlock()
	if (was == nil) != (d == nil) {
		a.log.Info("the backend changed its order to drain", "draining", d != nil)
		a.changed()
	}
}

// deadlineLoop aborts what still runs when a remote drain's deadline passes.
func (a *Agent) deadlineLoop(ctx context.Context) {
	every(ctx, time.Second, func(context.Context) {
		a.mu.Lock()
		deadline, order := a.drain.deadline, a.drain.order
		a.mu.Unlock()
		if order != nil && !deadline.IsZero() && !time.Now().Before(deadline) {
			why := "The run was aborted because its agent " + a.cfg.ID + " was drained and its deadline passed"
			if order.Reason != "" {
				why += " (" + order.Reason + ")"
			}
			a.abortAll(why + "; trigger it again.")
		}
	})
}

// draining says why nothing is taken; "" when it is. a.mu is held.
func (a *Agent) draining() string {
	switch {
	case a.drain.local:
		return "the agent is draining: it ends when its runs have ended"
	case a.drain.order != nil && a.drain.order.Reason != "":
		return "the agent is drained: " + a.drain.order.Reason
	case a.drain.order != nil:
		return "the agent is drained by an administrator"
	}
	return ""
}

func (a *Agent) isDrained() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drain.local
}
