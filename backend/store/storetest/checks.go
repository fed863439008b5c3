package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func origin(name string) ci.Origin {
	return ci.Origin{Forge: "github", Trigger: name, Repository: 7, FullName: "octo/hello", HeadSHA: fmt.Sprintf("%040x", 5), Installation: 3}
}

// check opens one for a new queued run.
func (k *kit) check(name string) *ci.Run {
	k.t.Helper()
	r := k.insert(ci.PhaseQueued)
	k.do(func(tx *store.Tx) error { return tx.OpenCheck(k.ctx, ci.OpenCheck{Origin: origin(name), Run: r.ID}) })
	return r
}

// claimChecks claims up to ten at n seconds, for a minute.
func (k *kit) claimChecks(holder string, n int, skip ...string) (list []ci.Check) {
	k.t.Helper()
	k.do(func(tx *store.Tx) (err error) {
		list, err = tx.ClaimChecks(k.ctx, holder, 10, skip, at(n+60), at(n))
		return err
	})
	return list
}

func (k *kit) told(holder string, id int64, s ci.CheckState) {
	k.t.Helper()
	k.do(func(tx *store.Tx) error {
		return tx.CheckTold(k.ctx, ci.CheckNews{ID: id, Holder: holder, Told: s, External: 99})
	})
}

