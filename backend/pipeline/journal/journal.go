// Package journal keeps the truth about pipelines: their definitions, their
// runs, and every call of a run's program with what came of it. It has tables
// and migrations of its own, in SQLite or Postgres with one SQL text for both.
//
// A run is worked on under a lease. Each claim has a token of its own, and every
// write of a worker names it: who has lost the lease writes nothing. Errors are
// ci.Errors; a database that is away is ci.CodeUnavailable.
//
// Times are UTC, whole microseconds; the zero time is 0.
package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ci/pkg/ci"
)

// maxConns is how many connections to Postgres one process opens at the most.
const maxConns = 6

// busyTime is for how long one who finds a file locked tries again.
const busyTime = 10 * time.Second

// Journal is an open database. It is safe for concurrent use.
type Journal struct {
	db       *sql.DB
	postgres bool
	path     string   // of a file
	owned    *os.File // the lock of Own; nil without one
	clock    atomic.Pointer[reading]
	stop     context.CancelFunc // of followClock; nil without one
	wait     sync.WaitGroup
}

// Open opens the database that url names, "sqlite:PATH" or "postgres://…", and
// brings its tables up to date.
func Open(ctx context.Context, url string, log *slog.Logger) (*Journal, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	var j *Journal
	var err error
	switch scheme {
	case "postgres", "postgresql":
		j, err = openPostgres(url)
	case "sqlite":
		j, err = openSQLite(strings.TrimPrefix(rest, "//"))
	default:
		return nil, ci.Errorf(ci.CodeInvalid, "the database of pipelines %q is not known; use sqlite:/path/pipelines.db or postgres://user@host/name", scheme+":…")
	}
	if err != nil {
		return nil, err
	}
	if err := j.connect(ctx); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if err := j.migrate(ctx, log); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if !j.postgres {
		return j, nil
	}
	if err := j.readClock(ctx); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	alive, stop := context.WithCancel(context.WithoutCancel(ctx)) // Close ends it
	j.stop = stop
	j.wait.Go(func() { j.followClock(alive) })
	return j, nil
}

// connect makes the first connection. Whoever opens a new SQLite file turns it to
// write-ahead logging, and those who come in that moment are refused at once,
// whatever their busy_timeout: they try again for as long.
func (j *Journal) connect(ctx context.Context) error {
	for until := time.Now().Add(busyTime); ; {
		err := j.db.PingContext(ctx)
		var lite *sqlite.Error
		if !errors.As(err, &lite) || lite.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(until) {
			return fault(err)
		}
		again := time.NewTimer(20 * time.Millisecond)
		select {
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		case <-again.C:
		}
	}
}

func openPostgres(url string) (*Journal, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the URL of the database of pipelines is not valid: %w", err)
	}
	if _, given := config.RuntimeParams["application_name"]; !given {
		config.RuntimeParams["application_name"] = "ci-pipelines"
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(2)
	db.SetConnMaxIdleTime(time.Minute)
	return &Journal{db: db, postgres: true}, nil
}

// openSQLite opens a file, made for its owner alone. One connection serves
// all: statements are short, and so nobody is ever locked out.
func openSQLite(path string) (*Journal, error) {
	if path == "" || strings.HasPrefix(path, ":") {
		return nil, ci.Errorf(ci.CodeInvalid, "the database of pipelines needs a file, for example sqlite:/var/lib/ci/pipelines.db")
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, ci.Errorf(ci.CodeUnavailable, "the database of pipelines can't be opened: %w; is there a folder %s?", err, filepath.Dir(path))
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTime.Milliseconds()), "journal_mode(WAL)", "synchronous(FULL)", "cache_size(-2000)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fault(err)
	}
	db.SetMaxOpenConns(1)
	return &Journal{db: db, path: path}, nil
}

// Close closes all connections, and gives up what Own has taken.
func (j *Journal) Close() error {
	if j.stop != nil {
		j.stop()
		j.wait.Wait()
	}
	err := j.db.Close()
	if j.owned != nil {
		err = errors.Join(err, j.owned.Close())
		j.owned = nil
	}
	return err
}

// Ping returns nil when the database answers.
func (j *Journal) Ping(ctx context.Context) error { return fault(j.db.PingContext(ctx)) }

// querier is what *sql.DB and *sql.Tx share.
type querier interface {
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
}

// text writes $1, $2, … for each ? where Postgres reads it.
func (j *Journal) text(s string) string {
	if !j.postgres {
		return s
	}
	var b strings.Builder
	for i, part := range strings.Split(s, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// exec returns how many rows changed.
func (j *Journal) exec(ctx context.Context, on querier, text string, args ...any) (int64, error) {
	r, err := on.ExecContext(ctx, j.text(text), args...)
	if err != nil {
		return 0, fault(err)
	}
	n, err := r.RowsAffected()
	return n, fault(err)
}

// each calls scan for every row.
func (j *Journal) each(ctx context.Context, on querier, scan func(*sql.Rows) error, text string, args ...any) error {
	rows, err := on.QueryContext(ctx, j.text(text), args...)
	if err != nil {
		return fault(err)
	}
	defer rows.Close() //nolint:errcheck // Err says it
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fault(err)
		}
	}
	return fault(rows.Err())
}

// write runs fn in one transaction, again when another one was in its way.
func (j *Journal) write(ctx context.Context, fn func(tx *sql.Tx) error) error {
	const tries = 5
	for try := 1; ; try++ {
		err := j.once(ctx, fn)
		var pg *pgconn.PgError
		if try == tries || !errors.As(err, &pg) || pg.Code != "40001" && pg.Code != "40P01" && pg.Code != "23505" {
			return err
		}
	}
}

func (j *Journal) once(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return fault(err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	return fault(tx.Commit())
}

// ignoreDone drops the error of rolling back what the engine has rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return fault(err)
}

// fault gives an engine's error a code. The end of a context stays as it is.
func fault(err error) error {
	var known *ci.Error
	var lite *sqlite.Error
	var pg *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &pg) && (pg.Code == "22021" || pg.Code == "22P05"):
		return &ci.Error{Code: ci.CodeInvalid, Message: "a text holds a character that the database can't store", Cause: err}
	case errors.As(err, &pg) && pg.Code[:2] == "42", errors.As(err, &lite) && lite.Code()&0xff == sqlite3.SQLITE_ERROR:
		return &ci.Error{Code: ci.CodeInternal, Message: "the database of pipelines refused a statement of ours", Cause: err}
	}
	return &ci.Error{Code: ci.CodeUnavailable, Message: "the database of pipelines can't do it at the moment; try again", Cause: err}
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// places writes n question marks.
func places(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func notFound(format string, args ...any) error {
	return ci.Errorf(ci.CodeNotFound, "%s", fmt.Sprintf(format, args...))
}
