package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func events(t *testing.T, k *kit) {
	last, err := k.LastEvent(k.ctx)
	require.NoError(t, err)
	require.Zero(t, last)
	var added []ci.Event
	add := func(jobs ...string) {
		k.do(func(tx *store.Tx) error {
			for _, job := range jobs {
				e := ci.Event{Type: ci.EventRunDone, Run: 7, Job: job, Phase: ci.PhaseRunning, Outcome: ci.OutcomeFailed, At: at(len(added))}
				require.NoError(t, tx.AddEvent(k.ctx, &e))
				added = append(added, e)
			}
			return nil
		})
		k.settled(added[len(added)-1].Seq)
	}
	add("a", "b")
	add("a")
	add("c")
	read := func(after int64, limit int, job string, jobs []string) []ci.Event {
		list, err := k.Events(k.ctx, after, limit, job, jobs)
		require.NoError(t, err)
		return list
	}
	require.Equal(t, added, read(0, 9, "", nil))
	require.Equal(t, added[1:3], read(added[0].Seq, 2, "", nil))
	require.Equal(t, []ci.Event{added[0], added[2]}, read(0, 9, "a", nil))
	require.Equal(t, []ci.Event{added[1], added[3]}, read(0, 9, "", []string{"b", "c"}))
	require.Empty(t, read(0, 9, "", []string{}))
	require.Empty(t, read(0, 9, "a", []string{"b"}))
	last, err = k.LastEvent(k.ctx)
	require.NoError(t, err)
	require.Equal(t, added[3].Seq, last)
	require.Empty(t, read(last, 9, "", nil))

	k.prunePage((*store.Tx).PruneEvents, at(2), 1)
	require.Equal(t, added[1:], read(0, 9, "", nil), "a page at a time")
	k.prune((*store.Tx).PruneEvents, at(2))
	require.Equal(t, added[2:], read(0, 9, "", nil))
	k.prune((*store.Tx).PruneEvents, at(100))
	require.Empty(t, read(0, 9, "", nil))
	add("d")
	require.Equal(t, added[4:], read(last, 9, "", nil), "numbers go on after all were pruned")
}

// lateCommits begins a transaction, lets others commit events beside it, and
// then adds and commits its own: a reader who polls all the while sees all of
// them, each behind the one before. SQLite has one writer, so there the others
// wait.
func lateCommits(t *testing.T, k *kit) {
	other := func() { k.do(func(tx *store.Tx) error { return tx.AddEvent(k.ctx, &ci.Event{Run: 2, At: at(1)}) }) }
	var seen []ci.Event
	poll := func() {
		after := int64(0)
		if len(seen) > 0 {
			after = seen[len(seen)-1].Seq
		}
		list, err := k.Events(k.ctx, after, 100, "", nil)
		require.NoError(t, err)
		seen = append(seen, list...)
	}
	var wg sync.WaitGroup
	k.do(func(tx *store.Tx) error {
		// The transaction has written, so it has its place, but it has no event yet.
		require.NoError(t, tx.InsertRun(k.ctx, &ci.Run{Status: ci.StatusInProgress, Phase: ci.PhasePlanning}))
		wg.Go(other)
		if k.Dialect() == store.Postgres {
			wg.Wait()
		}
		poll()
		return tx.AddEvent(k.ctx, &ci.Event{Run: 1, At: at(1)})
	})
	poll()
	wg.Wait()
	k.eventually(func() bool { poll(); return len(seen) >= 2 })
	require.Len(t, seen, 2)
	require.Less(t, seen[0].Seq, seen[1].Seq)
}

// followEvents has many writers and one reader who polls with the last Seq.
func followEvents(t *testing.T, k *kit) {
	const writers, each = 16, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				err := k.write(func(tx *store.Tx) error {
					for n := range 1 + w%3 {
						if err := tx.AddEvent(k.ctx, &ci.Event{Run: int64(w), Job: "x", At: at(n)}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	want := 0
	for w := range writers {
		want += each * (1 + w%3)
	}
	var last int64
	got := 0
	k.eventually(func() bool {
		list, err := k.Events(k.ctx, last, 50, "", nil)
		require.NoError(t, err)
		for _, e := range list {
			require.Greater(t, e.Seq, last)
			last = e.Seq
		}
		got += len(list)
		return got == want
	})
	wg.Wait()
	rest, err := k.Events(k.ctx, last, 50, "", nil)
	require.NoError(t, err)
	require.Empty(t, rest)
}

// settled waits until readers see the event. On Postgres that takes until all
// transactions have ended that began before it, other tests' too.
func (k *kit) settled(seq int64) {
	k.t.Helper()
	k.eventually(func() bool {
		last, err := k.LastEvent(k.ctx)
		require.NoError(k.t, err)
		return last >= seq
	})
}

// eventually polls until ok, for at most a minute.
func (k *kit) eventually(ok func() bool) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.ctx, time.Minute)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			require.Fail(k.t, "it did not come to be within a minute")
		case <-time.After(time.Millisecond):
		}
	}
}
