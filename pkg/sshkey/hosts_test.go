package sshkey_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

func TestNewPair(t *testing.T) {
	t.Parallel()
	a, err := sshkey.NewPair("deploy")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(a.Public, "ssh-ed25519 "))
	require.True(t, strings.HasSuffix(a.Public, " ci:deploy"))
	require.Contains(t, string(a.Private), "OPENSSH PRIVATE KEY")
	b, err := sshkey.NewPair("deploy")
	require.NoError(t, err)
	require.NotEqual(t, a.Fingerprint, b.Fingerprint)
}

func TestNormalHost(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"git.example.com": "git.example.com", "GIT.Example.com.": "git.example.com", "git.example.com:22": "git.example.com",
		"git.example.com:2222": "[git.example.com]:2222", "[git.example.com]:2222": "[git.example.com]:2222",
		"[Git.example.com.]:2222": "[git.example.com]:2222", "[git.example.com]:22": "git.example.com",
		"10.0.0.1": "10.0.0.1", "10.0.0.1:23": "[10.0.0.1]:23", "::1": "::1", "[::1]": "::1", "[::1]:2222": "[::1]:2222",
	} {
		got, err := sshkey.NormalHost(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "*", "*.example.com", "!x", "a,b", "|1|x|y", "@cert-authority x", "x:0", "x:99999", "x:y", "a b", "-x", "[x", "fe80::1%eth0", "x\n", strings.Repeat("a", 300)} {
		_, err := sshkey.NormalHost(text)
		require.Error(t, err, text)
	}
}

func TestCheckHosts(t *testing.T) {
	t.Parallel()
	pair, err := sshkey.NewPair("x")
	require.NoError(t, err)
	got, err := sshkey.CheckHosts([]ci.HostKey{{Host: "Git.example.com:22", Key: pair.Public}, {Host: "git.example.com", Key: pair.Public, Fingerprint: "a lie"}})
	require.NoError(t, err)
	require.Equal(t, []ci.HostKey{{Host: "git.example.com", Key: strings.TrimSuffix(pair.Public, " ci:x"), Fingerprint: pair.Fingerprint}}, got)
	require.Equal(t, "git.example.com "+got[0].Key+"\n", string(sshkey.KnownHosts(got)))
	require.True(t, sshkey.Knows(got, "GIT.example.com", 22))
	require.False(t, sshkey.Knows(got, "git.example.com", 2222))

	const weak = "ssh-dss AAAAB3NzaC1kc3M="
	for _, key := range []string{"", "x", "ssh-ed25519", "ssh-ed25519 AAAA", weak, "ssh-rsa " + strings.Fields(pair.Public)[1], pair.Public + "\n" + pair.Public, `command="x" ` + pair.Public} {
		_, err := sshkey.CheckHosts([]ci.HostKey{{Host: "h", Key: "x"}, {Host: "*", Key: key}})
		var e *ci.Error
		require.ErrorAs(t, err, &e, key)
		require.Equal(t, ci.CodeInvalid, e.Code)
		require.Len(t, e.Fields, 3, key)
		require.Equal(t, "hosts[1].key", e.Fields[2].Path)
	}
	_, err = sshkey.CheckHosts(make([]ci.HostKey, sshkey.MaxHosts+1))
	require.ErrorContains(t, err, "at most 64")
}
