package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
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

// oldestUser is the oldest program that can go on with the newest schema here,
// told by the newest schema that it knows. A version that only adds, with
// defaults that are true for what older programs write, leaves it alone. One
// that takes away what an older program uses raises it to the first version
// whose program does not use it any more: so a release stops using something,
// and only the next one takes it away.
const oldestUser = 2

// migrate brings the schema up to date, each version in a transaction. The
// caller holds a lock. A schema that a newer program made is used if that one
// said that it can be: while programs are replaced, old and new ones run beside
// each other, and an old one may be started again.
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
		return newerSchema(ctx, db, have, newest, log)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return unprepared(err)
	}
	if len(done) == 0 {
		return nil
	}
	log.Info("database: schema changed", "from", have, "to", len(versions))
	_, err = db.ExecContext(ctx, fmt.Sprintf("UPDATE schema_users SET oldest = %d WHERE oldest < %[1]d", oldestUser))
	return unprepared(err)
}

// newerSchema returns nil when the program that made a newer schema left it fit for this one.
func newerSchema(ctx context.Context, db *sql.DB, have, newest int64, log *slog.Logger) error {
	oldest := have // before schema_users nothing was promised
	if err := db.QueryRowContext(ctx, "SELECT oldest FROM schema_users").Scan(&oldest); err != nil {
		log.Debug("database: it does not say who may use it", "err", err)
	}
	if newest < oldest {
		return ci.Errorf(ci.CodeConflict, "the database has schema version %d, this program knows versions up to %d, and the schema needs one that knows %d: a newer cid has used it. Start that one, or restore a backup from before", have, newest, oldest)
	}
	log.Warn("database: a newer program has changed the schema; this one may go on for as long as programs are being replaced", "schema", have, "known", newest)
	return nil
}

func unprepared(err error) error {
	if err == nil {
		return nil
	}
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