// checks goes through the life of one: due when its run is another than what was told.
func checks(t *testing.T, k *kit) {
	r := k.check("unit")
	due := func(want int64) {
		t.Helper()
		n, err := k.DueChecks(k.ctx)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	due(1)
	got := k.claimChecks("a", 0)
	require.Len(t, got, 1)
	id := got[0].ID
	require.Equal(t, ci.Check{ID: id, OpenCheck: ci.OpenCheck{Origin: origin("unit"), Run: r.ID}, Attempts: 1}, got[0])
	require.Empty(t, k.claimChecks("b", 30), "it is held")
	k.told("b", id, ci.CheckQueued)
	require.Equal(t, 2, k.claimChecks("b", 61)[0].Attempts, "who does not hold it notes nothing, and who was killed leaves it to others")
	k.told("b", id, ci.CheckQueued)
	require.Empty(t, k.claimChecks("a", 200), "nothing new is to be told")
	due(0)

	k.do(func(tx *store.Tx) error {
		_, err := tx.ClaimRun(k.ctx, claimOf(r), at(500), at(600), at(3))
		return err
	})
	got = k.claimChecks("a", 200)
	require.Len(t, got, 1)
	require.Equal(t, int64(99), got[0].External)
	require.Equal(t, 1, got[0].Attempts)
	k.told("a", id, ci.CheckInProgress)
	k.do(func(tx *store.Tx) error { _, err := tx.StartRun(k.ctx, claimOf(r), at(4)); return err })
	require.Empty(t, k.claimChecks("a", 200), "preparing and running are told alike")

	_, err := k.finishRun(r, ci.OutcomeSucceeded)
	require.NoError(t, err)
	k.postponed(t, id)
	k.told("a", id, ci.CheckCompleted)
	left, err := k.OpenChecks(k.ctx)
	require.NoError(t, err)
	require.Zero(t, left)
}

// postponed puts a check off, twice by the forge's word.
func (k *kit) postponed(t *testing.T, id int64) {
	for n := range 3 {
		from := 300 + 100*n
		got := k.claimChecks("a", from)
		require.Len(t, got, 1)
		require.Equal(t, n, got[0].Refusals)
		require.Equal(t, n+1, got[0].Attempts)
		k.do(func(tx *store.Tx) error { return tx.PostponeCheck(k.ctx, id, "a", at(from+20), true) })
		require.Empty(t, k.claimChecks("a", from+19))
	}
	require.Empty(t, k.claimChecks("a", 700, "other", "github"), "a forge that is away is left out")
	require.Len(t, k.claimChecks("a", 700, "other"), 1)
	k.do(func(tx *store.Tx) error {
		mine, err := tx.KeepCheck(k.ctx, id, "a", at(900))
		require.True(t, mine)
		return err
	})
	require.Empty(t, k.claimChecks("b", 800))
	k.do(func(tx *store.Tx) error {
		mine, err := tx.KeepCheck(k.ctx, id, "b", at(900))
		require.False(t, mine)
		return err
	})
}

func (k *kit) finishRun(r *ci.Run, o ci.Outcome) (run *ci.Run, err error) {
	c := claimOf(r)
	return run, k.write(func(tx *store.Tx) error {
		run, err = tx.FinishRun(k.ctx, r.ID, &c, nil, ci.End{Outcome: o, Reason: "It is over.", ScriptStarted: true}, at(9))
		return err
	})
}

// checkOrder has several checks of one name at one commit, and held ones.
func checkOrder(t *testing.T, k *kit) {
	hold := func() {
		k.do(func(tx *store.Tx) error {
			return tx.OpenCheck(k.ctx, ci.OpenCheck{Origin: origin("unit"), Held: &ci.HeldCheck{Title: "Wait", Summary: "for **me**"}})
		})
	}
	first, second := k.check("unit"), k.check("unit")
	other := k.check("lint")
	got := k.claimChecks("a", 0)
	require.Len(t, got, 2, "the second of a name waits until the first is shown")
	require.ElementsMatch(t, []int64{first.ID, other.ID}, []int64{got[0].Run, got[1].Run})
	for _, c := range got {
		k.told("a", c.ID, ci.CheckQueued)
	}
	got = k.claimChecks("a", 1)
	require.Len(t, got, 1)
	require.Equal(t, second.ID, got[0].Run)
	k.told("a", got[0].ID, ci.CheckQueued)

	hold()
	hold()
	got = k.claimChecks("a", 2)
	require.Len(t, got, 1, "the older of two held ones is taken back")
	require.Equal(t, &ci.HeldCheck{Title: "Wait", Summary: "for **me**"}, got[0].Held)
	require.Zero(t, got[0].Run)
	k.told("a", got[0].ID, ci.CheckCompleted)
	hold()
	third := k.check("unit")
	got = k.claimChecks("a", 3)
	require.Len(t, got, 1)
	require.Equal(t, third.ID, got[0].Run, "a run goes before the approval that nobody has heard of")
	k.do(func(tx *store.Tx) error { return tx.DropCheck(k.ctx, got[0].ID, "a") })

	err := k.write(func(tx *store.Tx) error { return tx.OpenCheck(k.ctx, ci.OpenCheck{Origin: origin("unit")}) })
	requireCode(t, ci.CodeInternal, err)
	_, err = k.finishRun(k.claimed(first), ci.OutcomeFailed)
	require.NoError(t, err)
	k.do(func(tx *store.Tx) error { return tx.DeleteRun(k.ctx, first.ID) })
	got = k.claimChecks("a", 4)
	require.Len(t, got, 1, "a run that was deleted has its end to tell")
	require.Equal(t, first.ID, got[0].Run)
}

// claimed has an agent take a queued run and start it.
func (k *kit) claimed(r *ci.Run) *ci.Run {
	k.do(func(tx *store.Tx) error {
		if _, err := tx.ClaimRun(k.ctx, claimOf(r), at(500), at(600), at(3)); err != nil {
			return err
		}
		_, err := tx.StartRun(k.ctx, claimOf(r), at(4))
		return err
	})
	return r
}

// checkStates holds the state in SQL against the one in Go, in every phase: a
// check is due when what was told is not what its run is.
func checkStates(t *testing.T, k *kit) {
	for _, told := range []ci.CheckState{ci.CheckQueued, ci.CheckInProgress} {
		want, due := map[int64]bool{}, map[int64]bool{}
		open := func(r *ci.Run) {
			want[r.ID] = r.CheckState() != told
			k.do(func(tx *store.Tx) error {
				return tx.OpenCheck(k.ctx, ci.OpenCheck{Origin: origin(fmt.Sprint(r.ID)), Run: r.ID})
			})
		}
		for _, phase := range ci.Phases {
			open(k.insert(phase))
		}
		open(k.insert(ci.PhaseRunning, done(ci.OutcomeFailed)))
		for _, c := range k.claimChecks(string(told), 0) {
			k.told(string(told), c.ID, told)
			due[c.Run] = false
		}
		for _, c := range k.claimChecks("again", 0) {
			due[c.Run] = true
			k.do(func(tx *store.Tx) error { return tx.DropCheck(k.ctx, c.ID, "again") })
		}
		require.Equal(t, want, due, "told %s", told)
	}
}

// raceChecks has many workers claim at once: each check goes to one.
func raceChecks(t *testing.T, k *kit) {
	const all = 40
	for i := range all {
		k.check(fmt.Sprint("check", i))
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	seen := map[int64]string{}
	for i := range 4 {
		holder := fmt.Sprint("holder", i)
		wait.Go(func() {
			for {
				var list []ci.Check
				err := k.write(func(tx *store.Tx) (err error) {
					list, err = tx.ClaimChecks(k.ctx, holder, 3, nil, at(1000), at(0).Add(time.Microsecond))
					return err
				})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, c := range list {
					if by, twice := seen[c.ID]; twice {
						t.Errorf("check %d went to %s and %s", c.ID, by, holder)
					}
					seen[c.ID] = holder
				}
				enough := len(seen) == all || err != nil
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	wait.Wait()
	require.Len(t, seen, all)
}
