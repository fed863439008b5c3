package storetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// mover makes one kind of move, by whoever may make it.
type mover struct {
	to   ci.State
	move func(k *kit, tx *store.Tx, r *ci.Run) (*ci.Run, error)
}

func movers() []mover {
	list := []mover{
		{ci.State{Phase: ci.PhaseQueued}, func(k *kit, tx *store.Tx, r *ci.Run) (*ci.Run, error) {
			return tx.PlanRun(k.ctx, r.ID, "sha", &ci.Spec{Script: "true"}, "large", at(20))
		}},
		{ci.State{Phase: ci.PhasePreparing}, func(k *kit, tx *store.Tx, r *ci.Run) (*ci.Run, error) {
			return tx.ClaimRun(k.ctx, ci.Claim{Run: r.ID, Agent: "new", ID: fmt.Sprint("new", r.ID)}, at(60), at(600), at(20))
		}},
		{ci.State{Phase: ci.PhaseRunning}, func(k *kit, tx *store.Tx, r *ci.Run) (*ci.Run, error) {
			return tx.StartRun(k.ctx, claimOf(r), at(20))
		}},
		{ci.State{Phase: ci.PhaseCollecting}, func(k *kit, tx *store.Tx, r *ci.Run) (*ci.Run, error) {
			code := 3
			return tx.CollectRun(k.ctx, claimOf(r), &code, at(20))
		}},
	}
	for _, o := range ci.Outcomes {
		list = append(list, mover{ci.State{Outcome: o}, func(k *kit, tx *store.Tx, r *ci.Run) (*ci.Run, error) {
			return tx.FinishRun(k.ctx, r.ID, nil, nil, ci.End{Outcome: o, Reason: "why"}, at(20))
		}})
	}
	return list
}

// moves tries every move from every state: those of the table work, all others
// are a conflict and change nothing.
func moves(t *testing.T, k *kit) {
	for _, m := range movers() {
		for _, from := range ci.Phases {
			name := fmt.Sprintf("%s → %s%s", from, m.to.Phase, m.to.Outcome)
			r := k.insert(from)
			var moved *ci.Run
			err := k.write(func(tx *store.Tx) (err error) { moved, err = m.move(k, tx, r); return err })
			if !ci.Allowed(from, m.to) {
				requireCode(t, ci.CodeConflict, err, fmt.Sprintf("run %d", r.ID), string(from))
				require.Equal(t, r, k.get(r.ID), name)
				continue
			}
			require.NoError(t, err, name)
			require.Equal(t, k.get(r.ID), moved, name)
			require.Equal(t, m.to.Outcome != "", moved.Done(), name)
			require.Equal(t, m.to.Outcome, moved.Outcome, name)
			if m.to.Phase != "" {
				require.Equal(t, m.to.Phase, moved.Phase, name)
			} else {
				require.Equal(t, from, moved.Phase, "%s: a done run keeps the phase it ended in", name)
			}
		}
		r := k.insert(ci.PhaseRunning, done(ci.OutcomeSucceeded))
		err := k.write(func(tx *store.Tx) error { _, err := m.move(k, tx, r); return err })
		requireCode(t, ci.CodeConflict, err, "done (succeeded)")
		require.Equal(t, r, k.get(r.ID))
		err = k.write(func(tx *store.Tx) error { _, err := m.move(k, tx, &ci.Run{ID: 1 << 40}); return err })
		requireCode(t, ci.CodeNotFound, err)
	}
}

func foreignClaims(t *testing.T, k *kit) {
	finish := func(c ci.Claim) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			_, err := tx.FinishRun(k.ctx, c.Run, &c, nil, ci.End{Outcome: ci.OutcomeError}, at(20))
			return err
		}
	}
	for _, m := range []struct {
		phase ci.Phase
		move  func(c ci.Claim) func(tx *store.Tx) error
	}{
		{ci.PhasePreparing, func(c ci.Claim) func(tx *store.Tx) error {
			return func(tx *store.Tx) error { _, err := tx.StartRun(k.ctx, c, at(20)); return err }
		}},
		{ci.PhaseRunning, func(c ci.Claim) func(tx *store.Tx) error {
			return func(tx *store.Tx) error { _, err := tx.CollectRun(k.ctx, c, nil, at(20)); return err }
		}},
		{ci.PhaseCollecting, finish},
		{ci.PhaseRunning, func(c ci.Claim) func(tx *store.Tx) error {
			return func(tx *store.Tx) error { return tx.HoldRun(k.ctx, c) }
		}},
	} {
		r := k.insert(m.phase)
		for _, c := range []ci.Claim{
			{Run: r.ID, Agent: "agent", ID: "other"}, {Run: r.ID, Agent: "other", ID: r.Claim}, {Run: r.ID},
		} {
			requireCode(t, ci.CodeConflict, k.write(m.move(c)), "agent")
		}
		require.Equal(t, r, k.get(r.ID))
		require.NoError(t, k.write(m.move(claimOf(r))))
	}
	waiting := k.insert(ci.PhasePlanning)
	requireCode(t, ci.CodeConflict, k.write(finish(ci.Claim{Run: waiting.ID})), "planning", "no agent")
}

