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

// finished records a run of a job that ended at a moment, with so many bytes of
// console and one result.
func (k *kit) finished(job string, end time.Time, console, result int64, with ...func(*ci.Run)) *ci.Run {
	k.t.Helper()
	r := k.insert(ci.PhaseCollecting, append(with, func(r *ci.Run) { r.Job = job })...)
	k.do(func(tx *store.Tx) error {
		if result > 0 {
			if err := tx.PutResult(k.ctx, ci.Result{Run: r.ID, Name: "app", Size: result, CreatedAt: at(1)}); err != nil {
				return err
			}
		}
		if console > 0 {
			if err := tx.AddChunk(k.ctx, ci.Chunk{Run: r.ID, Length: console, Data: []byte{1}, At: at(1)}); err != nil {
				return err
			}
		}
		_, err := tx.FinishRun(k.ctx, r.ID, nil, nil, ci.End{Outcome: ci.OutcomeSucceeded, Console: ci.Console{Bytes: console, SHA256: "ab"}}, end)
		return err
	})
	return r
}

// oldest lists what a kind has, as "id:bytes", pages of two joined.
func (k *kit) oldest(what ci.Kept, job string) []string {
	k.t.Helper()
	got := []string{}
	for after := (store.Mark{}); ; {
		page, err := k.Oldest(k.ctx, what, job, after, 2, at(1000))
		require.NoError(k.t, err)
		for _, s := range page {
			got = append(got, fmt.Sprintf("%d:%d%s", s.Run, s.Bytes, s.Kept))
			after = s.Mark
		}
		if len(page) < 2 {
			return got
		}
	}
}

func (k *kit) newest(what ci.Kept, job string) []string {
	k.t.Helper()
	got := []string{}
	for before := (*store.Mark)(nil); ; {
		page, err := k.Newest(k.ctx, what, job, before, 2)
		require.NoError(k.t, err)
		for i := range page {
			got = append(got, fmt.Sprintf("%d:%d", page[i].Run, page[i].Bytes))
			before = &page[i].Mark
		}
		if len(page) < 2 {
			return got
		}
	}
}

// expireNow expires one thing and says whether there was something to do.
func (k *kit) expireNow(what ci.Kept, run int64) (done bool) {
	k.t.Helper()
	k.do(func(tx *store.Tx) (err error) {
		done, err = tx.Expire(k.ctx, what, run, fmt.Sprintf("runs/%d/%s/", run, what), at(500))
		return err
	})
	return done
}

// keptOrder has runs in the order in which they ended, of one job and of all.
func keptOrder(t *testing.T, k *kit) {
	a := k.finished("a", at(30), 5, 7) // began first, ended last
	b := k.finished("a", at(10), 0, 2)
	c := k.finished("b", at(20), 3, 0)
	d := k.finished("a", at(10), 1, 0) // at the same moment as b
	k.insert(ci.PhaseRunning, func(r *ci.Run) { r.Job = "a" })
	line := func(r *ci.Run, bytes int) string { return fmt.Sprintf("%d:%d", r.ID, bytes) }

	require.Equal(t, []string{line(b, 2), line(d, 1), line(c, 3), line(a, 12)}, k.oldest(ci.KeptRun, ""))
	require.Equal(t, []string{line(a, 12), line(c, 3), line(d, 1), line(b, 2)}, k.newest(ci.KeptRun, ""))
	require.Equal(t, []string{line(b, 2), line(d, 1), line(a, 12)}, k.oldest(ci.KeptRun, "a"))
	require.Equal(t, []string{line(a, 12), line(d, 1), line(b, 2)}, k.newest(ci.KeptRun, "a"))
	require.Equal(t, []string{line(b, 2), line(a, 7)}, k.oldest(ci.KeptResults, ""))
	require.Equal(t, []string{line(a, 7), line(b, 2)}, k.newest(ci.KeptResults, "a"))
	require.Equal(t, []string{line(d, 1), line(c, 3), line(a, 5)}, k.oldest(ci.KeptConsole, ""))
	require.Equal(t, []string{line(c, 3)}, k.newest(ci.KeptConsole, "b"))
	require.Empty(t, k.oldest(ci.KeptRun, "none"))
}

