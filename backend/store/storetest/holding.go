package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func renew(t *testing.T, k *kit) {
	renewTo := func(n int, claims ...ci.Claim) (list []ci.Verdict) {
		k.do(func(tx *store.Tx) (err error) { list, err = tx.RenewRuns(k.ctx, "agent", claims, at(n)); return err })
		return list
	}
	require.Empty(t, renewTo(70))
	held, aborted := k.insert(ci.PhasePreparing), k.insert(ci.PhaseRunning, func(r *ci.Run) { r.AbortRequestedAt = at(3) })
	over := k.insert(ci.PhaseRunning, done(ci.OutcomeLost))
	foreign := k.insert(ci.PhaseRunning, func(r *ci.Run) { r.Agent = "other" })
	wrong := claimOf(held)
	wrong.ID = "it's \\ 'wrong"
	got := renewTo(70, claimOf(over), claimOf(aborted), wrong, claimOf(held), claimOf(foreign), ci.Claim{Run: 1 << 40})
	require.Equal(t, []ci.Verdict{
		{Run: over.ID, Gone: true},
		{Run: aborted.ID, Abort: true},
		{Run: held.ID, Gone: true},
		{Run: held.ID},
		{Run: foreign.ID, Gone: true},
		{Run: 1 << 40, Gone: true},
	}, got)
	require.Equal(t, at(70), k.get(held.ID).LeaseUntil)
	require.Equal(t, at(70), k.get(aborted.ID).LeaseUntil)
	require.Equal(t, over, k.get(over.ID))
	require.Equal(t, foreign, k.get(foreign.ID))
	renewTo(65, claimOf(held))
	require.Equal(t, at(70), k.get(held.ID).LeaseUntil, "a late renewal does not shorten the lease")
}

func hold(t *testing.T, k *kit) {
	r, over, waiting := k.insert(ci.PhaseRunning), k.insert(ci.PhaseRunning, done(ci.OutcomeLost)), k.insert(ci.PhaseQueued)
	holdRun := func(c ci.Claim) error {
		return k.write(func(tx *store.Tx) error { return tx.HoldRun(k.ctx, c) })
	}
	require.NoError(t, holdRun(claimOf(r)))
	requireCode(t, ci.CodeConflict, holdRun(claimOf(over)), "done (lost)")
	requireCode(t, ci.CodeConflict, holdRun(claimOf(waiting)), "no agent")
	requireCode(t, ci.CodeNotFound, holdRun(ci.Claim{Run: 1 << 40}))
}

func expired(t *testing.T, k *kit) {
	lease := func(n, deadline int) func(*ci.Run) {
		return func(r *ci.Run) { r.LeaseUntil, r.Deadline = at(n), at(deadline) }
	}
	late, later := k.insert(ci.PhaseRunning, lease(50, 900)), k.insert(ci.PhasePreparing, lease(40, 800))
	k.insert(ci.PhaseRunning, lease(100, 1000))
	k.insert(ci.PhaseRunning, lease(10, 10), done(ci.OutcomeLost))
	k.insert(ci.PhaseQueued)
	other := k.insert(ci.PhaseCollecting, lease(100, 1000), func(r *ci.Run) { r.Agent = "other" })

	list := func(runs []ci.Run, err error) []int64 { require.NoError(t, err); return ids(runs) }
	require.Equal(t, []int64{later.ID, late.ID}, list(k.ExpiredRuns(k.ctx, at(99), 9)))
	require.Equal(t, []int64{later.ID}, list(k.ExpiredRuns(k.ctx, at(99), 1)))
	require.Empty(t, list(k.ExpiredRuns(k.ctx, at(40), 9)))
	require.Equal(t, []int64{later.ID, late.ID}, list(k.OverdueRuns(k.ctx, at(999), 9)))
	require.Equal(t, []int64{later.ID}, list(k.OverdueRuns(k.ctx, at(850), 9)))
	require.Equal(t, []int64{other.ID}, list(k.HeldRuns(k.ctx, "other", 9)))
	require.Len(t, list(k.HeldRuns(k.ctx, "agent", 9)), 3)
	require.Empty(t, list(k.HeldRuns(k.ctx, "", 9)))
	full, err := k.ExpiredRuns(k.ctx, at(99), 1)
	require.NoError(t, err)
	require.Equal(t, *k.get(later.ID), full[0])
}

func planning(t *testing.T, k *kit) {
	a, b := k.insert(ci.PhasePlanning), k.insert(ci.PhasePlanning)
	queued := k.insert(ci.PhaseQueued)
	take := func(id int64, holder string, until, now int) error {
		return k.write(func(tx *store.Tx) error {
			r, err := tx.PlanLease(k.ctx, id, holder, at(until), at(now))
			if err == nil {
				require.Equal(t, k.get(id), r)
			}
			return err
		})
	}
	free := func(now int) []int64 {
		list, err := k.PlanningRuns(k.ctx, at(now), 9)
		require.NoError(t, err)
		return list
	}
	require.Equal(t, []int64{a.ID, b.ID}, free(0))
	require.NoError(t, take(a.ID, "x", 30, 0))
	require.Equal(t, []int64{b.ID}, free(29))
	requireCode(t, ci.CodeConflict, take(a.ID, "y", 60, 29), "being planned")
	requireCode(t, ci.CodeConflict, take(a.ID, "x", 60, 29), "being planned")
	require.Equal(t, []int64{a.ID, b.ID}, free(30))
	require.NoError(t, take(a.ID, "y", 60, 30))
	keep := func(holder string, until int) error {
		return k.write(func(tx *store.Tx) error { return tx.KeepPlan(k.ctx, a.ID, holder, at(until)) })
	}
	requireCode(t, ci.CodeConflict, keep("x", 90), "not planned by this planner")
	require.NoError(t, keep("y", 90))
	requireCode(t, ci.CodeConflict, take(a.ID, "x", 120, 89), "being planned")
	requireCode(t, ci.CodeConflict, take(queued.ID, "x", 30, 0), "queued")
	requireCode(t, ci.CodeNotFound, take(1<<40, "x", 30, 0))
	k.do(func(tx *store.Tx) error {
		r, err := tx.PlanRun(k.ctx, b.ID, "abc", &ci.Spec{Script: "make"}, "large", at(40))
		require.NoError(t, err)
		require.Equal(t, []any{"abc", "large", "make", at(40)}, []any{r.CommitSHA, r.Class, r.Spec.Script, r.Times.Queued})
		return nil
	})
	require.Equal(t, []int64{a.ID}, free(100))
}
