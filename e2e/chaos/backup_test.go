package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend"
	"ci/backend/store"
	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
	"ci/pkg/ci"
)

// R33: a backup that is taken under load and restored elsewhere is a system as
// it was then. What was done stays as it was, what was queued runs, and what was
// running is lost, since nobody there runs it.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		backupUnderLoad(t, "", func(ctx context.Context, home, elsewhere string) string {
			db, err := sql.Open("sqlite", "file:"+filepath.Join(home, "ci.db"))
			require.NoError(t, err)
			to := filepath.Join(elsewhere, "ci.db")
			require.NoError(t, os.RemoveAll(to)) // of an earlier try
			_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
			require.NoError(t, err)
			require.NoError(t, db.Close())
			return "sqlite:" + to
		})
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		server := postgres.Start(t)
		from := server.Database(t)
		backupUnderLoad(t, from, func(context.Context, string, string) string {
			to := server.Database(t)
			server.Copy(t, from, to)
			return to
		})
	})
}

// backupUnderLoad has a system with a database, "" for its file, of which copy
// makes another one and returns where.
func backupUnderLoad(t *testing.T, database string, backup func(ctx context.Context, home, elsewhere string) string) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	home, elsewhere := t.TempDir(), t.TempDir()
	s := newSystemWith(t, backend.Config{Dir: home, Database: database, Lease: 30 * time.Second}, nil)
	e := s.backend.Engine
	var slow []int64
	for range 3 {
		run, _, err := e.Trigger(ctx, ci.Trigger{Job: "slow"})
		require.NoError(t, err)
		_, err = e.Wait(ctx, "slow", run.ID, ci.UntilStarted, time.Minute)
		require.NoError(t, err)
		slow = append(slow, run.ID)
	}
	more, stop := context.WithCancel(ctx)
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for more.Err() == nil {
				run, _, err := e.Trigger(more, ci.Trigger{Job: "saves"})
				if err == nil {
					_, _ = e.Wait(more, "saves", run.ID, ci.UntilDone, time.Second)
				}
			}
		})
	}
	require.NoError(t, rig.Poll(ctx, time.Minute, func() error {
		done, err := s.backend.Store.ListRuns(ctx, ci.RunFilter{Outcome: ci.OutcomeSucceeded}, 50)
		if err == nil && len(done) < 50 {
			err = fmt.Errorf("%d runs are done", len(done))
		}
		return err
	}))
	// As docs/operations.md has it: the database first, then the objects.
	copied, waiting := "", 0
	var runs []ci.Run
	for waiting == 0 {
		require.NoError(t, ctx.Err(), "no backup had a queued run")
		batch := make([]ci.Trigger, 200)
		for i := range batch {
			batch[i].Job = "saves"
		}
		_, err := e.TriggerBatch(ctx, batch)
		require.NoError(t, err)
		copied = backup(ctx, home, elsewhere)
		runs, waiting = runsIn(ctx, t, copied)
	}
	require.NoError(t, os.CopyFS(filepath.Join(elsewhere, "blobs", "objects"), os.DirFS(filepath.Join(home, "blobs", "objects"))))
	key, err := os.ReadFile(filepath.Join(home, "secret.key"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(elsewhere, "secret.key"), key, 0o600))
	stop()
	callers.Wait()

	there := newSystemWith(t, backend.Config{Dir: elsewhere, Database: copied, Lease: 5 * time.Second}, nil)
	for _, r := range runs {
		if r.Done() {
			continue
		}
		end, err := there.backend.Engine.Wait(ctx, r.Job, r.ID, ci.UntilDone, time.Minute)
		require.NoError(t, err)
		require.True(t, end.Done(), "run %d is %s", r.ID, end.Phase)
		want := ci.OutcomeLost
		if r.Phase == ci.PhaseQueued {
			want = ci.OutcomeSucceeded
		}
		if end.Outcome != want {
			t.Errorf("run %d was %s when the backup was taken, and is %s: %s", r.ID, r.Phase, end.Outcome, end.Reason)
		}
	}
	outcomes := map[ci.Outcome]int{}
	for _, r := range runs {
		restored, err := there.backend.Store.GetRun(ctx, "", r.ID)
		require.NoError(t, err)
		outcomes[restored.Outcome]++
		if !r.Done() {
			continue
		}
		original, err := s.backend.Store.GetRun(ctx, "", r.ID)
		require.NoError(t, err)
		require.Equal(t, original, restored, "a done run changed")
		if r.Job == "saves" && r.Outcome == ci.OutcomeSucceeded {
			there.readable(ctx, t, r.ID)
		}
	}
	for _, id := range slow {
		r, err := there.backend.Store.GetRun(ctx, "", id)
		require.NoError(t, err)
		require.Equal(t, ci.OutcomeLost, r.Outcome, "it ran at home, and does so still")
		r, err = e.Abort(ctx, "slow", id, "the test")
		require.NoError(t, err, "the original goes on")
		require.False(t, r.Done())
	}
	t.Logf("restored %d runs, of which %d were queued: %v", len(runs), waiting, outcomes)
	onceDone(ctx, t, there.backend.Store, len(runs))
	there.close(t)
	s.close(t)
}

// runsIn lists the runs of a database that nobody uses, and says how many are queued.
func runsIn(ctx context.Context, t *testing.T, database string) (runs []ci.Run, queued int) {
	t.Helper()
	db, err := store.Open(ctx, database, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	runs, err = db.ListRuns(ctx, ci.RunFilter{}, 100_000)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	for i := range runs {
		if !runs[i].Done() && runs[i].Phase == ci.PhaseQueued {
			queued++
		}
	}
	return runs, queued
}

// readable reads the console and the result of a run.
func (s *system) readable(ctx context.Context, t *testing.T, id int64) {
	t.Helper()
	run, err := s.backend.Store.GetRun(ctx, "", id)
	require.NoError(t, err)
	sum, err := s.backend.Engine.Console().Sum(ctx, id)
	require.NoError(t, err)
	require.Equal(t, run.Console.SHA256, sum.SHA256, "the console of run %d", id)
	results, err := s.backend.Store.ListResults(ctx, id)
	require.NoError(t, err)
	require.Len(t, results, 1)
	body, err := s.backend.Blobs.Get(ctx, fmt.Sprintf("runs/%d/results/%s", id, results[0].Name), 0, -1)
	require.NoError(t, err, "the result of run %d", id)
	require.NoError(t, body.Close())
}
