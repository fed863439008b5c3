package store

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"ci/pkg/ci"
)

// The indexes of queued runs hold nothing else, so these cost as much as runs
// wait, not as much as are stored.
const queued = "status = 'in_progress' AND phase = 'queued'"

// StaleQueued returns queued runs whose message was never published, or last
// before a moment; those that wait for it longest come first. Without Spec.
func (r reader) StaleQueued(ctx context.Context, before time.Time, limit int) ([]ci.Run, error) {
	return many(ctx, r.s, listPlaces, "SELECT "+listFields+" FROM runs WHERE "+queued+" AND published_at < ? ORDER BY published_at, id LIMIT ?", micros(before), limit)
}

// Overtaken returns queued runs that were queued before a run of their lane which an
// agent has by now, and were not published since a moment; those of a lane that
// wait longest come first. Without Spec.
func (r reader) Overtaken(ctx context.Context, before time.Time, limit int) ([]ci.Run, error) {
	type taken struct {
		lane   ci.Lane
		queued time.Time
	}
	places := func(t *taken) []any { return []any{&t.lane.Class, (*string)(&t.lane.Priority), stamp{&t.queued}} }
	lanes, err := many(ctx, r.s, places, "SELECT class, priority, MAX(queued_at) FROM runs WHERE status = 'in_progress' AND agent <> '' GROUP BY class, priority ORDER BY class, priority")
	if err != nil {
		return nil, err
	}
	runs := []ci.Run{}
	for _, l := range lanes {
		at := l.queued
		if before.Before(at) {
			at = before
		}
		more, err := many(ctx, r.s, listPlaces, "SELECT "+listFields+" FROM runs WHERE "+queued+" AND class = ? AND priority = ? AND queued_at < ? AND published_at < ? ORDER BY queued_at, id LIMIT ?",
			l.lane.Class, string(l.lane.Priority), micros(at), micros(before), limit-len(runs))
		if err != nil {
			return nil, err
		}
		if runs = append(runs, more...); len(runs) >= limit {
			break
		}
	}
	return runs, nil
}

// MarkPublished notes when the messages of queued runs were published.
func (tx *Tx) MarkPublished(ctx context.Context, ids []int64, at time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := listed(ctx, tx.s, idPlaces, tx.d.format("UPDATE runs SET published_at = ? WHERE "+queued+" AND id IN (?) RETURNING id", at.UnixMicro(), bun.List(ids)))
	return err
}

// QueuePosition returns how many queued runs are ahead of one: those of its
// class that are more urgent, and those of its lane that were queued before. A
// run that is not queued has nobody ahead.
func (r reader) QueuePosition(ctx context.Context, run *ci.Run) (int, error) {
	if run.Done() || run.Phase != ci.PhaseQueued {
		return 0, nil
	}
	var ahead int64
	for _, p := range ci.Priorities {
		text, args := "SELECT COUNT(*) FROM runs WHERE "+queued+" AND class = ? AND priority = ?", []any{run.Class, string(p)}
		if p == run.Priority {
			text += " AND (queued_at < ? OR (queued_at = ? AND id < ?))"
			args = append(args, micros(run.Times.Queued), micros(run.Times.Queued), run.ID)
		}
		n, err := one(ctx, r.s, idPlaces, text, args...)
		if err != nil {
			return 0, err
		}
		ahead += *n
		if p == run.Priority {
			break
		}
	}
	return int(ahead), nil
}

func depthPlaces(d *ci.QueueDepth) []any {
	return []any{&d.Lane.Class, (*string)(&d.Lane.Priority), &d.Queued, stamp{&d.Oldest}}
}

// QueueDepths returns the lanes in which runs wait, by class and priority.
func (r reader) QueueDepths(ctx context.Context) ([]ci.QueueDepth, error) {
	return many(ctx, r.s, depthPlaces, "SELECT class, priority, COUNT(*), MIN(queued_at) FROM runs WHERE "+queued+" GROUP BY class, priority ORDER BY class, priority DESC")
}

// QueueHeads is QueueDepths for agents, who ask every few seconds and want to
// know since when the first run of each lane waits: however many wait behind
// it, one look into an index answers. Queued is 1. Lanes of classes that are
// not configured any more are left out.
func (r reader) QueueHeads(ctx context.Context) ([]ci.QueueDepth, error) {
	config, err := r.GetConfig(ctx)
	if err != nil {
		return nil, err
	}
	var parts []string
	var args []any
	for _, q := range config.Classes {
		for _, p := range ci.Priorities {
			parts = append(parts, "SELECT * FROM (SELECT class, priority, 1 AS queued, queued_at FROM runs WHERE "+queued+" AND class = ? AND priority = ? ORDER BY queued_at, id LIMIT 1) AS head")
			args = append(args, q.Name, string(p))
		}
	}
	if len(parts) == 0 {
		return []ci.QueueDepth{}, nil
	}
	return many(ctx, r.s, depthPlaces, strings.Join(parts, " UNION ALL "), args...)
}

// QueuedUpTo counts the runs that wait in a lane, up to most.
func (r reader) QueuedUpTo(ctx context.Context, l ci.Lane, most int) (int, error) {
	n, err := one(ctx, r.s, idPlaces, "SELECT COUNT(*) FROM (SELECT 1 FROM runs WHERE "+queued+" AND class = ? AND priority = ? LIMIT ?) AS waiting", l.Class, string(l.Priority), most)
	if err != nil {
		return 0, err
	}
	return int(*n), nil
}
