package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ci/pkg/ci"
)

// agentTTL is how long an agent counts as there after its last heartbeat.
const agentTTL = 20 * time.Second

// Explain answers why a run waits: its place, and what each agent says about it.
func (e *Engine) Explain(ctx context.Context, job string, id int64) (*ci.QueueReport, error) {
	run, err := e.Store.GetRun(ctx, job, id)
	if err != nil {
		return nil, err
	}
	report := &ci.QueueReport{Run: run.ID, Phase: run.Phase, Class: run.Class, Priority: run.Priority}
	if run.Done() || run.Phase != ci.PhaseQueued {
		report.Reason = notQueued(run)
		return report, nil
	}
	if report.Position, err = e.Store.QueuePosition(ctx, run); err != nil {
		return nil, err
	}
	config, err := e.Store.GetConfig(ctx)
	if err != nil {
		return nil, err
	}
	agents, err := e.Store.ListAgents(ctx)
	if err != nil {
		return nil, err
	}
	explain(report, quota(config, run.Class), agents, e.Store.Now())
	return report, nil
}

func notQueued(r *ci.Run) string {
	switch {
	case r.Done():
		return fmt.Sprintf("The run is done (%s); it does not wait.", r.Outcome)
	case r.Phase == ci.PhasePlanning:
		return "The run is being planned: its commit and job file are looked up. After that it is queued."
	default:
		return fmt.Sprintf("Agent %s has the run; it is %s.", r.Agent, r.Phase)
	}
}

// quota returns the class as configured now. A class that is gone holds
// nothing, so no agent is refused for its size.
func quota(c *ci.Config, class string) ci.Quota {
	for _, q := range c.Classes {
		if q.Name == class {
			return q
		}
	}
	return ci.Quota{Name: class}
}

func explain(report *ci.QueueReport, q ci.Quota, agents []ci.Agent, now time.Time) {
	report.Unschedulable = true
	eligible := 0
	for i := range agents {
		a := &agents[i]
		never, reason := refusal(a, q, now)
		report.Unschedulable = report.Unschedulable && never
		report.Agents = append(report.Agents, ci.AgentVerdict{Agent: a.ID, Eligible: reason == "", Reason: reason})
		if reason == "" {
			eligible++
		}
	}
	report.Reason = summary(report, q, eligible)
}

// refusal says why an agent does not take a run of class q, "" when it would.
// never: it could not even if it were idle.
func refusal(a *ci.Agent, q ci.Quota, now time.Time) (never bool, reason string) {
	switch {
	case a.CPUs < q.CPUs || a.Memory < q.Memory:
		return true, fmt.Sprintf("too small: it offers %g cpus and %s in all, class %s needs %g and %s", a.CPUs, ci.Bytes(a.Memory), q.Name, q.CPUs, ci.Bytes(q.Memory))
	case !a.Alive(now, agentTTL):
		return false, fmt.Sprintf("not heard of for %s", now.Sub(a.SeenAt).Round(time.Second))
	case a.Problem != "":
		return false, a.Problem
	case a.Refusals[q.Name] != "":
		return false, a.Refusals[q.Name]
	case a.Draining:
		return false, "draining: it takes nothing new"
	case a.FreeCPUs < q.CPUs || a.FreeMemory < q.Memory:
		return false, fmt.Sprintf("full: %g of %g cpus and %s of %s are free, class %s needs %g and %s", a.FreeCPUs, a.CPUs, ci.Bytes(a.FreeMemory), ci.Bytes(a.Memory), q.Name, q.CPUs, ci.Bytes(q.Memory))
	}
	return false, ""
}

func summary(r *ci.QueueReport, q ci.Quota, eligible int) string {
	ahead := ""
	if r.Position > 0 {
		ahead = fmt.Sprintf(" %d runs are ahead of it.", r.Position)
	}
	switch {
	case len(r.Agents) == 0:
		return "No agent has ever registered. Start ci-agent, or cid with --agent auto on a machine with Docker." + ahead
	case r.Unschedulable:
		return fmt.Sprintf("No registered agent is large enough for class %s (%g cpus, %s). Ask for less in resources, or start a larger agent.", q.Name, q.CPUs, ci.Bytes(q.Memory))
	case eligible > 0:
		return fmt.Sprintf("%d of %d agents would take it.%s", eligible, len(r.Agents), ahead)
	}
	whys := make([]string, 0, 3)
	for _, v := range r.Agents[:min(3, len(r.Agents))] {
		whys = append(whys, v.Agent+": "+v.Reason)
	}
	return fmt.Sprintf("None of %d agents takes it now (%s).%s", len(r.Agents), strings.Join(whys, "; "), ahead)
}
