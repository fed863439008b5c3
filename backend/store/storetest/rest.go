package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func agents(t *testing.T, k *kit) {
	put := func(a ci.Agent) { k.do(func(tx *store.Tx) error { return tx.PutAgent(k.ctx, &a) }) }
	put(ci.Agent{ID: "b", Runs: []int64{1, 2}, Problem: "none", SeenAt: at(1)})
	put(ci.Agent{ID: "a", SeenAt: at(1)})
	put(ci.Agent{ID: "b", Refusals: map[string]string{"large": "full"}, SeenAt: at(2)})
	list, err := k.ListAgents(k.ctx)
	require.NoError(t, err)
	require.Equal(t, []ci.Agent{{ID: "a", SeenAt: at(1)}, {ID: "b", Refusals: map[string]string{"large": "full"}, SeenAt: at(2)}}, list)

	set := func(agent string, d *ci.Drain) error {
		return k.write(func(tx *store.Tx) error { return tx.SetDrain(k.ctx, agent, d) })
	}
	drain := func(agent string) *ci.Drain {
		d, err := k.GetDrain(k.ctx, agent)
		require.NoError(t, err)
		return d
	}
	require.Nil(t, drain("a"))
	requireCode(t, ci.CodeNotFound, set("none", &ci.Drain{}), `"none"`)
	require.NoError(t, set("a", &ci.Drain{Reason: "update", Deadline: at(9), Since: at(1)}))
	require.NoError(t, set("a", &ci.Drain{Reason: "again", Then: ci.DrainWait, By: "ann", Since: at(2)}))
	require.Equal(t, &ci.Drain{Reason: "again", Then: ci.DrainWait, By: "ann", Since: at(2)}, drain("a"))
	put(ci.Agent{ID: "a", SeenAt: at(3)})
	require.NotNil(t, drain("a"), "a heartbeat does not undo the order")
	require.NoError(t, set("a", nil))
	require.NoError(t, set("a", nil))
	require.Nil(t, drain("a"))

	require.NoError(t, set("b", &ci.Drain{Since: at(1)}))
	del := func(id string) error {
		return k.write(func(tx *store.Tx) error { return tx.DeleteAgent(k.ctx, id) })
	}
	require.NoError(t, del("b"))
	requireCode(t, ci.CodeNotFound, del("b"), `"b"`)
	_, err = k.GetAgent(k.ctx, "b")
	requireCode(t, ci.CodeNotFound, err, `"b"`)
	require.Nil(t, drain("b"))
}

// forgottenAgents sees who is forgotten: nobody that may come back to something.
func forgottenAgents(t *testing.T, k *kit) {
	put := func(id string, seen time.Time, leaving *ci.Drain) {
		k.do(func(tx *store.Tx) error { return tx.PutAgent(k.ctx, &ci.Agent{ID: id, SeenAt: seen, Leaving: leaving}) })
	}
	ended := &ci.Drain{Reason: "scaled down", Leaving: true}
	for _, id := range []string{"silent", "holds", "ordered"} {
		put(id, at(1), nil)
	}
	put("quiet", at(5), nil)
	put("left", at(5), ended)
	put("leaves", at(8), ended)
	k.insert(ci.PhaseRunning, func(r *ci.Run) { r.Agent = "holds" })
	k.do(func(tx *store.Tx) error { return tx.SetDrain(k.ctx, "ordered", &ci.Drain{Since: at(1)}) })

	forget := func() (ids []string) {
		k.do(func(tx *store.Tx) (err error) { ids, err = tx.ForgetAgents(k.ctx, at(4), at(7)); return err })
		return ids
	}
	require.ElementsMatch(t, []string{"silent", "left"}, forget())
	require.Empty(t, forget())
	list, err := k.ListAgents(k.ctx)
	require.NoError(t, err)
	var stay []string
	for i := range list {
		stay = append(stay, list[i].ID)
	}
	require.Equal(t, []string{"holds", "leaves", "ordered", "quiet"}, stay)
}

