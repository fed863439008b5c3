package journal

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"log/slog"

	"ci/pkg/ci"
)

// The schema's versions. A file that was released is never changed again.
//
//go:embed migrations/*.sql
var files embed.FS

// schemaLock is the advisory lock of who changes the tables. The number only has to be nobody else's.
const schemaLock = 4_951_760_158

// migrate brings the tables up to date, all in one transaction: SQLite lets one
// in at a time, Postgres by an advisory lock. Tables of a newer program are used
// as they are: versions only add.
func (j *Journal) migrate(ctx context.Context, log *slog.Logger) error {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return err
	}
	return j.write(ctx, func(tx *sql.Tx) error {
		if j.postgres {
			if _, err := j.exec(ctx, tx, "SELECT pg_advisory_xact_lock(?)", int64(schemaLock)); err != nil {
				return err
			}
		}
		if _, err := j.exec(ctx, tx, "CREATE TABLE IF NOT EXISTS pipeline_schema (version BIGINT NOT NULL)"); err != nil {
			return err
		}
		have := 0
		err := j.each(ctx, tx, func(r *sql.Rows) error { return r.Scan(&have) }, "SELECT COALESCE(MAX(version), 0) FROM pipeline_schema")
		if err != nil {
			return err
		}
		for version := have + 1; version <= len(names); version++ {
			text, err := files.ReadFile(names[version-1])
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, string(text)); err != nil {
				return ci.Errorf(ci.CodeInternal, "the tables of pipelines could not be prepared: %w", err)
			}
			if _, err := j.exec(ctx, tx, "INSERT INTO pipeline_schema (version) VALUES (?)", version); err != nil {
				return err
			}
			log.Info("pipelines: tables changed", "version", version)
		}
		return nil
	})
}
