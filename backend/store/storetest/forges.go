package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// forge records a forge that triggers can name.
func (k *kit) forge(name string) {
	k.do(func(tx *store.Tx) error {
		_, err := tx.PutForge(k.ctx, &ci.Forge{Name: name, Kind: ci.ForgeGitHub, URL: "https://github.com"}, []byte("keys"), 0)
		return err
	})
}

func forges(t *testing.T, k *kit) {
	full := filled[ci.Forge](t, 100)
	full.Version = 1
	k.do(func(tx *store.Tx) error { _, err := tx.PutForge(k.ctx, full, []byte("keys"), 0); return err })
	got, err := k.GetForge(k.ctx, full.Name)
	require.NoError(t, err)
	same(t, full, &got.Forge, nil)
	require.Equal(t, []byte("keys"), got.Sealed)

	replaced := filled[ci.Forge](t, 500)
	replaced.Name = full.Name
	k.do(func(tx *store.Tx) error {
		created, err := tx.PutForge(k.ctx, replaced, []byte("new"), 1)
		require.False(t, created)
		return err
	})
	list, err := k.ListForges(k.ctx)
	require.Len(t, list, 1)
	same(t, replaced, &list[0], err)
	require.Equal(t, int64(2), replaced.Version)
	put := func(version int64) error {
		return k.write(func(tx *store.Tx) error { _, err := tx.PutForge(k.ctx, replaced, []byte("x"), version); return err })
	}
	requireCode(t, ci.CodeStale, put(1), "version 1")
	requireCode(t, ci.CodeStale, put(-1), "already")

	k.job("a")
	k.do(func(tx *store.Tx) error {
		_, err := tx.PutEventTrigger(k.ctx, &ci.EventTrigger{Name: "t", Forge: full.Name, Job: "a", Repository: "o/r"}, 0)
		return err
	})
	del := func() error { return k.write(func(tx *store.Tx) error { return tx.DeleteForge(k.ctx, full.Name) }) }
	requireCode(t, ci.CodeConflict, del(), "trigger t")
	k.do(func(tx *store.Tx) error { return tx.DeleteEventTrigger(k.ctx, "t") })
	require.NoError(t, del())
	requireCode(t, ci.CodeNotFound, del(), "no forge")
	_, err = k.GetForge(k.ctx, full.Name)
	requireCode(t, ci.CodeNotFound, err, "no forge")
}

func eventTriggers(t *testing.T, k *kit) {
	full := filled[ci.EventTrigger](t, 100)
	put := func(e *ci.EventTrigger, version int64) error {
		return k.write(func(tx *store.Tx) error { _, err := tx.PutEventTrigger(k.ctx, e, version); return err })
	}
	requireCode(t, ci.CodeConflict, put(full, 0), "names forge")
	k.forge(full.Forge)
	requireCode(t, ci.CodeConflict, put(full, 0), "names job")
	k.job(full.Job)
	require.NoError(t, put(full, 0))
	got, err := k.GetEventTrigger(k.ctx, full.Name)
	same(t, full, got, err)
	other := filled[ci.EventTrigger](t, 700)
	other.Name, other.Forge, other.Job = full.Name, full.Forge, full.Job
	require.NoError(t, put(other, 1))
	got, err = k.GetEventTrigger(k.ctx, full.Name)
	same(t, other, got, err)
	require.Equal(t, int64(2), got.Version)
	requireCode(t, ci.CodeStale, put(other, 1), "version 1")
	requireCode(t, ci.CodeStale, put(other, -1), "already")

	// The number counts once it is known, and the name until then.
	for _, e := range []ci.EventTrigger{
		{Name: "by-name", Repository: "Octo/Hello"},
		{Name: "by-number", Repository: "octo/old", RepositoryID: 7},
		{Name: "other-number", Repository: "octo/hello", RepositoryID: 8},
		{Name: "other", Repository: "octo/other"},
	} {
		e.Forge, e.Job = full.Forge, full.Job
		require.NoError(t, put(&e, 0))
	}
	found := func(id int64, name string) (names []string) {
		list, err := k.ForgeTriggers(k.ctx, full.Forge, id, name)
		require.NoError(t, err)
		for _, e := range list {
			names = append(names, e.Name)
		}
		return names
	}
	require.Equal(t, []string{"by-name", "by-number"}, found(7, "octo/hello"))
	k.do(func(tx *store.Tx) error { return tx.PinEventTrigger(k.ctx, "by-name", 7) })
	k.do(func(tx *store.Tx) error { return tx.PinEventTrigger(k.ctx, "by-name", 9) })
	require.Equal(t, []string{"by-name", "by-number"}, found(7, "octo/renamed"))
	require.Empty(t, found(9, "octo/hello"), "a number that is noted stays")
}