func config(t *testing.T, k *kit) {
	c, err := k.GetConfig(k.ctx)
	require.NoError(t, err)
	first := ci.DefaultConfig()
	require.Equal(t, &first, c)
	put := func(ifVersion int64) error {
		return k.write(func(tx *store.Tx) error { return tx.PutConfig(k.ctx, c, ifVersion) })
	}
	c.AbortGrace, c.Classes = ci.Duration(3*time.Second), c.Classes[:1]
	requireCode(t, ci.CodeStale, put(9), "version 1, not 9")
	got, err := k.GetConfig(k.ctx)
	require.NoError(t, err)
	require.Equal(t, &first, got)
	require.NoError(t, put(1))
	require.Equal(t, int64(2), c.Version)
	requireCode(t, ci.CodeStale, put(1), "version 2, not 1")
	require.NoError(t, put(0))
	require.Equal(t, int64(3), c.Version)
	got, err = k.GetConfig(k.ctx)
	require.NoError(t, err)
	require.Equal(t, c, got)

	// A document of an older program has no value for what is new.
	k.do(func(tx *store.Tx) error {
		_, err := tx.Exec(k.ctx, "UPDATE config SET document = ?", `{"MaxConsole": 5}`)
		return err
	})
	got, err = k.GetConfig(k.ctx)
	require.NoError(t, err)
	want := ci.DefaultConfig()
	want.MaxConsole, want.Version = 5, 3
	require.Equal(t, &want, got)
}

func tokens(t *testing.T, k *kit) {
	put := func(id, name string, created, expires int) error {
		token := &ci.Token{ID: id, Name: name, Role: ci.RoleRead, CreatedAt: at(created)}
		if expires > 0 {
			token.ExpiresAt = at(expires)
		}
		return k.PutToken(k.ctx, token)
	}
	require.NoError(t, put("1", "deploy", 1, 0))
	requireCode(t, ci.CodeConflict, put("2", "deploy", 2, 0), `"deploy"`)
	requireCode(t, ci.CodeConflict, put("1", "another", 2, 0))
	require.NoError(t, k.RevokeToken(k.ctx, "1", at(5)))
	require.NoError(t, k.RevokeToken(k.ctx, "1", at(6)))
	revoked, err := k.GetToken(k.ctx, "1")
	require.NoError(t, err)
	require.Equal(t, at(5), revoked.RevokedAt, "the first end counts")
	requireCode(t, ci.CodeNotFound, k.RevokeToken(k.ctx, "9", at(6)), `"9"`)
	_, err = k.GetToken(k.ctx, "9")
	requireCode(t, ci.CodeNotFound, err, `"9"`)

	require.NoError(t, put("2", "deploy", 6, 20), "a revoked token leaves its name")
	requireCode(t, ci.CodeConflict, put("3", "deploy", 19, 0))
	require.NoError(t, put("3", "deploy", 20, 0), "an expired one, too")

	for role, want := range map[ci.Role]bool{ci.RoleRead: true, ci.RoleAdmin: false} {
		there, err := k.AnyToken(k.ctx, role)
		require.NoError(t, err)
		require.Equal(t, want, there, role)
	}

	page, err := k.ListTokens(k.ctx, "", 2)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2"}, []string{page[0].ID, page[1].ID})
	page, err = k.ListTokens(k.ctx, "2", 2)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, "3", page[0].ID)

	const day = 24 * 60 * 60
	require.NoError(t, put("4", "long", 30, 31+day))
	require.NoError(t, put("5", "brief", 30, 30+day))
	for _, id := range []string{"6", "7"} {
		require.NoError(t, k.PutToken(k.ctx, &ci.Token{ID: id, Name: id, Role: ci.RoleAdmin, CreatedAt: at(30), ExpiresAt: at(40)}))
	}
	left := func() (ids []string) {
		all, err := k.ListTokens(k.ctx, "", 9)
		require.NoError(t, err)
		for _, token := range all {
			ids = append(ids, token.ID)
		}
		return ids
	}
	k.prune((*store.Tx).PruneTokens, at(30+day))
	require.Equal(t, []string{"1", "3", "4", "5", "6"}, left(), "one that has ended a while ago goes")
	k.prune((*store.Tx).PruneTokens, at(9*day))
	require.Equal(t, []string{"1", "3", "4", "6"}, left(), "what was made to last stays, and the first of a role")
	there, err := k.AnyToken(k.ctx, ci.RoleAdmin)
	require.NoError(t, err)
	require.True(t, there, "a cid that starts now must not make the first one")
}

