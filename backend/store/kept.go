package store

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// What done runs leave has an order: by the moment at which they ended, then
// by id. Limits cut it in two, and the older part goes.

// Mark is a place in that order: a run's. The zero Mark lies before all.
type Mark struct {
	Done time.Time
	Run  int64
}

// Before says whether m lies before the other.
func (m Mark) Before(other Mark) bool {
	if m.Done.Equal(other.Done) {
		return m.Run < other.Run
	}
	return m.Done.Before(other.Done)
}

// Stored is a done run with what it has of one kind.
type Stored struct {
	Mark
	Job   string
	Bytes int64
	// Kept says what keeps it whatever the limits say, in a few words; "" for nothing.
	Kept string
}

// kinds says how each kind is found. The conditions are those of the indexes.
var kinds = map[ci.Kept]struct{ where, bytes string }{
	ci.KeptRun:     {"status = 'done'", "COALESCE(stored_bytes, 0)"},
	ci.KeptResults: {"status = 'done' AND result_count > 0 AND results_expired_at IS NULL", "result_bytes"},
	ci.KeptConsole: {"status = 'done' AND console_bytes > 0 AND console_expired_at IS NULL", "console_bytes"},
}

// keptBy says what keeps a run whatever the limits say. Its arguments are the
// name that no pin has to have, "", and the present moment.
const keptBy = "CASE " +
	"WHEN EXISTS (SELECT 1 FROM pins WHERE pins.run = runs.id AND pins.until_at > ?) THEN " +
	"'pinned: ' || (SELECT MIN(CASE WHEN reason <> '' THEN reason ELSE name END) FROM pins WHERE pins.run = runs.id AND pins.until_at > ?) " +
	"WHEN EXISTS (SELECT 1 FROM checks WHERE checks.run = runs.id AND checks.run <> 0) THEN 'a forge is still to be told of its end' " +
	"WHEN parent_run <> 0 AND EXISTS (SELECT 1 FROM runs p WHERE p.id = runs.parent_run AND p.status = 'in_progress') THEN 'the run that triggered it goes on' " +
	"ELSE '' END"

// Oldest returns up to limit runs that have something of a kind, oldest first,
// behind a mark. job "" is all.
func (r reader) Oldest(ctx context.Context, what ci.Kept, job string, after Mark, limit int, now time.Time) ([]Stored, error) {
	text, args := oldestText(what, job, after, limit, now)
	return listed(ctx, r.s, storedPlaces, text, args...)
}

func oldestText(what ci.Kept, job string, after Mark, limit int, now time.Time) (string, []any) {
	text, args := atHand(what, job, keptBy, []any{now.UnixMicro(), now.UnixMicro()})
	return text + " AND (done_at, id) > (?, ?) ORDER BY done_at, id LIMIT ?", append(args, after.at(), after.Run, limit)
}

// Newest returns up to limit runs that have something of a kind, newest first,
// before a mark; nil begins at the newest. Kept is left out.
func (r reader) Newest(ctx context.Context, what ci.Kept, job string, before *Mark, limit int) ([]Stored, error) {
	text, args := newestText(what, job, before, limit)
	return listed(ctx, r.s, storedPlaces, text, args...)
}

func newestText(what ci.Kept, job string, before *Mark, limit int) (string, []any) {
	text, args := atHand(what, job, "''", nil)
	if before != nil {
		text, args = text+" AND (done_at, id) < (?, ?)", append(args, before.at(), before.Run)
	}
	return text + " ORDER BY done_at DESC, id DESC LIMIT ?", append(args, limit)
}

func (m Mark) at() int64 {
	if m.Done.IsZero() {
		return 0
	}
	return m.Done.UnixMicro()
}

func atHand(what ci.Kept, job, kept string, args []any) (string, []any) {
	k := kinds[what]
	text := "SELECT done_at, id, job, " + k.bytes + ", " + kept + " FROM runs WHERE " + k.where
	if job != "" {
		text, args = text+" AND job = ?", append(args, job)
	}
	return text, args
}

func storedPlaces(s *Stored) []any {
	return []any{stamp{&s.Done}, &s.Run, &s.Job, &s.Bytes, &s.Kept}
}

// JobsOfDone returns the names of all jobs that have done runs, in their order,
// those that were deleted included. It costs as much as there are jobs.
func (r reader) JobsOfDone(ctx context.Context) ([]string, error) {
	return many(ctx, r.s, textPlaces, jobsOfDone)
}

const jobsOfDone = "WITH RECURSIVE names(job) AS (" +
	"SELECT (SELECT MIN(job) FROM runs WHERE status = 'done') " +
	"UNION ALL SELECT (SELECT MIN(r.job) FROM runs r WHERE r.status = 'done' AND r.job > names.job) FROM names WHERE names.job IS NOT NULL" +
	") SELECT job FROM names WHERE job IS NOT NULL"

// JobsThatKeep returns what jobs say about what they keep, by name; those that say nothing are left out.
func (r reader) JobsThatKeep(ctx context.Context) (map[string]*ci.Keep, error) {
	type row struct {
		name string
		keep *ci.Keep
	}
	rows, err := many(ctx, r.s, func(r *row) []any { return []any{&r.name, document{&r.keep}} }, "SELECT name, keep FROM jobs WHERE keep IS NOT NULL")
	keep := make(map[string]*ci.Keep, len(rows))
	for _, r := range rows {
		keep[r.name] = r.keep
	}
	return keep, err
}