func webhooks(t *testing.T, k *kit) {
	full := filled[ci.Webhook](t, 100)
	full.NextAt = at(0)
	add := func(w *ci.Webhook) (fresh bool) {
		k.do(func(tx *store.Tx) (err error) {
			fresh, err = tx.AddWebhook(k.ctx, w)
			return err
		})
		return fresh
	}
	require.True(t, add(full))
	list, err := k.ListWebhooks(k.ctx, full.Forge, 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	list[0].Body = full.Body // not in lists
	same(t, full, &list[0], nil)

	hook := func(id, digest string) *ci.Webhook {
		return &ci.Webhook{Forge: "github", ID: id, Event: "push", Body: []byte("{}"), Digest: digest, ReceivedAt: at(1), NextAt: at(1)}
	}
	one, two, four := hook("1", "d1"), hook("2", ""), hook("4", "")
	require.True(t, add(one))
	require.True(t, add(two))
	require.False(t, add(hook("1", "d9")), "the same delivery")
	require.False(t, add(hook("3", "d1")), "the same body under another id")
	require.True(t, add(four))
	known, err := k.KnownWebhooks(k.ctx, "github", []string{"1", "3", "4"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"1": true, "4": true}, known)

	hold := func(holder string, n, until, now int) (seqs []int64) {
		k.do(func(tx *store.Tx) error {
			list, err := tx.HoldWebhooks(k.ctx, holder, n, at(until), at(now))
			seqs = nil
			for _, w := range list {
				require.NotEmpty(t, w.Body)
				seqs = append(seqs, w.Seq)
			}
			return err
		})
		return seqs
	}
	require.Empty(t, hold("a", 2, 60, 0), "not due yet")
	require.Equal(t, []int64{one.Seq, two.Seq}, hold("a", 2, 60, 2))
	require.Equal(t, []int64{four.Seq}, hold("b", 9, 60, 3))
	settle := func(seq int64, holder string) error {
		return k.write(func(tx *store.Tx) error {
			return tx.SettleWebhook(k.ctx, seq, holder, "done", []ci.RunRef{{Job: "a", Run: 1}}, at(4))
		})
	}
	requireCode(t, ci.CodeConflict, settle(one.Seq, "b"), "other hands")
	require.NoError(t, settle(one.Seq, "a"))
	requireCode(t, ci.CodeConflict, settle(one.Seq, "a"), "settled")
	k.do(func(tx *store.Tx) error { return tx.DeferWebhook(k.ctx, two.Seq, "a", "away", at(20)) })
	require.Empty(t, hold("a", 9, 60, 19))
	require.Equal(t, []int64{two.Seq}, hold("a", 9, 60, 20))
	k.do(func(tx *store.Tx) error { return tx.KeepWebhooks(k.ctx, "a", at(90), at(21)) })
	require.NotContains(t, hold("c", 9, 120, 61), two.Seq, "it was kept")
	k.do(func(tx *store.Tx) error { return tx.PruneWebhooks(k.ctx, at(2)) })
	list, err = k.ListWebhooks(k.ctx, "github", 0, 10)
	require.NoError(t, err)
	require.Len(t, list, 2, "what waits is kept")
	require.Equal(t, "away", list[1].Note)
	require.Equal(t, 2, list[1].Tries)
}

func origins(t *testing.T, k *kit) {
	of := func(o ci.Origin) int64 {
		return k.insert(ci.PhaseQueued, func(r *ci.Run) { r.Origin = &o }).ID
	}
	first := of(ci.Origin{Forge: "github", Repository: 7, HeadSHA: "s1", Trigger: "t", Pull: 3})
	second := of(ci.Origin{Forge: "github", Repository: 7, HeadSHA: "s2", Trigger: "t", Pull: 3})
	_ = of(ci.Origin{Forge: "github", Repository: 8, HeadSHA: "s1", Trigger: "t", Pull: 3})
	_ = of(ci.Origin{Forge: "github", Repository: 7, HeadSHA: "s1", Trigger: "u", Ref: "refs/heads/main"})
	k.insert(ci.PhaseQueued)
	line, err := k.RunsOfLine(k.ctx, "github/7", "t pull/3", 10)
	require.NoError(t, err)
	require.Equal(t, []int64{second, first}, ids(line))
	require.Equal(t, "s2", line[0].Origin.HeadSHA)
	head, err := k.RunsOfHead(k.ctx, "github/7", "s1", 10)
	require.NoError(t, err)
	require.Len(t, head, 2)
}

// commitOrigins outlive the runs that told of them, and don't hide each other.
func commitOrigins(t *testing.T, k *kit) {
	of := func(job string, o ci.Origin) int64 {
		return k.insert(ci.PhaseQueued, done(ci.OutcomeSucceeded), func(r *ci.Run) {
			r.Job, r.CommitSHA, r.Origin, r.Git = job, o.HeadSHA, &o, &ci.Git{URL: "https://git.test/" + job}
		}).ID
	}
	fork := ci.Origin{Forge: "github", Repository: 7, FullName: "octo/hello", HeadSHA: "s1", Pull: 3, Fork: true, ConfigBranch: "main"}
	approved := fork
	approved.Pull, approved.ConfigBranch = 4, ""
	own := ci.Origin{Forge: "github", Repository: 8, HeadSHA: "s1", Branch: `"Fork":true`}
	k.insert(ci.PhaseQueued, func(r *ci.Run) { r.CommitSHA = "s1" })
	of("a", fork)
	last := map[string]int64{"a": of("a", approved), "b": of("b", fork)}
	_ = of("a", own)
	last[""] = of("b", own)
	for range 120 { // the newest runs are looked at as well
		_ = of("c", ci.Origin{Forge: "github", Repository: 9, HeadSHA: "s1"})
	}
	_ = of("a", ci.Origin{Forge: "github", Repository: 7, HeadSHA: "s2"})
	want := []ci.CommitOrigin{
		{SHA: "s1", Repo: "github/8", Run: last[""]},
		{SHA: "s1", Repo: "github/7", Run: last["b"], Fork: true, Job: "b", Git: &ci.Git{URL: "https://git.test/b"}, Origin: &fork},
		{SHA: "s1", Repo: "github/7", Run: last["a"], Fork: true, Job: "a", Git: &ci.Git{URL: "https://git.test/a"}, Origin: &approved},
	}
	known := func() (others []ci.CommitOrigin) {
		list, err := k.CommitOrigins(k.ctx, "s1")
		require.NoError(t, err)
		for _, c := range list {
			if c.Repo != "github/9" {
				others = append(others, c)
			}
		}
		return others
	}
	require.Equal(t, want, known())
	runs, err := k.ListRuns(k.ctx, ci.RunFilter{}, 200)
	require.NoError(t, err)
	k.do(func(tx *store.Tx) error {
		for _, r := range runs {
			if r.Done() {
				require.NoError(t, tx.DeleteRun(k.ctx, r.ID))
			}
		}
		return nil
	})
	require.Equal(t, want, known(), "they are remembered without their runs")
}

// A program of the release before records runs alone: what they say counts all the same.
func commitOriginsOfOldPrograms(t *testing.T, k *kit) {
	fork := ci.Origin{Forge: "github", Repository: 7, HeadSHA: "s1", Pull: 3, Fork: true}
	own := ci.Origin{Forge: "github", Repository: 7, HeadSHA: "s2", Branch: `"Fork":true`}
	for _, o := range []*ci.Origin{&fork, &own} {
		run := k.insert(ci.PhaseQueued, func(r *ci.Run) { r.CommitSHA, r.Origin = o.HeadSHA, o })
		k.do(func(tx *store.Tx) error { _, err := tx.Exec(k.ctx, "DELETE FROM commit_origins"); return err })
		known, err := k.CommitOrigins(k.ctx, o.HeadSHA)
		require.NoError(t, err)
		require.Equal(t, []ci.CommitOrigin{{SHA: o.HeadSHA, Repo: "github/7", Run: run.ID, Fork: o.Fork, Job: "build", Origin: o}}, known)
	}
}
