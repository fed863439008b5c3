package storetest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func (k *kit) job(name string) {
	k.t.Helper()
	k.do(func(tx *store.Tx) error {
		_, err := tx.PutJob(k.ctx, &ci.Job{Name: name, Freestyle: []byte(`{"script":"true"}`)}, 0)
		return err
	})
}

func (k *kit) putSecret(job, name, by string, sealed []byte) (*ci.Secret, error) {
	s := &ci.Secret{Job: job, Name: name, UpdatedBy: by}
	return s, k.write(func(tx *store.Tx) error { return tx.PutSecret(k.ctx, s, sealed) })
}

func secrets(t *testing.T, k *kit) {
	k.job("a")
	k.job("b")
	_, err := k.putSecret("none", "X", "me", []byte{1})
	requireCode(t, ci.CodeNotFound, err, `"none"`)

	first, err := k.putSecret("a", "X", "me", []byte{0, 1, 0xff})
	require.NoError(t, err)
	require.Equal(t, int64(1), first.Version)
	require.False(t, first.UpdatedAt.IsZero())
	second, err := k.putSecret("a", "X", "you", []byte{2})
	require.NoError(t, err)
	require.Equal(t, int64(2), second.Version)
	require.Equal(t, "you", second.UpdatedBy)
	other, err := k.putSecret("b", "X", "me", []byte{3})
	require.NoError(t, err)
	require.Equal(t, int64(1), other.Version)
	lower, err := k.putSecret("a", "A", "me", []byte{4})
	require.NoError(t, err)

	list, err := k.ListSecrets(k.ctx, "a")
	require.NoError(t, err)
	require.Equal(t, []ci.Secret{*lower, *second}, list)
	list, err = k.ListSecrets(k.ctx, "none")
	require.NoError(t, err)
	require.Empty(t, list)

	got, err := k.SealedSecrets(k.ctx, "a", []string{"X", "x", "MISSING"})
	require.NoError(t, err)
	require.Equal(t, []store.SealedSecret{{Secret: *second, Sealed: []byte{2}}}, got)
	got, err = k.SealedSecrets(k.ctx, "a", nil)
	require.NoError(t, err)
	require.Empty(t, got)

	del := func(job, name string) error {
		return k.write(func(tx *store.Tx) error { return tx.DeleteSecret(k.ctx, job, name) })
	}
	require.NoError(t, del("a", "A"))
	requireCode(t, ci.CodeNotFound, del("a", "A"), `"A"`)

	// A job takes its secrets along, and one of the same name later has none of them.
	k.do(func(tx *store.Tx) error { return tx.DeleteJob(k.ctx, "a", 0) })
	k.job("a")
	list, err = k.ListSecrets(k.ctx, "a")
	require.NoError(t, err)
	require.Empty(t, list)
	list, err = k.ListSecrets(k.ctx, "b")
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func tooManySecrets(t *testing.T, k *kit) {
	k.job("a")
	k.do(func(tx *store.Tx) error {
		for i := range ci.MaxSecrets {
			if err := tx.PutSecret(k.ctx, &ci.Secret{Job: "a", Name: fmt.Sprintf("S%d", i)}, []byte{1}); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := k.putSecret("a", "ONE_MORE", "", []byte{1})
	requireCode(t, ci.CodeConflict, err, "256")
	_, err = k.putSecret("a", "S7", "", []byte{2})
	require.NoError(t, err, "a new value of one that is there")
}

func registries(t *testing.T, k *kit) {
	put := func(host, user string, sealed ...byte) ci.Registry {
		r := ci.Registry{Host: host, Username: user, UpdatedBy: "me"}
		k.do(func(tx *store.Tx) error { return tx.PutRegistry(k.ctx, &r, sealed) })
		require.False(t, r.UpdatedAt.IsZero())
		return r
	}
	put("docker.io", "one", 1)
	hub := put("docker.io", "two", 2)
	own := put("a.example.com:5000", "three", 3)
	list, err := k.ListRegistries(k.ctx)
	require.NoError(t, err)
	require.Equal(t, []ci.Registry{own, hub}, list)
	sealed, err := k.SealedRegistries(k.ctx)
	require.NoError(t, err)
	require.Equal(t, []store.SealedRegistry{{Registry: own, Sealed: []byte{3}}, {Registry: hub, Sealed: []byte{2}}}, sealed)
	del := func(host string) error {
		return k.write(func(tx *store.Tx) error { return tx.DeleteRegistry(k.ctx, host) })
	}
	require.NoError(t, del("docker.io"))
	requireCode(t, ci.CodeNotFound, del("docker.io"), `"docker.io"`)
}

func reseal(t *testing.T, k *kit) {
	k.job("a")
	for _, name := range []string{"X", "Y"} {
		_, err := k.putSecret("a", name, "me", []byte(name))
		require.NoError(t, err)
	}
	k.do(func(tx *store.Tx) error { return tx.PutRegistry(k.ctx, &ci.Registry{Host: "docker.io"}, []byte("r")) })
	rows, err := k.SealedRows(k.ctx)
	require.NoError(t, err)
	about := map[string]store.SealedRow{}
	for _, r := range rows {
		about[fmt.Sprint(r.About())] = r
	}
	require.Len(t, about, 3)
	require.Equal(t, "Y", string(about["[secret a Y]"].Sealed))
	require.Equal(t, "r", string(about["[registry docker.io]"].Sealed))

	_, err = k.putSecret("a", "Y", "you", []byte("changed"))
	require.NoError(t, err)
	renew := func(what string) (done bool) {
		k.do(func(tx *store.Tx) (err error) {
			done, err = tx.Reseal(k.ctx, about[what], []byte("renewed"))
			return err
		})
		return done
	}
	require.True(t, renew("[secret a X]"))
	require.False(t, renew("[secret a Y]"), "a value that was set meanwhile stays")
	require.True(t, renew("[registry docker.io]"))
	got, err := k.SealedSecrets(k.ctx, "a", []string{"X", "Y"})
	require.NoError(t, err)
	require.Equal(t, "renewed", string(got[0].Sealed))
	require.Equal(t, int64(1), got[0].Version, "the same value has the same version")
	require.Equal(t, "changed", string(got[1].Sealed))
}
