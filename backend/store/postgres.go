package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"ci/pkg/ci"
)

const (
	// schemaLock is the advisory lock that a process holds while it changes
	// the schema. The number only has to be nobody else's.
	schemaLock = 4_951_760_157
	// maxConns is how many connections one process opens at the most.
	maxConns = 24
	// oldestPostgres is the first server with pg_current_xact_id.
	oldestPostgres = 130000
	maxTries       = 6
	clockEvery     = 30 * time.Second
)

// pg is the engine Postgres.
type pg struct {
	db    *sql.DB
	d     *dialect
	texts sync.Map
	stop  context.CancelFunc
	wait  sync.WaitGroup
}

func openPostgres(ctx context.Context, url string, log *slog.Logger) (*Store, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the database's URL is not valid: %w", err)
	}
	if _, given := config.RuntimeParams["application_name"]; !given {
		config.RuntimeParams["application_name"] = "ci"
	}
	// bun writes values into some texts, by the rules of this setting.
	config.RuntimeParams["standard_conforming_strings"] = "on"
	alive(config)
	db := stdlib.OpenDB(*config, stdlib.OptionShouldPing(look))
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxIdleTime(time.Minute) // of a fleet, each idle agent is left with one
	d := postgresDialect(bun.NewDB(db, pgdialect.New()))
	if err := preparePostgres(ctx, db, d, log); err != nil {
		_ = db.Close()
		return nil, err
	}
	e := &pg{db: db, d: d}
	n := &counts{}
	s := &Store{reader: reader{s: counted{&server{db: db, d: d, texts: &e.texts}, n}, d: d}, engine: e, counts: n}
	if err := s.readClock(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	alive, stop := context.WithCancel(context.Background())
	e.stop = stop
	e.wait.Go(func() { s.followClock(alive, log) })
	return s, nil
}

// preparePostgres checks the server's version and brings the schema up to
// date, under a lock of the session: processes that start together take turns.
func preparePostgres(ctx context.Context, db *sql.DB, d *dialect, log *slog.Logger) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fault(err)
	}
	defer func() { _ = conn.Close() }()
	var version int
	if err := conn.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return fault(err)
	}
	if version < oldestPostgres {
		return ci.Errorf(ci.CodeInvalid, "the database server is Postgres %d; version 13 or newer is needed", version/10000)
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(schemaLock)); err != nil {
		return fault(err)
	}
	defer func() {
		// A connection that can't unlock is closed by the server, and that unlocks too.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(schemaLock))
	}()
	if err := migrate(ctx, db, d, log); err != nil {
		return err
	}
	return rebaseEvents(ctx, conn)
}

// write runs fn in a transaction, again when another one was in its way.
func (p *pg) write(ctx context.Context, fn func(s session) error) error {
	for try := 1; ; try++ {
		err := p.once(ctx, fn)
		if try == maxTries || !again(err) {
			return err
		}
		pause := time.Duration(1+rand.IntN(10<<try)) * time.Millisecond
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (p *pg) once(ctx context.Context, fn func(s session) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return fault(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit; and a panic passes by here
	if err := fn(&server{db: tx, d: p.d, texts: &p.texts}); err != nil {
		return err
	}
	err = tx.Commit()
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return ctx.Err() // it was rolled back when ctx ended
	}
	return unknown(err)
}

// unknown is the error of a COMMIT. When the connection broke, the server may
// have committed or not: who repeats needs an idempotent call.
func unknown(err error) error {
	f := fault(err)
	if ci.CodeOf(f) == ci.CodeUnavailable && unreachable(err) {
		return &ci.Error{Code: ci.CodeUnavailable, Message: "the connection to the database broke while it committed: the change may have been made or not; look before you try again", Cause: err}
	}
	return f
}

func (p *pg) ping(ctx context.Context) error { return fault(p.db.PingContext(ctx)) }

func (p *pg) close() error {
	p.stop()
	p.wait.Wait()
	return p.db.Close()
}

// readClock measures how far the server's clock is from ours. The quickest of
// a few answers has the smallest error.
func (s *Store) readClock(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	best := time.Duration(-1)
	for range 3 {
		var at int64
		before := time.Now()
		rows, err := s.s.query(ctx, "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS at")
		if err != nil {
			return err
		}
		list, err := scan(rows, idPlaces)
		if err != nil {
			return err
		}
		if took := time.Since(before); len(list) == 1 && (best < 0 || took < best) {
			best, at = took, list[0]
			s.clock.Store(&reading{server: time.UnixMicro(at), ours: before.Add(took / 2)})
		}
	}
	return nil
}

// followClock measures again and again: clocks drift, and are set.
func (s *Store) followClock(ctx context.Context, log *slog.Logger) {
	t := time.NewTicker(clockEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.readClock(ctx); err != nil && !errors.Is(err, context.Canceled) {
				log.Debug("database: its clock could not be read", "err", err)
			}
		}
	}
}
