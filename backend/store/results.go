package store

import (
	"context"

	"ci/pkg/ci"
)

const resultFields = "run, name, content_type, size, sha256, filename, files, created_at, expired_at"

func resultPlaces(r *ci.Result) []any {
	return []any{&r.Run, &r.Name, &r.ContentType, &r.Size, &r.SHA256, &r.Filename, &r.Files, stamp{&r.CreatedAt}, stamp{&r.ExpiredAt}}
}

// PutResult records a result of a run in progress, in place of one of the same
// name. A done run's results never change: ci.CodeConflict.
func (tx *Tx) PutResult(ctx context.Context, r ci.Result) error {
	id, err := one(ctx, tx.s, idPlaces, "SELECT id FROM runs WHERE id = ? AND status = 'in_progress'"+tx.d.hold, r.Run)
	if err != nil {
		return err
	}
	if id == nil {
		there, err := tx.GetRun(ctx, "", r.Run)
		if err != nil {
			return err
		}
		return ci.Errorf(ci.CodeConflict, "run %d is done (%s); its results can't change any more", r.Run, there.Outcome)
	}
	_, err = tx.s.exec(ctx, insertText("results", resultFields, 9)+" ON CONFLICT (run, name) DO UPDATE SET "+
		"content_type = excluded.content_type, size = excluded.size, sha256 = excluded.sha256, "+
		"filename = excluded.filename, files = excluded.files, created_at = excluded.created_at, expired_at = excluded.expired_at",
		values(resultPlaces(&r))...)
	return err
}

// ListResults returns a run's results in the order of their names. An unknown
// run has none.
func (r reader) ListResults(ctx context.Context, run int64) ([]ci.Result, error) {
	return many(ctx, r.s, resultPlaces, "SELECT "+resultFields+" FROM results WHERE run = ? ORDER BY name", run)
}

// GetResult returns one result, or ci.CodeNotFound.
func (r reader) GetResult(ctx context.Context, run int64, name string) (*ci.Result, error) {
	result, err := one(ctx, r.s, resultPlaces, "SELECT "+resultFields+" FROM results WHERE run = ? AND name = ?", run, name)
	if err == nil && result == nil {
		return nil, ci.Errorf(ci.CodeNotFound, "run %d has no result %q", run, name)
	}
	return result, err
}

// JobResults returns the names of the results that the job's newest limit runs
// have saved, sorted.
func (r reader) JobResults(ctx context.Context, job string, limit int) ([]string, error) {
	return many(ctx, r.s, textPlaces, "SELECT DISTINCT name FROM results WHERE run IN (SELECT id FROM runs WHERE job = ? ORDER BY id DESC LIMIT ?) ORDER BY name", job, limit)
}
