package chaos

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/e2e/rig"
	"ci/pkg/ci"
)

// R12: the file system of SQLite is full, and then read-only. What was answered is
// there, callers are told, and all goes on once there is room again.
func TestDiskOfSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk, err := rig.NewDisk(dir, 16<<20)
	require.NoError(t, err, "to mount something needs root")
	t.Cleanup(func() { require.NoError(t, disk.End()) })
	log := slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), filepath.Join(dir, "ci.db"), log)
	require.NoError(t, err)
	add := func() (int64, error) {
		r := &ci.Run{Job: "x", JobVersion: 1, Status: ci.StatusInProgress, Phase: ci.PhaseQueued, Priority: ci.PriorityNormal, Class: "small"}
		r.Times.Triggered = db.Now()
		err := db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.InsertRun(ctx, r) })
		return r.ID, err
	}
	id, err := add()
	require.NoError(t, err)
	answered := []int64{id}

	require.NoError(t, disk.Fill())
	for err == nil && len(answered) < 100_000 { // until pages that the file has already are used up
		if id, err = add(); err == nil {
			answered = append(answered, id)
		}
	}
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "disk of the database is full")
	there := func() {
		for _, id := range answered {
			_, err := db.GetRun(t.Context(), "", id)
			require.NoError(t, err)
		}
	}
	there()
	require.NoError(t, disk.Free())
	id, err = add()
	require.NoError(t, err)
	answered = append(answered, id)
	require.NoError(t, db.Close())

	require.NoError(t, disk.ReadOnly(true))
	_, err = store.Open(t.Context(), filepath.Join(dir, "ci.db"), log)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "read-only")
	require.NoError(t, disk.ReadOnly(false))
	db, err = store.Open(t.Context(), filepath.Join(dir, "ci.db"), log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	there()
	_, err = add()
	require.NoError(t, err)
}