// expireKinds has each kind go alone, say so, and go once.
func expireKinds(t *testing.T, k *kit) {
	r, other := k.finished("a", at(10), 5, 7), k.finished("a", at(11), 5, 7)
	require.True(t, k.expireNow(ci.KeptResults, r.ID))
	require.False(t, k.expireNow(ci.KeptResults, r.ID), "once")
	got, err := k.GetRun(k.ctx, "a", r.ID)
	require.NoError(t, err)
	require.Equal(t, at(500), got.ResultsExpiredAt)
	require.Zero(t, got.ConsoleExpiredAt)
	result, err := k.GetResult(k.ctx, r.ID, "app")
	require.NoError(t, err)
	require.Equal(t, ci.Result{Run: r.ID, Name: "app", Size: 7, CreatedAt: at(1), ExpiredAt: at(500)}, *result, "what there was is still told")
	require.Equal(t, []string{fmt.Sprintf("%d:5", r.ID), fmt.Sprintf("%d:12", other.ID)}, k.oldest(ci.KeptRun, "a"))

	require.True(t, k.expireNow(ci.KeptConsole, r.ID))
	require.False(t, k.expireNow(ci.KeptConsole, r.ID))
	got, err = k.GetRun(k.ctx, "a", r.ID)
	require.NoError(t, err)
	require.Equal(t, at(500), got.ConsoleExpiredAt)
	require.Equal(t, ci.Console{Bytes: 5, SHA256: "ab"}, got.Console)
	end, err := k.ConsoleEnd(k.ctx, r.ID)
	require.NoError(t, err)
	require.Zero(t, end)
	require.Equal(t, []string{fmt.Sprintf("%d:0", r.ID), fmt.Sprintf("%d:12", other.ID)}, k.oldest(ci.KeptRun, "a"))

	require.True(t, k.expireNow(ci.KeptRun, r.ID))
	require.False(t, k.expireNow(ci.KeptRun, r.ID))
	_, err = k.GetRun(k.ctx, "a", r.ID)
	requireCode(t, ci.CodeNotFound, err)
	require.Equal(t, []string{fmt.Sprintf("%d:7", other.ID)}, k.oldest(ci.KeptResults, ""))
	require.Equal(t, []string{fmt.Sprintf("%d:5", other.ID)}, k.oldest(ci.KeptConsole, ""))
	going := k.insert(ci.PhaseRunning)
	require.False(t, k.expireNow(ci.KeptRun, going.ID), "what goes on stays")
	_, err = k.GetRun(k.ctx, "", going.ID)
	require.NoError(t, err)
}

// keptRuns goes through all that keeps a run whatever the limits say.
func keptRuns(t *testing.T, k *kit) {
	parent := k.insert(ci.PhaseRunning, func(r *ci.Run) { r.Job = "parent" })
	child := k.finished("child", at(10), 5, 7, func(r *ci.Run) { r.Parent = &ci.RunRef{Job: "parent", Run: parent.ID} })
	checked, pinned := k.finished("checked", at(10), 5, 7), k.finished("pinned", at(10), 5, 7)
	k.do(func(tx *store.Tx) error {
		if err := tx.OpenCheck(k.ctx, ci.OpenCheck{Run: checked.ID, Origin: ci.Origin{Forge: "github"}}); err != nil {
			return err
		}
		return tx.PutPin(k.ctx, "pinned", pinned.ID, ci.Pin{Name: "x", Reason: "the release", Until: at(2000)}, nil, at(20))
	})
	kept := func(r *ci.Run) string {
		list, err := k.Oldest(k.ctx, ci.KeptRun, r.Job, store.Mark{}, 9, at(500))
		require.NoError(t, err)
		require.Len(t, list, 1)
		for _, what := range ci.Kinds {
			if list[0].Kept != "" {
				require.False(t, k.expireNow(what, r.ID), what)
			}
		}
		return list[0].Kept
	}
	require.Equal(t, "the run that triggered it goes on", kept(child))
	require.Equal(t, "a forge is still to be told of its end", kept(checked))
	require.Equal(t, "pinned: the release", kept(pinned))

	k.do(func(tx *store.Tx) error {
		if _, err := tx.FinishRun(k.ctx, parent.ID, nil, nil, ci.End{Outcome: ci.OutcomeSucceeded}, at(30)); err != nil {
			return err
		}
		if err := tx.DeletePin(k.ctx, pinned.ID, "x", nil); err != nil {
			return err
		}
		_, err := tx.Exec(k.ctx, "DELETE FROM checks")
		return err
	})
	for _, r := range []*ci.Run{child, checked, pinned} {
		require.Empty(t, kept(r))
		require.True(t, k.expireNow(ci.KeptRun, r.ID))
	}
}

