package storetest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// drained has an agent with an order to drain claim: it gets nothing new, keeps
// what it has, and takes runs again once the order is undone.
func drained(t *testing.T, k *kit) {
	claim := func(agent string, run int64) error {
		return k.write(func(tx *store.Tx) error {
			_, err := tx.ClaimRun(k.ctx, ci.Claim{Run: run, Agent: agent, ID: fmt.Sprint("c", run)}, at(60), at(600), at(2))
			return err
		})
	}
	k.do(func(tx *store.Tx) error { return tx.PutAgent(k.ctx, &ci.Agent{ID: "a", SeenAt: at(1)}) })
	before, r := k.insert(ci.PhaseQueued), k.insert(ci.PhaseQueued)
	require.NoError(t, claim("a", before.ID))
	k.do(func(tx *store.Tx) error { return tx.SetDrain(k.ctx, "a", &ci.Drain{Since: at(3)}) })
	requireCode(t, ci.CodeForbidden, claim("a", r.ID), "ordered to drain")
	require.Equal(t, ci.PhaseQueued, k.get(r.ID).Phase, "the run is left to others")
	require.NoError(t, claim("a", before.ID), "the answer to a claim from before can be had again")
	requireCode(t, ci.CodeConflict, claim("b", before.ID))
	aborted := k.insert(ci.PhaseQueued, func(r *ci.Run) { r.AbortRequestedAt = at(3) })
	requireCode(t, ci.CodeConflict, claim("a", aborted.ID), "its end was asked for")
	k.do(func(tx *store.Tx) error { return tx.SetDrain(k.ctx, "a", nil) })
	require.NoError(t, claim("a", r.ID))
	other := k.insert(ci.PhaseQueued)
	require.NoError(t, claim("never-heard-of", other.ID), "who has never described itself has no orders")
}

// raceDrain lets an agent claim one run after the other while it is ordered to
// drain: none of its claims succeeds after the order was answered.
func raceDrain(t *testing.T, k *kit) {
	const rounds, each = 20, 12
	for round := range rounds {
		agent := fmt.Sprint("agent-", round)
		k.do(func(tx *store.Tx) error { return tx.PutAgent(k.ctx, &ci.Agent{ID: agent, SeenAt: at(1)}) })
		var queued []int64
		for range each {
			queued = append(queued, k.insert(ci.PhaseQueued).ID)
		}
		var ordered sync.Mutex // held until the order is answered; free afterwards
		ordered.Lock()
		late := 0
		order := func() {
			defer ordered.Unlock()
			err := k.write(func(tx *store.Tx) error { return tx.SetDrain(k.ctx, agent, &ci.Drain{Since: at(3)}) })
			if err != nil {
				t.Error(err)
			}
		}
		claims := func() {
			for _, id := range queued {
				after := ordered.TryLock() // begun after the answer
				if after {
					ordered.Unlock()
				}
				err := k.write(func(tx *store.Tx) error {
					_, err := tx.ClaimRun(k.ctx, ci.Claim{Run: id, Agent: agent, ID: fmt.Sprint("c", id)}, at(60), at(600), at(2))
					return err
				})
				code := ci.CodeOf(err)
				if code != "" && code != ci.CodeForbidden {
					t.Errorf("%v: %v", code, err)
				}
				if after && err == nil {
					late++
				}
			}
		}
		held := make(chan int, 1)
		together(claims, func() {
			order()
			runs, err := k.HeldRuns(k.ctx, agent, each)
			if err != nil {
				t.Error(err)
			}
			held <- len(runs)
		})
		require.Zero(t, late, "claims after the order")
		runs, err := k.HeldRuns(k.ctx, agent, each)
		require.NoError(t, err)
		require.Len(t, runs, <-held, "a claim became visible after the order was answered")
	}
}
