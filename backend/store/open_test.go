package store_test

import (
	"context"
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

func newerSchema(t *testing.T, url string) {
	s, err := store.Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO schema_versions (version_id, is_applied) VALUES (99, TRUE)")
		return err
	}))
	require.NoError(t, s.Close())
	_, err = store.Open(t.Context(), url, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "schema version 99")
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
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
