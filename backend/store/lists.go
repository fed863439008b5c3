package store

import (
	"context"
	"slices"
	"strconv"
	"strings"

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
	switch {
	case f.Jobs == nil:
		text, args := newest(listFields, f, limit)
		return listed(ctx, r.s, listPlaces, text, args...)
	case len(f.Jobs) == 0:
		return []ci.Run{}, nil
	case len(f.Jobs) > maxOnly:
		return nil, tooMany(f.Jobs)
	}
	return listed(ctx, r.s, listPlaces, r.ofEach(f, limit))
}

func tooMany(jobs []string) error {
	return ci.Errorf(ci.CodeInvalid, "the list is limited to %d jobs; at most %d are possible", len(jobs), maxOnly)
}

// ofEach selects the newest of each job's newest runs. One job at a time, the
// index gives them in order; all jobs in one IN would have to be sorted.
func (r reader) ofEach(f ci.RunFilter, limit int) string {
	parts := make([]string, len(f.Jobs))
	for i, job := range f.Jobs {
		g := f
		g.Job, g.Jobs = job, nil
		text, args := newest("id", g, limit)
		parts[i] = "SELECT id FROM (" + r.d.format(text, args...) + ") AS page"
	}
	return "SELECT " + listFields + " FROM runs WHERE id IN (" + strings.Join(parts, " UNION ALL ") + ") ORDER BY id DESC LIMIT " + strconv.Itoa(limit)
}

// newest selects the newest runs that fit the filter, but for its Jobs. A
// condition like branch_name <> ” repeats what its index says, so that the
// engine sees that it may use it.
func newest(fields string, f ci.RunFilter, limit int) (text string, args []any) {
	text = "SELECT " + fields + " FROM runs WHERE id > 0"
	where := func(condition string, values ...any) {
		text += " AND " + condition
		args = append(args, values...)
	}
	if f.Job != "" {
		where("job = ?", f.Job)
	}
	switch f.Status {
	case "":
	case ci.StatusInProgress:
		where("status = 'in_progress'")
	default:
		where("status = ?", string(f.Status))
	}
	if f.Outcome != "" {
		where("outcome = ? AND outcome <> ''", string(f.Outcome))
	}
	if f.BranchName != "" {
		where("branch_name = ? AND branch_name <> ''", f.BranchName)
	}
	if f.CommitSHA != "" {
		where("commit_sha = ? AND commit_sha <> ''", f.CommitSHA)
	}
	if f.Parent > 0 {
		where("parent_run = ? AND parent_run <> 0", f.Parent)
	}
	if !f.Since.IsZero() {
		// Ids and times grow together, so the moment becomes a lowest id; else
		// the engine reads on, in vain, through everything older.
		at := f.Since.UnixMicro()
		where("triggered_at >= ?", at)
		where("id >= (SELECT MIN(id) FROM (SELECT id FROM runs WHERE triggered_at >= ? ORDER BY triggered_at, id LIMIT ?) AS first)", at, outOfOrder)
	}
	if f.Before > 0 {
		where("id < ?", f.Before)
	}
	return text + " ORDER BY id DESC LIMIT ?", append(args, limit)
}