func leases(t *testing.T, k *kit) {
	take := func(name, holder string, until, now int) (mine bool) {
		k.do(func(tx *store.Tx) (err error) {
			mine, err = tx.TakeLease(k.ctx, name, holder, at(until), at(now))
			return err
		})
		return mine
	}
	require.True(t, take("sweeper", "x", 10, 0))
	require.False(t, take("sweeper", "y", 15, 9))
	require.True(t, take("reaper", "y", 15, 9))
	require.True(t, take("sweeper", "x", 20, 9), "its holder prolongs it")
	require.False(t, take("sweeper", "y", 30, 19))
	require.True(t, take("sweeper", "y", 30, 20), "its time is over")
	require.False(t, take("sweeper", "x", 40, 29))
	holders, err := k.LeaseHolders(k.ctx, []string{"sweeper", "reaper", "nobody's"}, at(14))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"sweeper": "y", "reaper": "y"}, holders)
	holders, err = k.LeaseHolders(k.ctx, []string{"sweeper", "reaper"}, at(15))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"sweeper": "y"}, holders, "the other's time is over")
	holders, err = k.LeaseHolders(k.ctx, nil, at(0))
	require.NoError(t, err)
	require.Empty(t, holders)
}

func idempotency(t *testing.T, k *kit) {
	record := func(job, key string, run int64, when time.Time) error {
		return k.write(func(tx *store.Tx) error { return tx.Idempotent(k.ctx, job, key, "hash", run, when) })
	}
	find := func(job, key string, notBefore time.Time) (int64, bool) {
		run, hash, found, err := k.FindIdempotent(k.ctx, job, key, notBefore)
		require.NoError(t, err)
		if found {
			require.Equal(t, "hash", hash)
		}
		return run, found
	}
	require.NoError(t, record("a", "key", 1, at(0)))
	require.NoError(t, record("b", "key", 2, at(0)))
	requireCode(t, ci.CodeConflict, record("a", "key", 3, at(1)), `"key"`)
	run, found := find("a", "key", at(0))
	require.True(t, found)
	require.Equal(t, int64(1), run)
	_, found = find("a", "key", at(1))
	require.False(t, found, "too old")
	_, found = find("a", "other", at(0))
	require.False(t, found)

	day := at(0).Add(store.IdempotentFor)
	requireCode(t, ci.CodeConflict, record("a", "key", 3, day), `"key"`)
	require.NoError(t, record("a", "key", 4, day.Add(time.Microsecond)), "an old key may be used anew")
	run, _ = find("a", "key", day)
	require.Equal(t, int64(4), run)
	for i, key := range []string{"first", "second", "third"} {
		require.NoError(t, record("b", key, 5, at(2+i)))
	}
	k.prunePage((*store.Tx).PruneIdempotent, at(5), 2)
	for key, is := range map[string]bool{"key": false, "first": false, "second": true, "third": true} {
		_, found = find("b", key, at(0))
		require.Equal(t, is, found, "the two oldest went: %s", key)
	}
	k.prune((*store.Tx).PruneIdempotent, at(4))
	for key, is := range map[string]bool{"second": false, "third": true} {
		_, found = find("b", key, at(0))
		require.Equal(t, is, found, key)
	}
	_, found = find("a", "key", at(0))
	require.True(t, found)
}
