package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	require.NoError(t, os.WriteFile(garbage, make([]byte, 8192), 0o600))
	require.NoError(t, os.WriteFile(garbage, append([]byte("this is no database"), make([]byte, 8192)...), 0o600))
	for _, c := range []struct {
		name, url string
		code      ci.Code
		words     string
	}{
		{"no folder", "sqlite:" + dir + "/none/ci.db", ci.CodeUnavailable, "there is no folder " + dir + "/none"},
		{"a folder", "sqlite:" + dir, ci.CodeUnavailable, "is a directory"},
		{"no file", "sqlite:", ci.CodeInvalid, "needs a file"},
		{"memory", "sqlite::memory:", ci.CodeInvalid, "needs a file"},
		{"no database", "sqlite:" + garbage, ci.CodeUnavailable, "is no SQLite database"},
		{"another engine", "mysql://root:secret@host/db", ci.CodeInvalid, "mysql://…"},
		{"a bad URL", "postgres://user:secret@host:port/db", ci.CodeInvalid, "not valid"},
		{"nobody listens", "postgres://user:secret@127.0.0.1:1/db", ci.CodeUnavailable, "can't be reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := store.Open(t.Context(), c.url, slog.New(slog.DiscardHandler))
			require.ErrorContains(t, err, c.words)
			require.Equal(t, c.code, ci.CodeOf(err))
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

// TestOddPath opens a file whose path has what URLs use, for its owner alone.
func TestOddPath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c=%41#&.db")
	s := open(t, path)
	_, err := insert(t.Context(), s)
	require.NoError(t, err)
	for _, end := range []string{"", "-wal", "-shm", ".lock"} {
		info, err := os.Stat(path + end)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}

func openTogether(t *testing.T, url string) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := store.Open(t.Context(), url, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
				return
			}
			err = s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				return tx.InsertRun(ctx, &ci.Run{Job: "x", Status: ci.StatusInProgress, Phase: ci.PhasePlanning})
			})
			if err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	runs, err := open(t, url).ListRuns(t.Context(), ci.RunFilter{}, 99)
	require.NoError(t, err)
	require.Len(t, runs, 8)
}

// newerSchema opens a database that a newer program has changed: it is used
// when that program left it fit for this one, and refused when it did not (R30).
func newerSchema(t *testing.T, url string) {
	change := func(text string) {
		s, err := store.Open(t.Context(), url, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.NoError(t, s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, text)
			return err
		}))
		require.NoError(t, s.Close())
	}
	change("INSERT INTO schema_versions (version_id, is_applied) VALUES (98, TRUE)")
	s, err := store.Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, err = insert(t.Context(), s)
	require.NoError(t, err)
	require.NoError(t, s.Close())

	change("UPDATE schema_users SET oldest = 98")
	_, err = store.Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "schema version 98")
	require.ErrorContains(t, err, "needs one that knows 98")
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
}

// originsOfOldRuns has the schema know where commits come from whose runs were
// recorded before it did.
func originsOfOldRuns(t *testing.T, url string) {
	s := open(t, url)
	record := func(o ci.Origin) *ci.Run {
		r := &ci.Run{Job: "x", Status: ci.StatusDone, Phase: ci.PhaseCollecting, CommitSHA: o.HeadSHA, Origin: &o, Git: &ci.Git{URL: "https://git.test/x"}}
		require.NoError(t, s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.InsertRun(ctx, r) }))
		return r
	}
	own := ci.Origin{Forge: "github", Repository: 8, HeadSHA: "s", Branch: `"Fork":true`}
	fork := ci.Origin{Forge: "github", Repository: 7, HeadSHA: "s", Pull: 3, Fork: true}
	runs := []*ci.Run{record(own), record(own), record(fork), record(fork)}
	do := func(texts ...string) {
		require.NoError(t, s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			for _, text := range texts {
				if _, err := tx.Exec(ctx, text); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	do("DROP TABLE pins", "DROP TABLE trash",
		"DROP INDEX runs_uncounted", "DROP INDEX runs_job_done", "DROP INDEX runs_job_results", "DROP INDEX runs_job_console", "DROP INDEX runs_results", "DROP INDEX runs_console",
		"ALTER TABLE jobs DROP COLUMN keep", "ALTER TABLE results DROP COLUMN expired_at",
		"ALTER TABLE runs DROP COLUMN results_expired_at", "ALTER TABLE runs DROP COLUMN console_expired_at",
		"ALTER TABLE runs DROP COLUMN result_count", "ALTER TABLE runs DROP COLUMN result_bytes", "ALTER TABLE runs DROP COLUMN stored_bytes")
	do("DROP TABLE commit_origins", "ALTER TABLE runs DROP COLUMN trace", "ALTER TABLE webhooks DROP COLUMN trace", "DELETE FROM schema_versions WHERE version_id >= 8")
	s = open(t, url)
	do("DELETE FROM runs")
	got, err := s.CommitOrigins(t.Context(), "s")
	require.NoError(t, err)
	require.Equal(t, []ci.CommitOrigin{
		{SHA: "s", Repo: "github/7", Run: runs[3].ID, Fork: true, Job: "x", Git: runs[3].Git, Origin: &fork},
		{SHA: "s", Repo: "github/8", Run: runs[1].ID},
	}, got)
}

// TestVersionsFollow wants the files' numbers to be the versions that they are.
func TestVersionsFollow(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	for i, name := range names {
		require.Regexp(t, fmt.Sprintf(`^migrations/%05d_[a-z_]+\.sql$`, i+1), name)
	}
}

// TestOneOwner has two processes' worth of stores want one SQLite file (R13).
func TestOneOwner(t *testing.T) {
	t.Parallel()
	url := file(t)
	first, second := open(t, url), open(t, url)
	require.NoError(t, first.Own())
	require.NoError(t, first.Own(), "it has it already")
	err := second.Own()
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	require.ErrorContains(t, err, "another cid serves")
	_, err = insert(t.Context(), second)
	require.NoError(t, err, "an agent's process uses it all the same")
	require.NoError(t, first.Close())
	require.NoError(t, second.Own())
}

func closed(t *testing.T, url string) {
	s, err := store.Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, s.Ping(t.Context()))
	require.Less(t, time.Until(s.Now()).Abs(), time.Minute)
	require.Equal(t, s.Now().Location(), time.UTC)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(s.Ping(t.Context())))
	_, err = s.GetJob(t.Context(), "x")
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	err = s.Write(t.Context(), func(context.Context, *store.Tx) error { return nil })
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
}
