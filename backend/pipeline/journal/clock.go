package journal

import (
	"context"
	"database/sql"
	"time"
)

const (
	clockEvery = 30 * time.Second
	clockFor   = 10 * time.Second
)

// reading is what the server's clock showed at a moment of ours.
type reading struct {
	server time.Time
	ours   time.Time // only its monotonic part counts
}

// Now is the database's clock, as all processes that share a journal agree on
// leases and deadlines: the server's with Postgres, else the machine's. UTC, whole microseconds.
func (j *Journal) Now() time.Time {
	now := time.Now()
	if r := j.clock.Load(); r != nil {
		now = r.server.Add(time.Since(r.ours))
	}
	return now.UTC().Truncate(time.Microsecond)
}

// readClock measures how far the server's clock is from ours. The quickest of
// a few answers has the smallest error.
func (j *Journal) readClock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clockFor)
	defer cancel()
	best := time.Duration(-1)
	for range 3 {
		var at int64
		before := time.Now()
		err := j.each(ctx, j.db, func(rows *sql.Rows) error { return rows.Scan(&at) }, "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)")
		if err != nil {
			return err
		}
		if took := time.Since(before); best < 0 || took < best {
			best = took
			j.clock.Store(&reading{server: time.UnixMicro(at), ours: before.Add(took / 2)})
		}
	}
	return nil
}

// followClock measures again and again until Close: clocks drift, and are set.
// While the server is away ours goes on from what was read.
func (j *Journal) followClock(ctx context.Context) {
	t := time.NewTicker(clockEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			_ = j.readClock(ctx) // what matters of a database that is away is told by those who need it
		}
	}
}
