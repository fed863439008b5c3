package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"ci/pkg/ci"
)

// Limits of one list.
const (
	// maxOnly is how many job names a list can be limited to: SQLite allows
	// 500 parts of a UNION.
	maxOnly = 400
	// outOfOrder is among how many runs after a moment the lowest id is looked
	// for: runs that are triggered together may get ids in another order than
	// their times.
	outOfOrder = 1000
)

// ListRuns returns up to limit runs, newest first, without their Spec. The
// page after one that ends in run x has Before x. It costs the same however
// many runs are stored: every filter has an index that ends in id.
func (r reader) ListRuns(ctx context.Context, f ci.RunFilter, limit int) ([]ci.Run, error) {
	if f.Jobs != nil && f.Job != "" {
		if !slices.Contains(f.Jobs, f.Job) {
			return []ci.Run{}, nil
		}
		f.Jobs = nil
	}
	q := r.d.bun.NewSelect().Table("runs").ColumnExpr(listFields).OrderExpr("id DESC").Limit(int64(limit))
	switch {
	case f.Jobs == nil:
		narrow(q, f)
	case len(f.Jobs) == 0:
		return []ci.Run{}, nil
	case len(f.Jobs) > maxOnly:
		return nil, ci.Errorf(ci.CodeInvalid, "the list is limited to %d jobs; at most %d are possible", len(f.Jobs), maxOnly)
	default:
		q.Where("id IN (?)", bun.Safe(r.newest(f, limit)))
	}
	return listed(ctx, r.s, listPlaces, q.String())
}

// newest selects the ids of each job's newest runs. One job at a time the index
// gives them in order; all jobs in one IN would have to be sorted.
func (r reader) newest(f ci.RunFilter, limit int) string {
	parts := make([]string, len(f.Jobs))
	for i, job := range f.Jobs {
		g := f
		g.Job, g.Jobs = job, nil
		q := r.d.bun.NewSelect().Table("runs").ColumnExpr("id").OrderExpr("id DESC").Limit(int64(limit))
		parts[i] = "SELECT id FROM (" + narrow(q, g).String() + ") AS page"
	}
	return strings.Join(parts, " UNION ALL ")
}

// narrow adds the filter but for Jobs. A condition like branch_name <> ”
// repeats what its index says, so that the engine sees that it may use it.
func narrow(q *bun.SelectQuery, f ci.RunFilter) *bun.SelectQuery {
	if f.Job != "" {
		q.Where("job = ?", f.Job)
	}
	switch f.Status {
	case "":
	case ci.StatusInProgress:
		q.Where("status = 'in_progress'")
	default:
		q.Where("status = ?", string(f.Status))
	}
	if f.Outcome != "" {
		q.Where("outcome = ? AND outcome <> ''", string(f.Outcome))
	}
	if f.BranchName != "" {
		q.Where("branch_name = ? AND branch_name <> ''", f.BranchName)
	}
	if f.CommitSHA != "" {
		q.Where("commit_sha = ? AND commit_sha <> ''", f.CommitSHA)
	}
	if !f.Since.IsZero() {
		since(q, f.Since)
	}
	if f.Before > 0 {
		q.Where("id < ?", f.Before)
	}
	return q
}

// since keeps the engine from reading on, in vain, through everything older:
// ids and times grow together, so the moment becomes a lowest id.
func since(q *bun.SelectQuery, t time.Time) {
	q.Where("triggered_at >= ?", t.UnixMicro())
	q.Where("id >= (SELECT MIN(id) FROM (SELECT id FROM runs WHERE triggered_at >= ? ORDER BY triggered_at, id LIMIT ?) AS first)", t.UnixMicro(), outOfOrder)
}
