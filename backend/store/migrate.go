package store

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"ci/pkg/ci"
)

// The schema's versions. A file that was released is never changed again; the
// next version is the next file.
//
//go:embed migrations/*.sql
var files embed.FS

// versionTable is where goose notes which versions a database has.
const versionTable = "schema_versions"

// migrate brings the schema up to date, each version in a transaction. The
// caller holds a lock. A schema that a newer program made is refused: an older
// one can't know what it would break.
func migrate(ctx context.Context, db *sql.DB, d *dialect, log *slog.Logger) error {
	versions, err := versions(d)
	if err != nil {
		return err
	}
	kind := map[string]database.Dialect{SQLite: goose.DialectSQLite3, Postgres: goose.DialectPostgres}[d.name]
	p, err := goose.NewProvider(kind, db, nil,
		goose.WithGoMigrations(versions...), goose.WithDisableGlobalRegistry(true),
		goose.WithTableName(versionTable), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return ci.Errorf(ci.CodeInternal, "store: the migrations are not sound: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return unprepared(err)
	}
	if newest := int64(len(versions)); have > newest {
		return ci.Errorf(ci.CodeConflict, "the database has schema version %d, this program knows versions up to %d: a newer cid has used it. Start that one, or restore a backup from before", have, newest)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return unprepared(err)
	}
	if len(done) > 0 {
		log.Info("database: schema changed", "from", have, "to", len(versions))
	}
	return nil
}

func unprepared(err error) error {
	if f := fault(err); ci.CodeOf(f) != ci.CodeInternal {
		return f
	}
	return ci.Errorf(ci.CodeInternal, "the database's schema could not be prepared: %w", err)
}

// versions are the files in their order: 00001_first.sql is version 1.
func versions(d *dialect) ([]*goose.Migration, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	list := make([]*goose.Migration, len(names))
	for i, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		up := d.words.Replace(string(text))
		list[i] = goose.NewGoMigration(int64(i+1), &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, up)
			return err
		}}, nil)
	}
	return list, nil
}
