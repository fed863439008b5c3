package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func sshKeys(t *testing.T, k *kit) {
	hosts := []ci.HostKey{{Host: "[git.example.com]:2222", Key: "ssh-ed25519 AAAA", Fingerprint: "SHA256:x"}}
	put := func(name, public string, sealed []byte, ifVersion int64, hosts ...ci.HostKey) (key *ci.SSHKey, created bool, err error) {
		key = &ci.SSHKey{Name: name, PublicKey: public, Fingerprint: "SHA256:" + public, Hosts: hosts}
		err = k.write(func(tx *store.Tx) (err error) {
			created, err = tx.PutSSHKey(k.ctx, key, sealed, ifVersion)
			return err
		})
		return key, created, err
	}
	first, created, err := put("a", "one", []byte{0, 1, 0xff}, 0)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, int64(1), first.Version)
	require.False(t, first.CreatedAt.IsZero())

	// The pair stays, whatever a second call brings.
	second, created, err := put("a", "two", []byte{2}, 0, hosts...)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, &ci.SSHKey{Name: "a", PublicKey: "one", Fingerprint: "SHA256:one", Hosts: hosts, CreatedAt: first.CreatedAt, Version: 2}, second)
	sealed, err := k.GetSealedSSHKey(k.ctx, "a")
	require.NoError(t, err)
	require.Equal(t, &store.SealedSSHKey{SSHKey: *second, Sealed: []byte{0, 1, 0xff}}, sealed)

	_, _, err = put("a", "x", nil, 1)
	requireCode(t, ci.CodeStale, err, "version 1")
	_, _, err = put("none", "x", nil, 1)
	requireCode(t, ci.CodeStale, err, `"none"`)
	_, _, err = put("a", "x", []byte{2}, -1)
	requireCode(t, ci.CodeStale, err, `"a"`)
	third, _, err := put("a", "x", nil, 2)
	require.NoError(t, err)
	require.Empty(t, third.Hosts)
	got, err := k.GetSSHKey(k.ctx, "a")
	require.NoError(t, err)
	require.Equal(t, third, got)

	_, _, err = put("B", "b", []byte{3}, -1)
	require.NoError(t, err)
	list, err := k.ListSSHKeys(k.ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "B", list[0].Name)
	deleteSSHKeys(t, k)
}

func deleteSSHKeys(t *testing.T, k *kit) {
	job := func(name, key string) {
		k.do(func(tx *store.Tx) error {
			_, err := tx.PutJob(k.ctx, &ci.Job{Name: name, Git: &ci.Git{URL: "ssh://git@h/x", ConfigPath: `"SSHKey":"B"`, SSHKey: key}}, 0)
			return err
		})
	}
	del := func(name string) error {
		return k.write(func(tx *store.Tx) error { return tx.DeleteSSHKey(k.ctx, name) })
	}
	job("user", "a")
	job("other", "ab")
	job("near", "_")
	requireCode(t, ci.CodeConflict, del("a"), "job user")
	job("user", "")
	require.NoError(t, del("a"))
	require.NoError(t, del("B"), "no job names it, whatever else is in its text")
	requireCode(t, ci.CodeNotFound, del("a"), `"a"`)
	_, err := k.GetSSHKey(k.ctx, "a")
	requireCode(t, ci.CodeNotFound, err, `"a"`)
	_, err = k.GetSealedSSHKey(k.ctx, "a")
	requireCode(t, ci.CodeNotFound, err, `"a"`)
}
