package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func runs(t *testing.T, k *kit) {
	a, b := k.insert(ci.PhasePlanning), k.insert(ci.PhaseQueued)
	require.Positive(t, a.ID)
	require.Greater(t, b.ID, a.ID)
	got, err := k.GetRun(k.ctx, "build", a.ID)
	require.NoError(t, err)
	require.Equal(t, a, got)
	_, err = k.GetRun(k.ctx, "other", a.ID)
	requireCode(t, ci.CodeNotFound, err, `"other"`)
	_, err = k.GetRun(k.ctx, "", b.ID+100)
	requireCode(t, ci.CodeNotFound, err)

	// Inside a transaction one reads what it wrote; outside only when it is committed.
	k.do(func(tx *store.Tx) error {
		c := &ci.Run{Job: "inside", Status: ci.StatusInProgress, Phase: ci.PhasePlanning}
		require.NoError(t, tx.InsertRun(k.ctx, c))
		list, err := tx.ListRuns(k.ctx, ci.RunFilter{Job: "inside"}, 5)
		require.NoError(t, err)
		require.Len(t, list, 1)
		_, err = k.GetRun(k.ctx, "", c.ID)
		requireCode(t, ci.CodeNotFound, err)
		return nil
	})
}

func deleteRun(t *testing.T, k *kit) {
	kept, gone := k.insert(ci.PhaseRunning), k.insert(ci.PhaseRunning)
	for _, r := range []*ci.Run{gone, kept} {
		e := &ci.Event{Type: ci.EventRunDone, Run: r.ID, At: at(1)}
		k.do(func(tx *store.Tx) error {
			require.NoError(t, tx.PutResult(k.ctx, ci.Result{Run: r.ID, Name: "x"}))
			require.NoError(t, tx.AddChunk(k.ctx, ci.Chunk{Run: r.ID, Length: 5}))
			return tx.AddEvent(k.ctx, e)
		})
		k.settled(e.Seq)
	}
	del := func(id int64) error {
		return k.write(func(tx *store.Tx) error { return tx.DeleteRun(k.ctx, id) })
	}
	requireCode(t, ci.CodeConflict, del(gone.ID), "running")
	k.do(func(tx *store.Tx) error {
		_, err := tx.FinishRun(k.ctx, gone.ID, nil, nil, ci.End{Outcome: ci.OutcomeLost}, at(100))
		return err
	})
	require.NoError(t, del(gone.ID))
	require.NoError(t, del(gone.ID), "again is fine")
	_, err := k.GetRun(k.ctx, "", gone.ID)
	requireCode(t, ci.CodeNotFound, err)
	for _, r := range []struct {
		id int64
		n  int
	}{{kept.ID, 1}, {gone.ID, 0}} {
		results, err := k.ListResults(k.ctx, r.id)
		require.NoError(t, err)
		require.Len(t, results, r.n)
		end, err := k.ConsoleEnd(k.ctx, r.id)
		require.NoError(t, err)
		require.Equal(t, int64(5*r.n), end)
	}
	events, err := k.Events(k.ctx, 0, 10, "", nil)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, kept.ID, events[0].Run)
	require.Greater(t, k.insert(ci.PhasePlanning).ID, gone.ID, "an id is never used again")
}
