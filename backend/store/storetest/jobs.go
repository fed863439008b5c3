package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func jobs(t *testing.T, k *kit) {
	put := func(name string, ifVersion int64) (job *ci.Job, created bool, err error) {
		job = &ci.Job{Name: name, Git: &ci.Git{URL: "https://host/x.git", ConfigPath: "ci.yaml"}}
		err = k.write(func(tx *store.Tx) (err error) { created, err = tx.PutJob(k.ctx, job, ifVersion); return err })
		return job, created, err
	}
	first, created, err := put("a", -1)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, int64(1), first.Version)
	require.Equal(t, first.CreatedAt, first.UpdatedAt)

	_, _, err = put("a", -1)
	requireCode(t, ci.CodeStale, err, `"a"`)
	_, _, err = put("a", 7)
	requireCode(t, ci.CodeStale, err, "version 1, not 7")
	_, _, err = put("b", 1)
	requireCode(t, ci.CodeStale, err, "deleted")

	second, created, err := put("a", 1)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, int64(2), second.Version)
	require.Equal(t, first.CreatedAt, second.CreatedAt)
	third, created, err := put("a", 0)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, int64(3), third.Version)

	// From git to freestyle and back nothing of the other stays.
	k.do(func(tx *store.Tx) error {
		_, err := tx.PutJob(k.ctx, &ci.Job{Name: "a", Freestyle: []byte(`{"script":"true"}`)}, 0)
		return err
	})
	got, err := k.GetJob(k.ctx, "a")
	require.NoError(t, err)
	require.Nil(t, got.Git)
	require.JSONEq(t, `{"script":"true"}`, string(got.Freestyle))

	listJobs(t, k, func(name string) { _, _, err := put(name, 0); require.NoError(t, err) })
	deleteJobs(t, k)
}

func listJobs(t *testing.T, k *kit, put func(name string)) {
	for _, name := range []string{"B", "c", "a-b", "a.b"} {
		put(name)
	}
	names := func(after string, limit int, only []string) []string {
		jobs, err := k.ListJobs(k.ctx, after, limit, only)
		require.NoError(t, err)
		list := []string{}
		for _, j := range jobs {
			list = append(list, j.Name)
		}
		return list
	}
	require.Equal(t, []string{"B", "a", "a-b", "a.b", "c"}, names("", 10, nil), "in the order of bytes on every engine")
	require.Equal(t, []string{"B", "a"}, names("", 2, nil))
	require.Equal(t, []string{"a-b", "a.b"}, names("a", 2, nil))
	require.Equal(t, []string{"a", "c"}, names("", 9, []string{"c", "a", "none"}))
	require.Empty(t, names("", 9, []string{}))
	require.Empty(t, names("c", 9, nil))
}

func deleteJobs(t *testing.T, k *kit) {
	run := k.insert(ci.PhaseQueued, func(r *ci.Run) { r.Job = "c" })
	del := func(name string, ifVersion int64) error {
		return k.write(func(tx *store.Tx) error { return tx.DeleteJob(k.ctx, name, ifVersion) })
	}
	requireCode(t, ci.CodeStale, del("c", 5), "version 1, not 5")
	require.NoError(t, del("c", 1))
	requireCode(t, ci.CodeNotFound, del("c", 0), `"c"`)
	_, err := k.GetJob(k.ctx, "c")
	requireCode(t, ci.CodeNotFound, err, `"c"`)
	require.Equal(t, run, k.get(run.ID), "runs stay")
}
