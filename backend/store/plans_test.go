package store

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestListsUseAnIndex asks SQLite how it would answer: every list walks an
// index in its order, and neither sorts nor reads the whole table.
func TestListsUseAnIndex(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "ci.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for _, c := range []struct {
		f    ci.RunFilter
		want string
	}{
		{ci.RunFilter{}, "INTEGER PRIMARY KEY"},
		{ci.RunFilter{Before: 9}, "INTEGER PRIMARY KEY"},
		{ci.RunFilter{Job: "a"}, "runs_job "},
		{ci.RunFilter{Job: "a", Before: 9}, "runs_job "},
		{ci.RunFilter{Job: "a", BranchName: "b"}, "runs_job_branch"},
		{ci.RunFilter{Job: "a", CommitSHA: "c"}, "runs_job_commit"},
		{ci.RunFilter{Job: "a", Outcome: ci.OutcomeLost}, "runs_job_outcome"},
		{ci.RunFilter{Job: "a", Status: ci.StatusInProgress}, "runs_job_in_progress"},
		{ci.RunFilter{Job: "a", Status: ci.StatusDone}, "runs_job "},
		{ci.RunFilter{Status: ci.StatusInProgress}, "runs_in_progress"},
		{ci.RunFilter{Status: ci.StatusDone}, "INTEGER PRIMARY KEY"},
		{ci.RunFilter{Outcome: ci.OutcomeLost}, "runs_outcome"},
		{ci.RunFilter{BranchName: "b"}, "runs_branch"},
		{ci.RunFilter{CommitSHA: "c"}, "runs_commit"},
		{ci.RunFilter{Since: time.Now()}, "runs_triggered"},
		{ci.RunFilter{Job: "a", Since: time.Now()}, "runs_job "},
	} {
		text, args := newest(listFields, c.f, 50)
		plan := explain(t, s, text, args...)
		require.Contains(t, plan, c.want, "%+v", c.f)
		require.NotContains(t, plan, "TEMP B-TREE", "%+v", c.f)
		require.NotContains(t, plan, "SCAN runs", "%+v", c.f)
	}
	plan := explain(t, s, commitText, "a", "a")
	require.Contains(t, plan, "sqlite_autoindex_commit_origins")
	require.Contains(t, plan, "runs_commit")
	for text, want := range map[string]string{
		"SELECT id FROM runs WHERE " + queued + " AND published_at < 5 ORDER BY published_at, id LIMIT 9":                                                   "runs_unpublished",
		"SELECT id FROM runs WHERE " + queued + " AND class = 'a' AND priority = 'b' AND queued_at < 5 AND published_at < 5 ORDER BY queued_at, id LIMIT 1": "runs_lane",
		"SELECT COUNT(*) FROM runs WHERE " + queued + " AND class = 'a' AND priority = 'b'":                                                                 "runs_lane",
		"SELECT class, priority, COUNT(*), MIN(queued_at) FROM runs WHERE " + queued + " GROUP BY class, priority":                                          "runs_lane",
		"SELECT queued_at FROM runs WHERE " + queued + " AND class = 'a' AND priority = 'b' ORDER BY queued_at, id LIMIT 1":                                 "runs_lane",
		"SELECT id FROM runs WHERE status = 'in_progress' AND phase = 'planning' AND plan_until <= 5 ORDER BY id LIMIT 9":                                   "runs_planning",
		"SELECT id FROM runs WHERE status = 'in_progress' AND agent <> '' AND lease_until < 5 ORDER BY lease_until LIMIT 9":                                 "runs_lease",
		"SELECT id FROM runs WHERE status = 'in_progress' AND agent <> '' AND deadline < 5 ORDER BY deadline LIMIT 9":                                       "runs_deadline",
		"SELECT id FROM runs WHERE status = 'in_progress' AND agent <> '' AND agent = 'a' ORDER BY id LIMIT 9":                                              "runs_held",
		"SELECT id FROM runs WHERE status = 'done' AND stored_bytes IS NULL ORDER BY id LIMIT 9":                                                            "runs_uncounted",
		"SELECT seq FROM events WHERE seq > 5 AND seq < 9223372036854775807 AND job = 'a' ORDER BY seq LIMIT 9":                                             "events_job",
		"DELETE FROM events WHERE run = 5": "events_run",
		"SELECT first_byte + length FROM chunks WHERE run = 5 ORDER BY first_byte DESC LIMIT 1":                                       "sqlite_autoindex_chunks",
		"SELECT DISTINCT name FROM results WHERE run IN (SELECT id FROM runs WHERE job = 'a' ORDER BY id DESC LIMIT 9) ORDER BY name": "runs_job ",
	} {
		plan := explain(t, s, text)
		require.Contains(t, plan, want, text)
		if !strings.Contains(text, "DISTINCT") {
			require.NotContains(t, plan, "TEMP B-TREE", text)
		}
	}
}

// TestPruningUsesAnIndex has a page of what is forgotten cost the same however much there is.
func TestPruningUsesAnIndex(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "ci.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for text, want := range map[string]string{
		pruneText("idempotency", "used_at"): "idempotency_age",
		pruneText("pins", "until_at"):       "pins_until",
	} {
		plan := explain(t, s, text, 1, 1, 1)
		require.Equal(t, 2, strings.Count(plan, want), plan)
		require.NotContains(t, plan, "TEMP B-TREE", text)
	}
	plan := explain(t, s, pruneEvents, 1, 1, 1)
	require.Contains(t, plan, "SEARCH events USING INTEGER PRIMARY KEY", plan)
	require.NotContains(t, plan, "TEMP B-TREE", plan)
}

type step struct {
	id, parent, unused int64
	detail             string
}

func explain(t *testing.T, s *Store, text string, args ...any) string {
	t.Helper()
	steps, err := many(context.Background(), s.s, func(p *step) []any { return []any{&p.id, &p.parent, &p.unused, &p.detail} }, "EXPLAIN QUERY PLAN "+text, args...)
	require.NoError(t, err)
	var b strings.Builder
	for _, p := range steps {
		b.WriteString(p.detail + " \n")
	}
	return b.String()
}

// TestRetentionUsesAnIndex wants retention to walk an index too, in both
// directions, from wherever it was: it looks at what goes, and at nothing else.
func TestRetentionUsesAnIndex(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "ci.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for _, c := range []struct {
		what      ci.Kept
		job, want string
	}{
		{ci.KeptRun, "", "runs_done"},
		{ci.KeptRun, "a", "runs_job_done"},
		{ci.KeptResults, "", "runs_results"},
		{ci.KeptResults, "a", "runs_job_results"},
		{ci.KeptConsole, "", "runs_console"},
		{ci.KeptConsole, "a", "runs_job_console"},
	} {
		text, args := oldestText(c.what, c.job, Mark{Run: 5}, 9, time.Now())
		old := explain(t, s, text, args...)
		text, args = newestText(c.what, c.job, &Mark{Run: 5}, 9)
		for _, plan := range []string{old, explain(t, s, text, args...)} {
			require.Contains(t, plan, "INDEX "+c.want+" (", "%+v", c)
			require.Regexp(t, `\((job=\? AND )?\(?done_at`, plan, "it begins behind the mark: %+v", c)
			require.NotContains(t, plan, "TEMP B-TREE", "%+v", c)
			require.NotContains(t, plan, "SCAN", "%+v", c)
		}
	}
	plan := explain(t, s, jobsOfDone)
	require.Contains(t, plan, "(job>?)")
	require.NotContains(t, plan, "SCAN r")
}
