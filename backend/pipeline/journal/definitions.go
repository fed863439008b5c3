package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"reflect"
	"time"

	"ci/pkg/ci"
)

const definitionFields = "d.name, d.version, d.created_at, v.program, v.source, v.parameters, v.updated_at, v.updated_by"

const definitionTables = " FROM pipeline_definitions d JOIN pipeline_versions v ON v.name = d.name AND v.version = d.version"

func scanPipeline(r *sql.Rows) (p ci.Pipeline, err error) {
	var source, parameters string
	var created, updated int64
	if err = r.Scan(&p.Name, &p.Version, &created, &p.Program, &source, &parameters, &updated, &p.UpdatedBy); err != nil {
		return p, err
	}
	p.CreatedAt, p.UpdatedAt = moment(created), moment(updated)
	if err = json.Unmarshal([]byte(source), &p.Source); err != nil {
		return p, err
	}
	return p, json.Unmarshal([]byte(parameters), &p.Parameters)
}

// GetPipeline returns the newest version, or ci.CodeNotFound.
func (j *Journal) GetPipeline(ctx context.Context, name string) (*ci.Pipeline, error) {
	return j.getPipeline(ctx, j.db, name)
}

func (j *Journal) getPipeline(ctx context.Context, on querier, name string) (found *ci.Pipeline, err error) {
	err = j.each(ctx, on, func(r *sql.Rows) error {
		p, err := scanPipeline(r)
		found = &p
		return err
	}, "SELECT "+definitionFields+definitionTables+" WHERE d.name = ?", name)
	if err == nil && found == nil {
		return nil, notFound("there is no pipeline %q", name)
	}
	return found, err
}

// ListPipelines returns up to limit pipelines in the order of their names, beginning behind after.
func (j *Journal) ListPipelines(ctx context.Context, after string, limit int) ([]ci.Pipeline, error) {
	list := []ci.Pipeline{}
	err := j.each(ctx, j.db, func(r *sql.Rows) error {
		p, err := scanPipeline(r)
		list = append(list, p)
		return err
	}, "SELECT "+definitionFields+definitionTables+" WHERE d.name > ? ORDER BY d.name LIMIT ?", after, limit)
	return list, err
}

// PutPipeline makes p the newest version, and fills in Version and times. What
// is the newest already stays as it is. ifVersion is the version that is
// replaced, 0 is any; when it isn't so, the error is ci.CodeStale.
func (j *Journal) PutPipeline(ctx context.Context, p *ci.Pipeline, ifVersion int64, now time.Time) (created bool, err error) {
	err = j.write(ctx, func(tx *sql.Tx) error {
		old, err := j.getPipeline(ctx, tx, p.Name)
		if err != nil && ci.CodeOf(err) != ci.CodeNotFound {
			return err
		}
		created = old == nil
		switch {
		case ifVersion != 0 && (old == nil || old.Version != ifVersion):
			return ci.Errorf(ci.CodeStale, "pipeline %q is not at version %d any more", p.Name, ifVersion)
		case old != nil && old.Program == p.Program && reflect.DeepEqual(old.Source, p.Source):
			*p = *old
			return nil
		}
		return j.addVersion(ctx, tx, p, old, now)
	})
	return created, err
}

// addVersion numbers on, also behind versions of a pipeline that was deleted.
func (j *Journal) addVersion(ctx context.Context, tx *sql.Tx, p, old *ci.Pipeline, now time.Time) error {
	err := j.each(ctx, tx, func(r *sql.Rows) error { return r.Scan(&p.Version) },
		"SELECT COALESCE(MAX(version), 0) + 1 FROM pipeline_versions WHERE name = ?", p.Name)
	if err != nil {
		return err
	}
	p.CreatedAt, p.UpdatedAt = now, now
	if old != nil {
		p.CreatedAt = old.CreatedAt
	}
	source, err := json.Marshal(p.Source)
	if err != nil {
		return err
	}
	parameters, err := json.Marshal(p.Parameters)
	if err != nil {
		return err
	}
	_, err = j.exec(ctx, tx, "INSERT INTO pipeline_versions (name, version, program, source, parameters, updated_at, updated_by) VALUES ("+places(7)+")",
		p.Name, p.Version, p.Program, string(source), string(parameters), micros(now), p.UpdatedBy)
	if err != nil {
		return err
	}
	_, err = j.exec(ctx, tx, "INSERT INTO pipeline_definitions (name, version, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
		p.Name, p.Version, micros(p.CreatedAt))
	return err
}

// DeletePipeline removes a pipeline. Its runs, and the versions that they began with, stay.
func (j *Journal) DeletePipeline(ctx context.Context, name string) error {
	n, err := j.exec(ctx, j.db, "DELETE FROM pipeline_definitions WHERE name = ?", name)
	if err == nil && n == 0 {
		return notFound("there is no pipeline %q", name)
	}
	return err
}

// Program returns the text of one version.
func (j *Journal) Program(ctx context.Context, name string, version int64) (text string, err error) {
	found := false
	err = j.each(ctx, j.db, func(r *sql.Rows) error {
		found = true
		return r.Scan(&text)
	}, "SELECT program FROM pipeline_versions WHERE name = ? AND version = ?", name, version)
	if err == nil && !found {
		return "", notFound("pipeline %q has no version %d", name, version)
	}
	return text, err
}
