// Package admission decides which runs an agent takes: its rules, and the
// readings of the machine that they rest on. Everything is a value or takes its
// time from the caller, so that a table can test it and a simulation can use it.
//
//	Sample → Load → Gate ─┐
//	classes, quota, waits ┴→ Situation.Decide → lanes to pull from, refusals
package admission

import (
	"fmt"
	"slices"
	"time"

	"ci/pkg/ci"
)

// Situation is all that decides which runs an agent takes at one moment.
type Situation struct {
	// Stop says why nothing at all is taken; "" when something may be.
	Stop string
	// Classes are the quota classes in ascending order; Offered is what the agent has in all.
	Classes []ci.Quota
	Offered ci.Quota
	// Held is the share of each run in the agent's hands. Claimed runs count in
	// full at once, whether they use it yet or not.
	Held []ci.Quota
	// Waiting is how long the first run of each lane has waited, as far as known.
	Waiting map[ci.Lane]time.Duration
	// Patience is how long a run waits before it may have room kept for it.
	Patience time.Duration
	// Kept are the lanes whose first run this agent keeps its room for. Who may
	// is agreed among the agents, so that one run does not hold up all of them.
	Kept map[ci.Lane]bool
}

// Decide returns the lanes to pull from, in order of preference, and for each
// class that is not taken (at normal priority) a sentence why not.
//
// All urgent lanes come before all normal ones. Among equals a class that has
// waited beyond patience comes first, then the larger class, which is harder to place.
//
// While room is kept for a lane that does not fit now, no run of another class
// at its priority or below is taken, so that small runs can't keep it out for ever.
func (in Situation) Decide() ([]ci.Lane, map[string]string) {
	refusals := map[string]string{}
	if in.Stop != "" {
		for _, q := range in.Classes {
			refusals[q.Name] = in.Stop
		}
		return nil, refusals
	}
	var lanes []ci.Lane
	reserved, since := "", time.Duration(0)
	held := Sum(in.Held)
	for _, priority := range ci.Priorities {
		if reserved == "" {
			reserved, since = in.reservation(priority)
		}
		for _, q := range in.order(priority) {
			why := in.lacks(q, held)
			if why == "" && reserved != "" && reserved != q.Name {
				why = fmt.Sprintf("room is kept for a run of class %s that has waited for %s", reserved, since.Round(time.Second))
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

// Candidates are the lanes whose first run has waited beyond patience and that
// this agent could keep its room for: the run does not fit now, and would once
// the runs of smaller classes have ended. An agent whose large runs are in the
// way is none, or one run of many hours would be waited for by another.
func (in Situation) Candidates() []ci.Lane {
	if in.Stop != "" {
		return nil
	}
	var lanes []ci.Lane
	held := Sum(in.Held)
	for _, p := range ci.Priorities {
		for _, q := range in.Classes {
			l := ci.Lane{Class: q.Name, Priority: p}
			if waited, ok := in.Waiting[l]; ok && waited > in.Patience && in.lacks(q, held) != "" && in.lacks(q, Sum(in.atLeast(q))) == "" {
				lanes = append(lanes, l)
			}
		}
	}
	return lanes
}

// atLeast are the held runs that are no smaller than q in every respect.
func (in Situation) atLeast(q ci.Quota) []ci.Quota {
	return slices.DeleteFunc(slices.Clone(in.Held), func(h ci.Quota) bool { return h.CPUs < q.CPUs-roundingError || h.Memory < q.Memory })
}

// reservation returns the class that room is kept for at a priority, or "", and
// how long it has waited. The one that has waited longest wins.
func (in Situation) reservation(p ci.Priority) (class string, waited time.Duration) {
	for _, l := range in.Candidates() {
		if l.Priority == p && in.Kept[l] && in.Waiting[l] > waited {
			class, waited = l.Class, in.Waiting[l]
		}
	}
	return class, waited
}

// order sorts the classes for one priority.
func (in Situation) order(p ci.Priority) []ci.Quota {
	classes := slices.Clone(in.Classes)
	slices.Reverse(classes)
	overdue := func(q ci.Quota) time.Duration {
		return max(0, in.Waiting[ci.Lane{Class: q.Name, Priority: p}]-in.Patience)
	}
	slices.SortStableFunc(classes, func(x, y ci.Quota) int { return int(overdue(y) - overdue(x)) })
	return classes
}

// lacks says what is missing for one more run of a class beside held; "" when nothing is.
func (in Situation) lacks(q, held ci.Quota) string {
	free := ci.Quota{CPUs: in.Offered.CPUs - held.CPUs, Memory: in.Offered.Memory - held.Memory}
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

// NoNetworks says that free networks of the engine are all promised to runs in preparation.
func NoNetworks(free, preparing int) string {
	return fmt.Sprintf("the agent's range has %d subnets left for networks of runs, and %d runs in preparation may take one each; it is set by --subnet", max(0, free), preparing)
}

// roundingError forgives what adding and subtracting fractions of a core leaves.
const roundingError = 1e-9

func fits(q, room ci.Quota) bool {
	return q.CPUs <= room.CPUs+roundingError && q.Memory <= room.Memory
}

// Sum adds quotas up.
func Sum(quotas []ci.Quota) (all ci.Quota) {
	for _, q := range quotas {
		all.CPUs += q.CPUs
		all.Memory += q.Memory
	}
	return all
}
