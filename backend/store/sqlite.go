package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"ci/pkg/ci"
)

// busyTimeout is how long a statement waits for another process's lock.
const busyTimeout = "10000" // ms

// lite is the engine SQLite: one writer, several readers.
type lite struct {
	path    string
	owned   *os.File // the lock of Own; nil without one
	writer  *writer
	wdb     *sql.DB
	readers *sql.DB
}

func openSQLite(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	if err := checkFile(path); err != nil {
		return nil, err
	}
	wdb, err := sql.Open("sqlite", dsn(path, "synchronous(FULL)", "cache_size(-8000)"))
	if err != nil {
		return nil, fault(err)
	}
	wdb.SetMaxOpenConns(1)
	d := sqliteDialect(bun.NewDB(wdb, sqlitedialect.New()))
	if err := migrateSQLite(ctx, path, wdb, d, log); err != nil {
		_ = wdb.Close()
		return nil, err
	}
	readers, err := sql.Open("sqlite", dsn(path, "query_only(1)", "cache_size(-4000)"))
	if err != nil {
		_ = wdb.Close()
		return nil, fault(err)
	}
	n := max(4, 2*runtime.GOMAXPROCS(0))
	readers.SetMaxOpenConns(n)
	readers.SetMaxIdleConns(n)
	count := &counts{}
	s := &Store{reader: reader{s: counted{&pool{db: readers}, count}, d: d}, counts: count}
	s.engine = &lite{path: path, writer: newWriter(wdb), wdb: wdb, readers: readers}
	return s, nil
}

// dsn names a file and the settings of each of its connections. WAL lets
// readers and the writer go on beside each other; synchronous(FULL) makes
// COMMIT wait for the disk, so that what was answered survives power loss.
func dsn(path string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}}
	for _, p := range append([]string{"busy_timeout(" + busyTimeout + ")", "journal_mode(WAL)", "temp_store(MEMORY)", "journal_size_limit(67108864)"}, pragmas...) {
		q.Add("_pragma", p)
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// checkFile creates the file if there is none, for its owner alone (SQLite
// gives the files beside it the same mode), and says in a sentence why it
// can't be used.
func checkFile(path string) error {
	if path == "" || strings.HasPrefix(path, ":memory:") {
		return ci.Errorf(ci.CodeInvalid, "the database needs a file: give sqlite: and a path, for example sqlite:/var/lib/ci/ci.db")
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, os.ErrNotExist):
		return ci.Errorf(ci.CodeUnavailable, "the database %s can't be created: there is no folder %s; make it, or give another path", path, filepath.Dir(path))
	case errors.Is(err, os.ErrPermission):
		return ci.Errorf(ci.CodeUnavailable, "the database %s can't be opened for writing by user %d: %w", path, os.Getuid(), err)
	case errors.Is(err, syscall.EROFS):
		return ci.Errorf(ci.CodeUnavailable, "the database %s lies on a read-only file system: %w", path, err)
	}
	return ci.Errorf(ci.CodeUnavailable, "the database %s can't be opened: %w", path, err)
}

func (l *lite) write(ctx context.Context, fn func(s session) error) error {
	return l.writer.write(ctx, fn)
}

func (l *lite) ping(ctx context.Context) error { return fault(l.readers.PingContext(ctx)) }

func (l *lite) close() error {
	l.writer.close()
	err := errors.Join(l.readers.Close(), l.wdb.Close())
	if l.owned != nil {
		err = errors.Join(err, syscall.Flock(int(l.owned.Fd()), syscall.LOCK_UN), l.owned.Close())
	}
	return err
}

// Shared says whether several cids may serve the database: it is not SQLite.
func (s *Store) Shared() bool {
	_, alone := s.engine.(*lite)
	return !alone
}

// Own makes this process the only one that serves the database. Several
// may share a Postgres, and then it does nothing. On SQLite a second one would
// not hear what the first one writes, so it is refused: ci.CodeConflict. Own lasts
// until Close, or until the process ends in whatever way.
func (s *Store) Own() error {
	l, ok := s.engine.(*lite)
	if !ok || l.owned != nil {
		return nil
	}
	f, err := os.OpenFile(l.path+".owner", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return ci.Errorf(ci.CodeUnavailable, "the database's lock file can't be opened: %w", err)
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		_ = f.Close()
		return ci.Errorf(ci.CodeConflict, "another cid serves the SQLite database %s; one file has one cid. Stop the other one, give this one its own --data, or use Postgres (--database postgres://…) for several", l.path)
	case err != nil:
		_ = f.Close()
		return ci.Errorf(ci.CodeUnavailable, "the database's lock file %s can't be locked: %w", f.Name(), err)
	}
	l.owned = f
	return nil
}

// migrateSQLite holds a lock file while it changes the schema: SQLite's own
// locks end with each transaction. The file stays; flock(2) is what counts.
func migrateSQLite(ctx context.Context, path string, db *sql.DB, d *dialect, log *slog.Logger) error {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return ci.Errorf(ci.CodeUnavailable, "the database's lock file can't be opened: %w", err)
	}
	defer func() { _ = f.Close() }() // and so unlocks
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return migrate(ctx, db, d, log)
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return ci.Errorf(ci.CodeUnavailable, "the database's lock file %s can't be locked: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return ci.Errorf(ci.CodeUnavailable, "another process has been changing the schema of %s for too long: %w", path, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
