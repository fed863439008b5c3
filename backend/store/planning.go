package store

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// PlanLease gives a run in planning to one planner. When a planner holds it
// still, even the same one, the error is ci.CodeConflict.
func (tx *Tx) PlanLease(ctx context.Context, id int64, holder string, until, now time.Time) (*ci.Run, error) {
	run, err := tx.move(ctx, "plan_holder = ?, plan_until = ?",
		"id = ? AND status = 'in_progress' AND phase = 'planning' AND plan_until <= ?",
		holder, micros(until), id, micros(now))
	if err != nil || run != nil {
		return run, err
	}
	there, err := tx.GetRun(ctx, "", id)
	if err != nil {
		return nil, err
	}
	if there.Done() || there.Phase != ci.PhasePlanning {
		return nil, ci.Errorf(ci.CodeConflict, "run %d needs no planner: %s", id, standing(there, nil))
	}
	return nil, ci.Errorf(ci.CodeConflict, "run %d is being planned by somebody", id)
}

// KeepPlan prolongs the lease of the planner that holds a run. When it holds
// it no more the error is ci.CodeConflict.
func (tx *Tx) KeepPlan(ctx context.Context, id int64, holder string, until time.Time) error {
	run, err := tx.move(ctx, "plan_until = ?", "id = ? AND status = 'in_progress' AND phase = 'planning' AND plan_holder = ?", micros(until), id, holder)
	if err == nil && run == nil {
		return ci.Errorf(ci.CodeConflict, "run %d is not planned by this planner any more", id)
	}
	return err
}

// PlanningRuns returns the ids of runs in planning that no planner holds, oldest first.
func (r reader) PlanningRuns(ctx context.Context, now time.Time, limit int) ([]int64, error) {
	return many(ctx, r.s, idPlaces, "SELECT id FROM runs WHERE status = 'in_progress' AND phase = 'planning' AND plan_until <= ? ORDER BY id LIMIT ?", micros(now), limit)
}
