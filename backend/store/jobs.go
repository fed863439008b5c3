package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"ci/pkg/ci"
)

const jobFields = "name, git, freestyle, parameters, triggers, owner, keep, version, created_at, updated_at"

func jobPlaces(j *ci.Job) []any {
	return []any{
		&j.Name,
		document{&j.Git},
		raw{&j.Freestyle},
		document{&j.Parameters},
		document{&j.Triggers},
		&j.Owner,
		document{&j.Keep},
		&j.Version,
		stamp{&j.CreatedAt},
		stamp{&j.UpdatedAt},
	}
}

// GetJob returns the job, or ci.CodeNotFound.
func (r reader) GetJob(ctx context.Context, name string) (*ci.Job, error) {
	j, err := one(ctx, r.s, jobPlaces, "SELECT "+jobFields+" FROM jobs WHERE name = ?", name)
	if err == nil && j == nil {
		return nil, ci.Errorf(ci.CodeNotFound, "there is no job %q", name)
	}
	return j, err
}

// ListJobs returns up to limit jobs in the order of their names, beginning
// behind after. A non-nil only limits the list to these names.
func (r reader) ListJobs(ctx context.Context, after string, limit int, only []string) ([]ci.Job, error) {
	if only == nil {
		return many(ctx, r.s, jobPlaces, "SELECT "+jobFields+" FROM jobs WHERE name > ? ORDER BY name LIMIT ?", after, limit)
	}
	if len(only) == 0 {
		return []ci.Job{}, nil
	}
	return listed(ctx, r.s, jobPlaces, r.d.format("SELECT "+jobFields+" FROM jobs WHERE name > ? AND name IN (?) ORDER BY name LIMIT ?", after, bun.List(only), limit))
}

// PutJob creates or replaces the job, and fills in Version, CreatedAt and
// UpdatedAt. ifVersion is the version that is replaced: 0 is any, -1 says that
// there must be no such job. When it isn't so, the error is ci.CodeStale.
func (tx *Tx) PutJob(ctx context.Context, j *ci.Job, ifVersion int64) (created bool, err error) {
	now := tx.now()
	if ifVersion <= 0 {
		made := *j
		made.Version, made.CreatedAt, made.UpdatedAt = 1, now, now
		n, err := tx.s.exec(ctx, insertText("jobs", jobFields, 10)+" ON CONFLICT (name) DO NOTHING", values(jobPlaces(&made))...)
		if err != nil {
			return false, err
		}
		if n == 1 {
			*j = made
			return true, nil
		}
		if ifVersion < 0 {
			return false, ci.Errorf(ci.CodeStale, "there is a job %q already", j.Name)
		}
	}
	return false, tx.replaceJob(ctx, j, ifVersion, now)
}

func (tx *Tx) replaceJob(ctx context.Context, j *ci.Job, ifVersion int64, now time.Time) error {
	text := "UPDATE jobs SET git = ?, freestyle = ?, parameters = ?, triggers = ?, owner = ?, keep = ?, updated_at = ?, version = version + 1 WHERE name = ?"
	args := append(values([]any{document{&j.Git}, raw{&j.Freestyle}, document{&j.Parameters}, document{&j.Triggers}, &j.Owner, document{&j.Keep}}), micros(now), j.Name)
	if ifVersion > 0 {
		text += " AND version = ?"
		args = append(args, ifVersion)
	}
	stored, err := one(ctx, tx.s, jobPlaces, text+" RETURNING "+jobFields, args...)
	if err != nil {
		return err
	}
	if stored == nil {
		return tx.staleJob(ctx, j.Name, ifVersion)
	}
	*j = *stored
	return nil
}

// staleJob says why the version that somebody named is not the job's.
func (tx *Tx) staleJob(ctx context.Context, name string, ifVersion int64) error {
	j, err := tx.GetJob(ctx, name)
	if err != nil && ci.CodeOf(err) != ci.CodeNotFound {
		return err
	}
	if err != nil {
		return ci.Errorf(ci.CodeStale, "job %q is not at version %d: it was deleted", name, ifVersion)
	}
	return ci.Errorf(ci.CodeStale, "job %q is at version %d, not %d: somebody changed it; read it again", name, j.Version, ifVersion)
}

// DeleteJob removes the job and its secrets; its runs stay. ifVersion is as in PutJob, 0 is any.
func (tx *Tx) DeleteJob(ctx context.Context, name string, ifVersion int64) error {
	text, args := "DELETE FROM jobs WHERE name = ?", []any{name}
	if ifVersion > 0 {
		text += " AND version = ?"
		args = append(args, ifVersion)
	}
	n, err := tx.s.exec(ctx, text, args...)
	if err == nil && n == 1 {
		_, err = tx.s.exec(ctx, "DELETE FROM secrets WHERE job = ?", name)
	}
	if err != nil || n == 1 {
		return err
	}
	if _, err := tx.GetJob(ctx, name); err != nil {
		return err
	}
	return tx.staleJob(ctx, name, ifVersion)
}
