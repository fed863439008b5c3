package agentd

import (
	"fmt"
	"slices"
	"time"

	"ci/pkg/ci"
)

// admission is all that decides which runs an agent takes. It is a value, so
// that the decision is a table.
type admission struct {
	// Stop says why nothing at all is taken; "" when something may be.
	Stop string
	// Classes are the quota classes; Offered is what the agent has in all, Held what its runs take.
	Classes       []ci.Quota
	Offered, Held ci.Quota
	// Waiting is the longest wait in each lane that anyone waits in, as far as known.
	Waiting  map[ci.Lane]time.Duration
	Patience time.Duration
}

// decide returns the lanes to pull from, in order of preference, and for each
// class that is not taken (at normal priority) a sentence why not.
//
// All urgent lanes come before all normal ones. Among equals a class that has
// waited beyond patience comes first, then the larger class, which is harder to place.
//
// A class that has waited beyond patience and would fit an empty agent, but
// does not fit now, is reserved for: no run of another class at its priority or
// below is taken until it fits, so that small runs can't keep it out for ever.
func (in admission) decide() ([]ci.Lane, map[string]string) {
	refusals := map[string]string{}
	if in.Stop != "" {
		for _, q := range in.Classes {
			refusals[q.Name] = in.Stop
		}
		return nil, refusals
	}
	var lanes []ci.Lane
	reserved := ""
	for _, priority := range ci.Priorities {
		if reserved == "" {
			reserved = in.reservation(priority)
		}
		for _, q := range in.order(priority) {
			why := in.lacks(q)
			if why == "" && reserved != "" && reserved != q.Name {
				why = fmt.Sprintf("room is kept for a run of class %s that has waited for %s", reserved, in.longest(reserved).Round(time.Second))
			}
			if why != "" {
				refusals[q.Name] = why
				continue
			}
			lanes = append(lanes, ci.Lane{Class: q.Name, Priority: priority})
		}
	}
	return lanes, refusals
}

// reservation returns the class that room is kept for at a priority, or "".
// The one that has waited longest wins.
func (in admission) reservation(p ci.Priority) string {
	best, longest := "", in.Patience
	for _, q := range in.Classes {
		waited, ok := in.Waiting[ci.Lane{Class: q.Name, Priority: p}]
		if ok && waited > longest && fits(q, in.Offered) && in.lacks(q) != "" {
			best, longest = q.Name, waited
		}
	}
	return best
}

// order sorts the classes for one priority.
func (in admission) order(p ci.Priority) []ci.Quota {
	classes := slices.Clone(in.Classes)
	slices.Reverse(classes)
	overdue := func(q ci.Quota) time.Duration {
		return max(0, in.Waiting[ci.Lane{Class: q.Name, Priority: p}]-in.Patience)
	}
	slices.SortStableFunc(classes, func(x, y ci.Quota) int { return int(overdue(y) - overdue(x)) })
	return classes
}

func (in admission) longest(class string) time.Duration {
	var longest time.Duration
	for lane, waited := range in.Waiting {
		if lane.Class == class {
			longest = max(longest, waited)
		}
	}
	return longest
}

// lacks says what is missing for one more run of a class; "" when nothing is.
func (in admission) lacks(q ci.Quota) string {
	free := ci.Quota{CPUs: in.Offered.CPUs - in.Held.CPUs, Memory: in.Offered.Memory - in.Held.Memory}
	switch {
	case !fits(q, in.Offered):
		return fmt.Sprintf("the agent offers %g cpus and %s in all; class %s takes %g and %s",
			in.Offered.CPUs, ci.Bytes(in.Offered.Memory), q.Name, q.CPUs, ci.Bytes(q.Memory))
	case q.CPUs > free.CPUs+roundingError:
		return fmt.Sprintf("%g of %g cpus are free; class %s takes %g", max(0, free.CPUs), in.Offered.CPUs, q.Name, q.CPUs)
	case q.Memory > free.Memory:
		return fmt.Sprintf("%s of %s memory are free; class %s takes %s",
			ci.Bytes(max(0, free.Memory)), ci.Bytes(in.Offered.Memory), q.Name, ci.Bytes(q.Memory))
	}
	return ""
}

// roundingError forgives what adding and subtracting fractions of a core leaves.
const roundingError = 1e-9

func fits(q, room ci.Quota) bool {
	return q.CPUs <= room.CPUs+roundingError && q.Memory <= room.Memory
}

// lanes returns the lanes to pull from at the moment.
func (a *Agent) lanes() []ci.Lane {
	a.mu.Lock()
	defer a.mu.Unlock()
	lanes, _ := a.admission().decide()
	return lanes
}

// admission gathers what decides. a.mu is held.
func (a *Agent) admission() admission {
	stop := a.draining()
	if stop == "" {
		stop = a.problem
	}
	if stop == "" {
		stop = a.gate.closed
	}
	return admission{
		Stop:     stop,
		Classes:  a.classes,
		Offered:  ci.Quota{CPUs: a.cfg.CPUs, Memory: a.cfg.Memory},
		Held:     a.held(),
		Waiting:  a.waited(),
		Patience: a.cfg.Patience,
	}
}
