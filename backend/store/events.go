package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"

	"ci/pkg/ci"
)

// A reader asks for what came after the last Seq that it saw, so no event may
// appear behind one that was seen. On SQLite that is so by itself: there is one
// writer, and numbers are given in the order of its commits.
//
// On Postgres transactions commit in another order than they take numbers from
// a sequence. There the number of an event is made of its transaction's id
// (times maxEvents, plus a count within the transaction), and readers see only
// what is below the oldest transaction that still runs: everything there is
// decided, and nothing can be added. The price: a transaction that writes for a
// long time, in any database of the server, holds back the events after it.
//
// Transaction ids begin anew when a dump is restored on another server, so
// event_base is added to them; rebaseEvents keeps it large enough.

// maxEvents is how many events one transaction may add. dialect.go has the same figure.
const maxEvents = 4096

const eventFields = "seq, type, run, job, phase, outcome, at"

func eventPlaces(e *ci.Event) []any {
	return []any{&e.Seq, (*string)(&e.Type), &e.Run, &e.Job, (*string)(&e.Phase), (*string)(&e.Outcome), stamp{&e.At}}
}

// AddEvent records an event and sets its Seq.
func (tx *Tx) AddEvent(ctx context.Context, e *ci.Event) error {
	if tx.events == maxEvents {
		return ci.Errorf(ci.CodeInternal, "store: a transaction may add at most %d events", maxEvents)
	}
	args := values(eventPlaces(e))
	args[0] = int64(tx.events)
	seq, err := one(ctx, tx.s, idPlaces, "INSERT INTO events ("+eventFields+") VALUES ("+tx.d.seq+", ?, ?, ?, ?, ?, ?) RETURNING seq", args...)
	if err != nil {
		return err
	}
	tx.events++
	e.Seq = *seq
	return nil
}

// Events returns up to limit events behind after, in the order of Seq. job
// limits them to one job ("" is all), a non-nil jobs to these. Who asks again
// with the last Seq misses none.
func (r reader) Events(ctx context.Context, after int64, limit int, job string, jobs []string) ([]ci.Event, error) {
	switch {
	case jobs == nil:
		text, args := r.behind(eventFields, after, limit, job)
		return listed(ctx, r.s, eventPlaces, text, args...)
	case job != "" && slices.Contains(jobs, job):
		jobs = []string{job}
	case job != "" || len(jobs) == 0:
		return []ci.Event{}, nil
	case len(jobs) > maxOnly:
		return nil, tooMany(jobs)
	}
	// One job at a time, as in ofEach: a job that is quiet costs nothing.
	parts := make([]string, len(jobs))
	for i, j := range jobs {
		text, args := r.behind("seq", after, limit, j)
		parts[i] = "SELECT seq FROM (" + r.d.format(text, args...) + ") AS page"
	}
	return listed(ctx, r.s, eventPlaces, "SELECT "+eventFields+" FROM events WHERE seq IN ("+strings.Join(parts, " UNION ALL ")+") ORDER BY seq LIMIT "+strconv.Itoa(limit))
}

// behind selects the events that readers see behind after.
func (r reader) behind(fields string, after int64, limit int, job string) (text string, args []any) {
	text, args = "SELECT "+fields+" FROM events WHERE seq > ? AND seq < "+r.d.horizon, []any{after}
	if job != "" {
		text, args = text+" AND job = ?", append(args, job)
	}
	return text + " ORDER BY seq LIMIT ?", append(args, limit)
}

// LastEvent returns the Seq of the newest event that readers see, 0 when there is none.
func (r reader) LastEvent(ctx context.Context) (int64, error) {
	seq, err := one(ctx, r.s, idPlaces, "SELECT COALESCE(MAX(seq), 0) FROM events WHERE seq < "+r.d.horizon)
	if err != nil {
		return 0, err
	}
	return *seq, nil
}

// PruneEvents forgets the events before a moment: the oldest, up to the first
// that is younger, at most limit at once. It returns how many they were.
func (tx *Tx) PruneEvents(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.s.exec(ctx, pruneEvents, limit, limit, micros(before))
}

const (
	oldestEvents = "(SELECT seq, at FROM events ORDER BY seq LIMIT ?) AS page"
	pruneEvents  = "DELETE FROM events WHERE seq <= (SELECT MAX(seq) FROM " + oldestEvents + ") " +
		"AND seq < COALESCE((SELECT MIN(seq) FROM " + oldestEvents + " WHERE at >= ?), 9223372036854775807)"
)

// rebaseEvents makes new events follow the stored ones. It matters after a
// dump was restored on a server that has seen fewer transactions. The caller
// holds the lock of the schema.
func rebaseEvents(ctx context.Context, conn *sql.Conn) error {
	const newest = "(SELECT COALESCE(MAX(seq), 0) FROM events) / 4096 + 1 - "
	const first, next = "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)", "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)"
	// What this server has numbered itself is below next, so nothing changes
	// while others write. Measured from first, readers see the old ones at once.
	_, err := conn.ExecContext(ctx, "UPDATE event_base SET base = "+newest+first+" WHERE base < "+newest+next)
	return fault(err)
}
