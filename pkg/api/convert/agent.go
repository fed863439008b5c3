package convert

import (
	"ci/pkg/api/gen/ci/v1"
	"ci/pkg/ci"
)

// ToAgent converts an agent.
func ToAgent(a *ci.Agent) *civ1.Agent {
	return &civ1.Agent{
		Id:         a.ID,
		Version:    a.Version,
		Cpus:       a.CPUs,
		Memory:     float64(a.Memory),
		FreeCpus:   a.FreeCPUs,
		FreeMemory: float64(a.FreeMemory),
		CpuLoad:    a.CPULoad,
		Runs:       each(a.Runs, func(id *int64) uint32 { return uint32(*id) }),
		Draining:   a.Draining,
		Refusals:   texts(a.Refusals),
		Problem:    text(a.Problem),
		Leftovers:  uint32(a.Leftovers),
		Warnings:   each(a.Warnings, func(w *string) string { return text(*w) }),
		Leaving:    leaving(a.Leaving),
		SeenAt:     ToTime(a.SeenAt),
	}
}

func leaving(d *ci.Drain) *civ1.Drain {
	if d == nil {
		return nil
	}
	return ToDrain(d)
}

func leavingFrom(m *civ1.Drain) *ci.Drain {
	if m == nil {
		return nil
	}
	d := FromDrain(m)
	return &d
}

// FromAgent is ToAgent's inverse.
func FromAgent(m *civ1.Agent) ci.Agent {
	return ci.Agent{
		ID:         m.GetId(),
		Version:    m.GetVersion(),
		CPUs:       m.GetCpus(),
		Memory:     int64(m.GetMemory()),
		FreeCPUs:   m.GetFreeCpus(),
		FreeMemory: int64(m.GetFreeMemory()),
		CPULoad:    m.GetCpuLoad(),
		Runs:       eachFrom(m.GetRuns(), func(id uint32) int64 { return int64(id) }),
		Draining:   m.GetDraining(),
		Refusals:   m.GetRefusals(),
		Problem:    m.GetProblem(),
		Leftovers:  int(m.GetLeftovers()),
		Warnings:   m.GetWarnings(),
		Leaving:    leavingFrom(m.GetLeaving()),
		SeenAt:     FromTime(m.GetSeenAt()),
	}
}

// ToDrain converts a drain.
func ToDrain(d *ci.Drain) *civ1.Drain {
	return &civ1.Drain{
		Reason: text(d.Reason), Deadline: ToTime(d.Deadline), Since: ToTime(d.Since), Then: string(d.Then), By: text(d.By),
		Leaving: d.Leaving, Runs: each(d.Runs, func(id *int64) uint32 { return uint32(*id) }), Drained: d.Drained(),
	}
}

// FromDrain is ToDrain's inverse.
func FromDrain(m *civ1.Drain) ci.Drain {
	return ci.Drain{
		Reason: m.GetReason(), Deadline: FromTime(m.GetDeadline()), Since: FromTime(m.GetSince()), Then: ci.DrainThen(m.GetThen()), By: m.GetBy(),
		Leaving: m.GetLeaving(), Runs: eachFrom(m.GetRuns(), func(id uint32) int64 { return int64(id) }),
	}
}

// ToQueue converts a lane's depth.
func ToQueue(q *ci.QueueDepth) *civ1.Queue {
	return &civ1.Queue{
		Class:    q.Lane.Class,
		Priority: string(q.Lane.Priority),
		Queued:   uint32(q.Queued),
		Oldest:   ToTime(q.Oldest),
	}
}

// FromQueue is ToQueue's inverse.
func FromQueue(m *civ1.Queue) ci.QueueDepth {
	return ci.QueueDepth{
		Lane:   ci.Lane{Class: m.GetClass(), Priority: ci.Priority(m.GetPriority())},
		Queued: int(m.GetQueued()),
		Oldest: FromTime(m.GetOldest()),
	}
}

// ToReport converts the answer to why a run waits.
func ToReport(q *ci.QueueReport) *civ1.QueueReport {
	return &civ1.QueueReport{
		Run:           uint32(q.Run),
		Phase:         string(q.Phase),
		Position:      uint32(q.Position),
		Class:         q.Class,
		Priority:      string(q.Priority),
		Unschedulable: q.Unschedulable,
		Reason:        text(q.Reason),
		Agents: each(q.Agents, func(v *ci.AgentVerdict) *civ1.AgentVerdict {
			return &civ1.AgentVerdict{Agent: v.Agent, Eligible: v.Eligible, Reason: text(v.Reason)}
		}),
	}
}

// FromReport is ToReport's inverse.
func FromReport(m *civ1.QueueReport) *ci.QueueReport {
	return &ci.QueueReport{
		Run:           int64(m.GetRun()),
		Phase:         ci.Phase(m.GetPhase()),
		Position:      int(m.GetPosition()),
		Class:         m.GetClass(),
		Priority:      ci.Priority(m.GetPriority()),
		Unschedulable: m.GetUnschedulable(),
		Reason:        m.GetReason(),
		Agents: eachFrom(m.GetAgents(), func(v *civ1.AgentVerdict) ci.AgentVerdict {
			return ci.AgentVerdict{Agent: v.GetAgent(), Eligible: v.GetEligible(), Reason: v.GetReason()}
		}),
	}
}

func texts(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[text(k)] = text(v)
	}
	return out
}
