package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// lane makes insert record a run that was queued at a moment.
func lane(class string, p ci.Priority, queued int) func(*ci.Run) {
	return func(r *ci.Run) { r.Class, r.Priority, r.Times.Queued = class, p, at(queued) }
}

func queue(t *testing.T, k *kit) {
	depths, err := k.QueueDepths(k.ctx)
	require.NoError(t, err)
	require.Empty(t, depths)

	third := k.insert(ci.PhaseQueued, lane("small", ci.PriorityNormal, 30))
	first := k.insert(ci.PhaseQueued, lane("small", ci.PriorityNormal, 10))
	tie := k.insert(ci.PhaseQueued, lane("small", ci.PriorityNormal, 10))
	urgent := k.insert(ci.PhaseQueued, lane("small", ci.PriorityUrgent, 40))
	large := k.insert(ci.PhaseQueued, lane("large", ci.PriorityNormal, 50))
	k.insert(ci.PhaseRunning, lane("small", ci.PriorityUrgent, 1))
	over := k.insert(ci.PhaseQueued, lane("small", ci.PriorityUrgent, 1), done(ci.OutcomeAborted))

	for _, c := range []struct {
		run  *ci.Run
		want int
	}{{urgent, 0}, {first, 1}, {tie, 2}, {third, 3}, {large, 0}, {over, 0}} {
		got, err := k.QueuePosition(k.ctx, c.run)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	depths, err = k.QueueDepths(k.ctx)
	require.NoError(t, err)
	require.Equal(t, []ci.QueueDepth{
		{Lane: ci.Lane{Class: "large", Priority: ci.PriorityNormal}, Queued: 1, Oldest: at(50)},
		{Lane: ci.Lane{Class: "small", Priority: ci.PriorityUrgent}, Queued: 1, Oldest: at(40)},
		{Lane: ci.Lane{Class: "small", Priority: ci.PriorityNormal}, Queued: 3, Oldest: at(10)},
	}, depths)

	heads, err := k.QueueHeads(k.ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, []ci.QueueDepth{
		{Lane: ci.Lane{Class: "small", Priority: ci.PriorityUrgent}, Queued: 1, Oldest: at(40)},
		{Lane: ci.Lane{Class: "small", Priority: ci.PriorityNormal}, Queued: 1, Oldest: at(10)},
		{Lane: ci.Lane{Class: "large", Priority: ci.PriorityNormal}, Queued: 1, Oldest: at(50)},
	}, heads)
	for most, want := range map[int]int{1: 1, 3: 3, 9: 3} {
		n, err := k.QueuedUpTo(k.ctx, ci.Lane{Class: "small", Priority: ci.PriorityNormal}, most)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
}

func publishing(t *testing.T, k *kit) {
	a, b := k.insert(ci.PhaseQueued), k.insert(ci.PhaseQueued)
	k.insert(ci.PhasePlanning)
	stale := func(n, limit int) []int64 {
		runs, err := k.StaleQueued(k.ctx, at(n), limit)
		require.NoError(t, err)
		return ids(runs)
	}
	require.Equal(t, []int64{a.ID, b.ID}, stale(0, 9))
	require.Equal(t, []int64{a.ID}, stale(0, 1))
	k.do(func(tx *store.Tx) error { return tx.MarkPublished(k.ctx, []int64{a.ID}, at(10)) })
	k.do(func(tx *store.Tx) error { return tx.MarkPublished(k.ctx, nil, at(10)) })
	require.Equal(t, []int64{b.ID}, stale(10, 9))
	require.Equal(t, []int64{b.ID, a.ID}, stale(11, 9), "what was never published comes first")
	k.do(func(tx *store.Tx) error {
		_, err := tx.ClaimRun(k.ctx, claimOf(b), at(60), at(600), at(20))
		return err
	})
	require.Equal(t, []int64{a.ID}, stale(11, 9))
	runs, err := k.StaleQueued(k.ctx, at(11), 9)
	require.NoError(t, err)
	require.Equal(t, *a, runs[0])
}
