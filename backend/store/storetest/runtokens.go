package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func runTokens(t *testing.T, k *kit) {
	set := func(c ci.Claim, hash string) error {
		return k.write(func(tx *store.Tx) error { return tx.SetRunToken(k.ctx, c, hash) })
	}
	r, waiting := k.insert(ci.PhasePreparing), k.insert(ci.PhaseQueued)
	_, err := k.RunToken(k.ctx, r.ID)
	requireCode(t, ci.CodeNotFound, err)
	require.NoError(t, set(claimOf(r), "one"))
	require.NoError(t, set(claimOf(r), "two"))
	requireCode(t, ci.CodeConflict, set(ci.Claim{Run: r.ID, Agent: "agent", ID: "other"}, "three"))
	requireCode(t, ci.CodeConflict, set(claimOf(waiting), "three"))
	requireCode(t, ci.CodeNotFound, set(ci.Claim{Run: 1 << 40}, "three"))

	want := &ci.RunToken{Run: ci.RunRef{Job: "build", Run: r.ID}, Hash: "two", ExpiresAt: at(600)}
	got, err := k.RunToken(k.ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, want, got, "without its job it may trigger nothing")
	k.do(func(tx *store.Tx) error {
		_, err := tx.PutJob(k.ctx, &ci.Job{Name: "build", Freestyle: []byte(`{}`), Triggers: []string{"a", "b"}}, 0)
		return err
	})
	want.Triggers = []string{"a", "b"}
	got, err = k.RunToken(k.ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, want, got)

	c := claimOf(r)
	k.do(func(tx *store.Tx) error {
		_, err := tx.FinishRun(k.ctx, r.ID, &c, nil, ci.End{Outcome: ci.OutcomeLost}, at(9))
		return err
	})
	_, err = k.RunToken(k.ctx, r.ID)
	requireCode(t, ci.CodeNotFound, err)
	requireCode(t, ci.CodeConflict, set(c, "late"))
}