// countedLater has runs that an older program ended, which does not count.
func countedLater(t *testing.T, k *kit) {
	var want []string
	for i := range 3 {
		r := k.finished("a", at(i), 5, 7)
		want = append(want, fmt.Sprintf("%d:7", r.ID))
	}
	k.do(func(tx *store.Tx) error {
		_, err := tx.Exec(k.ctx, "UPDATE runs SET result_count = 0, result_bytes = 0, stored_bytes = NULL")
		return err
	})
	require.Empty(t, k.oldest(ci.KeptResults, ""))
	for _, n := range []int{2, 1, 0} {
		k.do(func(tx *store.Tx) error {
			counted, err := tx.CountStored(k.ctx, 2)
			require.Equal(t, n, counted)
			return err
		})
	}
	require.Equal(t, want, k.oldest(ci.KeptResults, ""))
}

func keptJobs(t *testing.T, k *kit) {
	names, err := k.JobsOfDone(k.ctx)
	require.NoError(t, err)
	require.Empty(t, names)
	for _, job := range []string{"b", "a", "b", "C"} {
		k.finished(job, at(1), 0, 0)
	}
	k.insert(ci.PhaseRunning, func(r *ci.Run) { r.Job = "going" })
	names, err = k.JobsOfDone(k.ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"C", "a", "b"}, names, "those without a job are there too")

	keep := &ci.Keep{Results: &ci.Limits{Count: 3}}
	k.do(func(tx *store.Tx) error {
		for _, j := range []ci.Job{{Name: "a", Keep: keep}, {Name: "b"}} {
			if _, err := tx.PutJob(k.ctx, &j, 0); err != nil {
				return err
			}
		}
		return nil
	})
	got, err := k.JobsThatKeep(k.ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]*ci.Keep{"a": keep}, got)
	k.do(func(tx *store.Tx) error { _, err := tx.PutJob(k.ctx, &ci.Job{Name: "a"}, 0); return err })
	got, err = k.JobsThatKeep(k.ctx)
	require.NoError(t, err)
	require.Empty(t, got)
}

