package store

import (
	"context"
	"time"

	"ci/pkg/ci"
)

const agentFields = "id, version, cpus, memory, free_cpus, free_memory, cpu_load, runs, draining, refusals, problem, leftovers, warnings, leaving, seen_at"

func agentPlaces(a *ci.Agent) []any {
	return []any{
		&a.ID, &a.Version, &a.CPUs, &a.Memory, &a.FreeCPUs, &a.FreeMemory, &a.CPULoad,
		document{&a.Runs},
		&a.Draining,
		document{&a.Refusals},
		&a.Problem, &a.Leftovers,
		document{&a.Warnings},
		document{&a.Leaving},
		stamp{&a.SeenAt},
	}
}

// PutAgent records how an agent describes itself.
func (tx *Tx) PutAgent(ctx context.Context, a *ci.Agent) error {
	_, err := tx.s.exec(ctx, insertText("agents", agentFields, 15)+" ON CONFLICT (id) DO UPDATE SET "+
		"version = excluded.version, cpus = excluded.cpus, memory = excluded.memory, "+
		"free_cpus = excluded.free_cpus, free_memory = excluded.free_memory, cpu_load = excluded.cpu_load, "+
		"runs = excluded.runs, draining = excluded.draining, refusals = excluded.refusals, "+
		"problem = excluded.problem, leftovers = excluded.leftovers, warnings = excluded.warnings, leaving = excluded.leaving, seen_at = excluded.seen_at",
		values(agentPlaces(a))...)
	return err
}

// ListAgents returns all agents that were ever heard of and not deleted, by id.
func (r reader) ListAgents(ctx context.Context) ([]ci.Agent, error) {
	return many(ctx, r.s, agentPlaces, "SELECT "+agentFields+" FROM agents ORDER BY id")
}

// GetAgent returns the agent, or ci.CodeNotFound.
func (r reader) GetAgent(ctx context.Context, id string) (*ci.Agent, error) {
	a, err := one(ctx, r.s, agentPlaces, "SELECT "+agentFields+" FROM agents WHERE id = ?", id)
	if err == nil && a == nil {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no agent %q", id)
	}
	return a, err
}

// DeleteAgent forgets an agent and its order to drain, or is ci.CodeNotFound.
func (tx *Tx) DeleteAgent(ctx context.Context, id string) error {
	n, err := tx.s.exec(ctx, "DELETE FROM agents WHERE id = ?", id)
	if err != nil {
		return err
	}
	if n == 0 {
		return ci.Errorf(ci.CodeNotFound, "there is no agent %q", id)
	}
	_, err = tx.s.exec(ctx, "DELETE FROM drains WHERE agent = ?", id)
	return err
}

// ForgetAgents deletes agents that were last heard of before silent, and those
// whose process said that it ends and that were last heard of before left, and
// returns their ids. Who holds a run stays, and who is under an order to drain:
// that has to be there when the machine comes back.
func (tx *Tx) ForgetAgents(ctx context.Context, silent, left time.Time) ([]string, error) {
	forgotten, err := listed(ctx, tx.s, func(id *string) []any { return []any{id} },
		tx.d.format("DELETE FROM agents WHERE (seen_at < ? OR leaving IS NOT NULL AND seen_at < ?) "+
			"AND NOT EXISTS (SELECT 1 FROM runs WHERE status = 'in_progress' AND agent <> '' AND agent = agents.id) "+
			"AND NOT EXISTS (SELECT 1 FROM drains WHERE agent = agents.id) RETURNING id", silent.UnixMicro(), left.UnixMicro()))
	return forgotten, err
}

const drainFields = "reason, deadline, at_deadline, ordered_by, since"

func drainPlaces(d *ci.Drain) []any {
	return []any{&d.Reason, stamp{&d.Deadline}, &d.Then, &d.By, stamp{&d.Since}}
}

// SetDrain orders an agent to take nothing new, in place of an earlier order;
// nil takes the order back. An unknown agent is ci.CodeNotFound. Claims that
// the agent makes at the same moment are waited for: none succeeds after the
// order is committed.
func (tx *Tx) SetDrain(ctx context.Context, agent string, d *ci.Drain) error {
	if err := tx.lockAgent(ctx, agent, tx.d.exclude); err != nil {
		return err
	}
	if _, err := tx.GetAgent(ctx, agent); err != nil {
		return err
	}
	if d == nil {
		_, err := tx.s.exec(ctx, "DELETE FROM drains WHERE agent = ?", agent)
		return err
	}
	_, err := tx.s.exec(ctx, insertText("drains", "agent, "+drainFields, 6)+" ON CONFLICT (agent) DO UPDATE SET "+
		"reason = excluded.reason, deadline = excluded.deadline, at_deadline = excluded.at_deadline, ordered_by = excluded.ordered_by, since = excluded.since",
		append([]any{agent}, values(drainPlaces(d))...)...)
	return err
}

// GetDrain returns the order to an agent, nil when there is none.
func (r reader) GetDrain(ctx context.Context, agent string) (*ci.Drain, error) {
	return one(ctx, r.s, drainPlaces, "SELECT "+drainFields+" FROM drains WHERE agent = ?", agent)
}

// lockAgent keeps an agent's orders as they are until the transaction ends (how
// is dialect.share), or everybody else from looking at them (dialect.exclude).
// An agent that has never been heard of has no orders.
func (tx *Tx) lockAgent(ctx context.Context, agent, how string) error {
	if how == "" {
		return nil
	}
	_, err := one(ctx, tx.s, func(id *string) []any { return []any{id} }, "SELECT id FROM agents WHERE id = ?"+how, agent)
	return err
}
