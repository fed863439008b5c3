package rest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"ci/pkg/ci"
)

// PlanRetention would have every run of the job go, by the bound of the configuration.
func (w *world) PlanRetention(_ context.Context, config *ci.Config, job string, limit int) (*ci.RetentionPlan, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if config == nil {
		config = &w.config
	}
	plan := &ci.RetentionPlan{Items: []ci.Expiry{}}
	for i := range w.runs {
		r := &w.runs[i]
		if config.Retention == 0 || !r.Done() || job != "" && r.Job != job {
			continue
		}
		x := ci.Expiry{RunRef: ci.RunRef{Job: r.Job, Run: r.ID}, What: ci.KeptRun, Bytes: r.Console.Bytes, Done: r.Times.Done, Reason: "it is old (retention)"}
		if len(w.pins[r.ID]) > 0 {
			x.Kept = "pinned: " + w.pins[r.ID][0].Reason
		}
		plan.Add(x)
		if len(plan.Items) < limit {
			plan.Items = append(plan.Items, x)
		}
	}
	return plan, nil
}

func (w *world) PutPin(ctx context.Context, job string, run int64, p ci.Pin, may func(by string) error, now time.Time) error {
	if _, err := w.GetRun(ctx, job, run); err != nil {
		return err
	}
	if err := w.DeletePin(ctx, run, p.Name, may); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pins[run] = append(w.pins[run], p)
	return nil
}

func (w *world) DeletePin(_ context.Context, run int64, name string, may func(by string) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.pins[run] {
		if p.Name == name && may != nil {
			if err := may(p.By); err != nil {
				return err
			}
		}
	}
	w.pins[run] = slices.DeleteFunc(w.pins[run], func(p ci.Pin) bool { return p.Name == name })
	return nil
}

func (w *world) ListPins(_ context.Context, run int64, now time.Time) ([]ci.Pin, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pins := slices.DeleteFunc(slices.Clone(w.pins[run]), func(p ci.Pin) bool { return !p.Until.After(now) })
	slices.SortFunc(pins, func(a, b ci.Pin) int { return cmp.Compare(a.Name, b.Name) })
	return pins, nil
}