// trash wants a prefix to be there from the moment at which nothing refers to it until its objects are gone.
func trash(t *testing.T, k *kit) {
	for range 3 {
		r := k.finished("a", at(1), 5, 7)
		require.True(t, k.expireNow(ci.KeptResults, r.ID))
		require.True(t, k.expireNow(ci.KeptConsole, r.ID))
	}
	all, err := k.Trash(k.ctx, "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"runs/1/console/", "runs/1/results/", "runs/2/console/", "runs/2/results/", "runs/3/console/", "runs/3/results/"}, all)
	page, err := k.Trash(k.ctx, all[1], 2)
	require.NoError(t, err)
	require.Equal(t, all[2:4], page)
	k.do(func(tx *store.Tx) error { return tx.Emptied(k.ctx, all[0]) })
	page, err = k.Trash(k.ctx, "", 1)
	require.NoError(t, err)
	require.Equal(t, all[1:2], page)
}

func pins(t *testing.T, k *kit) {
	r := k.finished("a", at(1), 5, 7)
	put := func(job string, run int64, p ci.Pin) error {
		return k.write(func(tx *store.Tx) error { return tx.PutPin(k.ctx, job, run, p, nil, at(10)) })
	}
	requireCode(t, ci.CodeNotFound, put("b", r.ID, ci.Pin{Name: "x", Until: at(100)}))
	requireCode(t, ci.CodeNotFound, put("a", 1<<40, ci.Pin{Name: "x", Until: at(100)}))
	require.NoError(t, put("a", r.ID, ci.Pin{Name: "x", Reason: "first", By: "me", Until: at(100)}))
	second := ci.Pin{Name: "x", Reason: "second", By: "you", Until: at(200)}
	require.NoError(t, put("a", r.ID, second))
	list, err := k.ListPins(k.ctx, r.ID, at(199))
	require.NoError(t, err)
	require.Equal(t, []ci.Pin{second}, list)
	list, err = k.ListPins(k.ctx, r.ID, at(200))
	require.NoError(t, err)
	require.Empty(t, list, "it has ended")
	k.prune((*store.Tx).PrunePins, at(199))
	require.Len(t, k.oldest(ci.KeptRun, ""), 1)

	for i := range ci.MaxPins - 1 {
		require.NoError(t, put("a", r.ID, ci.Pin{Name: fmt.Sprint("more", i), Until: at(600)}))
	}
	requireCode(t, ci.CodeTooMany, put("a", r.ID, ci.Pin{Name: "y", Until: at(300)}), "100 pins already")
	require.NoError(t, put("a", r.ID, second), "one that is there can be replaced")
	require.False(t, k.expireNow(ci.KeptRun, r.ID))
	k.prune((*store.Tx).PrunePins, at(600))
	require.True(t, k.expireNow(ci.KeptRun, r.ID), "pins that have ended keep nothing")
}

// pinsOfOthers wants a pin to be replaced and taken away only by those that may, and else to be as it was.
func pinsOfOthers(t *testing.T, k *kit) {
	r := k.finished("a", at(1), 5, 7)
	only := func(mine string) func(string) error {
		return func(by string) error {
			if by != mine {
				return ci.Errorf(ci.CodeForbidden, "the pin is set by %s", by)
			}
			return nil
		}
	}
	put := func(p ci.Pin, may func(string) error) error {
		return k.write(func(tx *store.Tx) error { return tx.PutPin(k.ctx, "a", r.ID, p, may, at(10)) })
	}
	remove := func(name string, may func(string) error) error {
		return k.write(func(tx *store.Tx) error { return tx.DeletePin(k.ctx, r.ID, name, may) })
	}
	first := ci.Pin{Name: "x", Reason: "the release", By: "me", Until: at(500)}
	require.NoError(t, put(first, only("me")))
	requireCode(t, ci.CodeForbidden, put(ci.Pin{Name: "x", By: "you", Until: at(11)}, only("you")), "set by me")
	requireCode(t, ci.CodeForbidden, remove("x", only("you")), "set by me")
	require.NoError(t, remove("none", only("you")), "one that is not there is fine")
	list, err := k.ListPins(k.ctx, r.ID, at(10))
	require.NoError(t, err)
	require.Equal(t, []ci.Pin{first}, list)
	first.Until = at(400)
	require.NoError(t, put(first, only("me")), "one's own can be replaced")
	second := ci.Pin{Name: "x", By: "you", Until: at(300)}
	require.NoError(t, put(second, only("me")), "and handed on")
	list, err = k.ListPins(k.ctx, r.ID, at(10))
	require.NoError(t, err)
	require.Equal(t, []ci.Pin{second}, list)
	require.NoError(t, remove("x", only("you")))
	list, err = k.ListPins(k.ctx, r.ID, at(10))
	require.NoError(t, err)
	require.Empty(t, list)
}

// racePin wants a run that somebody has pinned to be there, however close retention is.
func racePin(t *testing.T, k *kit) {
	for range 20 {
		r := k.finished("a", at(1), 5, 7)
		var pinned error
		var expired bool
		var both sync.WaitGroup
		both.Go(func() {
			pinned = k.write(func(tx *store.Tx) error {
				return tx.PutPin(k.ctx, "a", r.ID, ci.Pin{Name: "x", Until: at(1000)}, nil, at(10))
			})
		})
		both.Go(func() { expired = k.expireNow(ci.KeptRun, r.ID) })
		both.Wait()
		_, err := k.GetRun(k.ctx, "", r.ID)
		if expired {
			requireCode(t, ci.CodeNotFound, pinned)
			requireCode(t, ci.CodeNotFound, err)
		} else {
			require.NoError(t, pinned)
			require.NoError(t, err)
		}
	}
}
