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

// overtaken wants those that were queued in a lane before a run which an agent has.
func overtaken(t *testing.T, k *kit) {
	waits := func(p ci.Priority, queued int) int64 { return k.insert(ci.PhaseQueued, lane("small", p, queued)).ID }
	find := func(before int) (ids []int64) {
		runs, err := k.Overtaken(k.ctx, at(before), 2)
		require.NoError(t, err)
		for i := range runs {
			ids = append(ids, runs[i].ID)
		}
		return ids
	}
	first, second, third := waits(ci.PriorityNormal, 10), waits(ci.PriorityNormal, 20), waits(ci.PriorityNormal, 25)
	waits(ci.PriorityNormal, 40)
	waits(ci.PriorityUrgent, 5)
	require.Empty(t, find(100), "nobody has taken any")
	k.insert(ci.PhaseRunning, lane("small", ci.PriorityNormal, 50), done(ci.OutcomeFailed))
	require.Empty(t, find(100), "one that is done says nothing")
	k.insert(ci.PhaseRunning, lane("small", ci.PriorityNormal, 30))
	require.Equal(t, []int64{first, second}, find(100), "the first two of three")
	require.Equal(t, []int64{first}, find(15), "it is long enough ago")
	k.do(func(tx *store.Tx) error { return tx.MarkPublished(k.ctx, []int64{first}, at(35)) })
	require.Equal(t, []int64{second, third}, find(34), "the first one was sent again since")
}
