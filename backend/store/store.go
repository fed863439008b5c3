// Package store keeps the truth: jobs, runs, results, console indexes, events,
// agents, configuration and tokens, in SQLite or Postgres, with one SQL text
// for both.
//
// Reads are methods of Store and of Tx, changes are methods of Tx alone. Every
// move of a run is one conditional UPDATE whose guard comes from
// ci.Transitions: who changes no row has lost the race and gets
// ci.CodeConflict with a sentence that says how things stand. An id that
// nobody knows is ci.CodeNotFound; a database that is full, read-only, locked
// or away is ci.CodeUnavailable.
//
// Times are given and returned in UTC, whole microseconds; the zero time is NULL.
//
// Several processes may share one Postgres database. A second process on one
// SQLite file is safe as well, on a local disk: it waits for the first one's
// transactions, for at most busyTimeout, then it gets ci.CodeUnavailable. But
// nothing wakes it when the first one has written, and the two don't share
// commits, so use Postgres for more than one machine or cid: Own, which cid
// calls, refuses a second cid.
package store

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ci/pkg/ci"
)

// Store is an open database. It is safe for concurrent use.
type Store struct {
	reader
	engine engine
	clock  atomic.Pointer[reading] // of the database's clock; nil where it is the machine's own
	counts *counts
	close  sync.Once
	fault  atomic.Pointer[func(committed bool) error]
}

// engine is what SQLite and Postgres each do their own way.
type engine interface {
	// write runs fn in one transaction.
	write(ctx context.Context, fn func(s session) error) error
	// ping returns nil when the database answers.
	ping(ctx context.Context) error
	close() error
}

// reader has all the reads.
type reader struct {
	s session
	d *dialect
}

// Tx is one transaction. It is only valid inside its Write, in one goroutine.
type Tx struct {
	reader
	now    func() time.Time
	events int // how many this transaction has added
}

// Open opens the database that url names, and brings its schema up to date;
// processes that start together wait for each other. url is "sqlite:" and the
// path of a file (or the path alone), or "postgres://…" with what pgx
// understands. The errors are sentences for whoever starts the server.
func Open(ctx context.Context, url string, log *slog.Logger) (*Store, error) {
	scheme, rest, found := strings.Cut(url, ":")
	switch {
	case scheme == "postgres" || scheme == "postgresql":
		return openPostgres(ctx, url, log)
	case scheme == "sqlite" && found:
		return openSQLite(ctx, strings.TrimPrefix(rest, "//"), log)
	case !strings.Contains(url, "://"):
		return openSQLite(ctx, url, log)
	}
	return nil, ci.Errorf(ci.CodeInvalid, "the database %q is not known; use sqlite:/path/ci.db or postgres://user@host/name", scheme+"://…")
}

// Close lets transactions that run finish, and closes all connections. Calling
// it again does nothing.
func (s *Store) Close() (err error) {
	s.close.Do(func() { err = s.engine.close() })
	return err
}

// Ping returns nil when the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.engine.ping(ctx) }

// Dialect is SQLite or Postgres.
func (s *Store) Dialect() string { return s.d.name }

// Now is the database's clock: the machine's own with SQLite, the server's
// with Postgres, so that all processes agree on leases. UTC, whole microseconds.
// With Postgres, setting the clock of this machine does not move it.
func (s *Store) Now() time.Time {
	if r := s.clock.Load(); r != nil {
		return r.now().UTC().Truncate(time.Microsecond)
	}
	return time.Now().UTC().Truncate(time.Microsecond)
}

// reading is what the server's clock showed at a moment of ours.
type reading struct {
	server time.Time
	ours   time.Time // only its monotonic part counts
}

// now is what it shows by now: our monotonic clock has gone on since, whatever
// anybody has set our calendar to.
func (r *reading) now() time.Time { return r.server.Add(time.Since(r.ours)) }

type writing struct{}

// Write runs fn in one transaction and returns once it is on the disk. An error
// of fn rolls back and is returned as it is. fn should be short, must not call
// Write, and may run more than once: on Postgres a transaction that was in
// another one's way is tried again. On SQLite all writers share one
// connection, and those that wait share one commit. A transaction that has no answer within a minute is given up, and so is a read.
func (s *Store) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if ctx.Value(writing{}) == s {
		return ci.Errorf(ci.CodeInternal, "store: Write was called inside Write; use the transaction that is there")
	}
	ctx = context.WithValue(ctx, writing{}, s)
	if err := s.faulty(false); err != nil {
		return err
	}
	limited, cancel := bounded(ctx)
	defer cancel()
	err := s.engine.write(limited, func(on session) error {
		s.counts.transactions.Add(1)
		return fn(limited, &Tx{reader: reader{s: counted{on, s.counts}, d: s.d}, now: s.Now})
	})
	if err != nil {
		return silent(ctx, err)
	}
	return s.faulty(true)
}

// SetFault is for tests in which the n-th operation fails. fault is asked
// before each transaction, and again once it is committed, when its error
// stands for an answer that was lost. nil heals.
func (s *Store) SetFault(fault func(committed bool) error) {
	if fault == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&fault)
}

func (s *Store) faulty(committed bool) error {
	if fault := s.fault.Load(); fault != nil {
		return (*fault)(committed)
	}
	return nil
}

// Exec runs a statement that the store has no method for, with ? for each
// argument, and returns how many rows it changed. It is for repairs and tests:
// the text has to suit both engines, and nothing guards what it changes.
func (tx *Tx) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	return tx.s.exec(ctx, text, args...)
}
