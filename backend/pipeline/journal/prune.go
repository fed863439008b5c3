package journal

import (
	"context"
	"database/sql"
	"time"
)

// Prune forgets up to limit runs that were done before a moment, the oldest
// first, with their calls, and versions of definitions that no run has any more. The newest
// version of each name stays, also of one that was deleted: numbers go on. It
// returns how many runs it forgot.
func (j *Journal) Prune(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = j.write(ctx, func(tx *sql.Tx) error {
		var ids []int64
		names := map[string]bool{}
		err := j.each(ctx, tx, func(r *sql.Rows) error {
			var id int64
			var name string
			err := r.Scan(&id, &name)
			ids, names[name] = append(ids, id), true
			return err
		}, "SELECT id, pipeline FROM pipeline_runs WHERE status = 'done' AND done_at < ? ORDER BY done_at, id LIMIT ?", micros(before), limit)
		if err != nil {
			return err
		}
		for _, id := range ids {
			for _, text := range []string{"DELETE FROM pipeline_calls WHERE run = ?", "DELETE FROM pipeline_runs WHERE id = ? AND status = 'done'"} {
				if _, err := j.exec(ctx, tx, text, id); err != nil {
					return err
				}
			}
		}
		n = len(ids)
		return j.pruneVersions(ctx, tx, names)
	})
	return n, err
}

func (j *Journal) pruneVersions(ctx context.Context, tx *sql.Tx, names map[string]bool) error {
	for name := range names {
		if j.postgres {
			// Whoever begins a run holds its version. The statement after this one sees that run.
			err := j.each(ctx, tx, func(r *sql.Rows) error { return r.Scan(new(int64)) }, "SELECT version FROM pipeline_versions WHERE name = ? ORDER BY version FOR UPDATE", name)
			if err != nil {
				return err
			}
		}
		_, err := j.exec(ctx, tx, "DELETE FROM pipeline_versions WHERE name = ? AND version < (SELECT MAX(v.version) FROM pipeline_versions v WHERE v.name = ?) "+
			"AND NOT EXISTS (SELECT 1 FROM pipeline_runs r WHERE r.pipeline = pipeline_versions.name AND r.version = pipeline_versions.version)", name, name)
		if err != nil {
			return err
		}
	}
	return nil
}