func repeatedClaim(t *testing.T, k *kit) {
	r := k.insert(ci.PhaseQueued)
	claim := func(agent, id string) (run *ci.Run, err error) {
		err = k.write(func(tx *store.Tx) (err error) {
			run, err = tx.ClaimRun(k.ctx, ci.Claim{Run: r.ID, Agent: agent, ID: id}, at(60), at(600), at(20))
			return err
		})
		return run, err
	}
	first, err := claim("agent", "claim")
	require.NoError(t, err)
	require.Equal(t, "agent", first.Agent)
	require.Equal(t, "claim", first.Claim)
	require.Equal(t, []any{at(60), at(600), at(20)}, []any{first.LeaseUntil, first.Deadline, first.Times.Claimed})
	again, err := claim("agent", "claim")
	require.NoError(t, err)
	require.Equal(t, first, again)
	_, err = claim("agent", "second")
	requireCode(t, ci.CodeConflict, err, "preparing")
	_, err = claim("other", "claim")
	requireCode(t, ci.CodeConflict, err, "preparing")
	k.do(func(tx *store.Tx) error { _, err := tx.StartRun(k.ctx, claimOf(r), at(21)); return err })
	_, err = claim("agent", "claim")
	requireCode(t, ci.CodeConflict, err, "running")
}

// oneRunAClaim claims a second run by a claim that holds one.
func oneRunAClaim(t *testing.T, k *kit) {
	first, second := k.insert(ci.PhaseQueued), k.insert(ci.PhaseQueued)
	claim := func(run int64) error {
		return k.write(func(tx *store.Tx) error {
			_, err := tx.ClaimRun(k.ctx, ci.Claim{Run: run, Agent: "agent", ID: "claim"}, at(60), at(600), at(20))
			return err
		})
	}
	by := func(agent, id string) *ci.Run {
		r, err := k.ClaimedBy(k.ctx, agent, id)
		require.NoError(t, err)
		return r
	}
	require.Nil(t, by("agent", "claim"))
	require.Nil(t, by("", ""), "runs that nobody holds are nobody's")
	require.NoError(t, claim(first.ID))
	requireCode(t, ci.CodeConflict, claim(second.ID), "holds another run")
	require.Equal(t, k.get(first.ID), by("agent", "claim"))
	require.Nil(t, by("other", "claim"))
	require.Equal(t, second, k.get(second.ID))
	k.do(func(tx *store.Tx) error {
		_, err := tx.FinishRun(k.ctx, first.ID, nil, nil, ci.End{Outcome: ci.OutcomeLost}, at(30))
		return err
	})
	require.Nil(t, by("agent", "claim"))
}

// columnsOfOthers sees that a move writes its own columns only: what others
// wrote since it read the run stays.
func columnsOfOthers(t *testing.T, k *kit) {
	r := k.insert(ci.PhasePreparing)
	k.do(func(tx *store.Tx) error { _, err := tx.RequestAbort(k.ctx, "", r.ID, at(30)); return err })
	k.do(func(tx *store.Tx) error {
		_, err := tx.RenewRuns(k.ctx, "agent", []ci.Claim{claimOf(r)}, at(90))
		return err
	})
	code := 4
	k.do(func(tx *store.Tx) error { _, err := tx.StartRun(k.ctx, claimOf(r), at(31)); return err })
	k.do(func(tx *store.Tx) error { _, err := tx.CollectRun(k.ctx, claimOf(r), &code, at(32)); return err })
	want := *r
	want.AbortRequestedAt, want.LeaseUntil = at(30), at(90)
	want.Phase, want.ScriptStarted, want.ExitCode = ci.PhaseCollecting, true, &code
	want.Times.Started, want.Times.Collecting = at(31), at(32)
	require.Equal(t, &want, k.get(r.ID))
}
