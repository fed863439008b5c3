package cli

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// A host key that anybody may know.
const (
	hostKeyLine  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPXkVVphvel4CBPeenZDEzwyJZmGvQhZ8qZfHzR+coPZ"
	hostKeyPrint = "SHA256:1234qN/SvuEnltt+4ZnpohYanytMHLr9DNi0KNNo6aM"
)

func (f *fakeClient) PutSSHKey(_ context.Context, name string, hosts []ci.HostKey, ifVersion int64) (ci.SSHKey, bool, error) {
	k, there := f.sshKeys[name]
	if ifVersion > 0 && k.Version != ifVersion {
		return k, false, ci.Errorf(ci.CodeStale, "somebody changed it")
	}
	if !there {
		k = ci.SSHKey{Name: name, PublicKey: "ssh-ed25519 AAAA ci:" + name, Fingerprint: "SHA256:own", CreatedAt: noon}
	}
	k.Hosts, k.Version = hosts, k.Version+1
	f.sshKeys[name] = k
	return k, !there, f.err
}

func (f *fakeClient) GetSSHKey(_ context.Context, name string) (ci.SSHKey, error) {
	k, ok := f.sshKeys[name]
	if !ok {
		return k, missing("SSH key")
	}
	return k, f.err
}

func (f *fakeClient) ListSSHKeys(context.Context) ([]ci.SSHKey, error) {
	var list []ci.SSHKey
	for _, k := range f.sshKeys {
		list = append(list, k)
	}
	return list, f.err
}

func (f *fakeClient) DeleteSSHKey(_ context.Context, name string) error {
	if _, ok := f.sshKeys[name]; !ok {
		return missing("SSH key")
	}
	delete(f.sshKeys, name)
	return nil
}

func (f *fakeClient) ScanHost(context.Context, string) ([]ci.HostKey, error) {
	return f.scanned, f.err
}

func TestSSHKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.run("ssh-key", "create", "deploy")
	require.Equal(t, "ssh-ed25519 AAAA ci:deploy\n", made.out, made.err)
	again := w.run("ssh-key", "create", "deploy")
	require.Equal(t, made.out, again.out)
	require.Contains(t, again.err, "is there already")
	require.Equal(t, int64(1), w.client.sshKeys["deploy"].Version, "creating it again changes nothing")
	require.Contains(t, w.run("ssh-key", "show", "deploy").out, "ssh-ed25519 AAAA ci:deploy")
	require.Equal(t, "deploy\tSHA256:own\t\t2026-03-01T12:00:00Z\n", w.run("ssh-key", "ls").out)
	require.Zero(t, w.run("ssh-key", "rm", "deploy").code)
	require.Equal(t, exitNotFound, w.run("ssh-key", "rm", "deploy").code)

	hosts := []ci.HostKey{{Host: "h" + hostile, Key: "ssh-ed25519 A", Fingerprint: hostile}}
	w.client.sshKeys["evil"] = ci.SSHKey{Name: "evil" + hostile, PublicKey: hostile, Fingerprint: hostile, Hosts: hosts}
	for _, verb := range [][]string{{"ls"}, {"show", "evil"}, {"create", "evil"}} {
		shown := w.terminal().run(append([]string{"ssh-key"}, verb...)...)
		harmless(t, shown.out)
		harmless(t, shown.err)
	}
}

func TestSSHHostsScan(t *testing.T) {
	t.Parallel()
	scanned := []ci.HostKey{{Host: "git.example.com", Key: hostKeyLine, Fingerprint: hostKeyPrint}, {Host: "git.example.com", Key: "ssh-rsa A", Fingerprint: "SHA256:rsa"}}
	tests := []struct {
		name   string
		stdin  string
		tty    bool
		args   []string
		code   int
		says   string
		pinned int
	}{
		{"shown alone", "", true, []string{"git.example.com"}, 0, "", 0},
		{"confirmed", "y\n", true, []string{"deploy", "git.example.com"}, 0, "SSH key deploy is for git.example.com", 2},
		{"not confirmed", "\n", true, []string{"deploy", "git.example.com"}, 0, "Nothing was pinned", 0},
		{"end of input", "", true, []string{"deploy", "git.example.com"}, 0, "Nothing was pinned", 0},
		{"no terminal", "y\n", false, []string{"deploy", "git.example.com"}, exitUsage, "there is no terminal to ask", 0},
		{"yes alone", "", false, []string{"deploy", "git.example.com", "--yes"}, exitUsage, "--yes needs --fingerprint", 0},
		{"a fingerprint", "", false, []string{"deploy", "git.example.com", "--yes", "--fingerprint", hostKeyPrint}, 0, "is for git.example.com", 1},
		{"another fingerprint", "", false, []string{"deploy", "git.example.com", "--yes", "--fingerprint", "SHA256:other"}, exitOther, "somebody is in between", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.client.sshKeys["deploy"] = ci.SSHKey{Name: "deploy", Version: 1}
			w.client.scanned, w.stdin, w.tty = scanned, test.stdin, test.tty
			got := w.run(append([]string{"ssh-key", "hosts", "scan"}, test.args...)...)
			require.Equal(t, test.code, got.code, got.err)
			require.Contains(t, got.err, test.says)
			require.Len(t, w.client.sshKeys["deploy"].Hosts, test.pinned)
			if test.code == 0 {
				require.Contains(t, got.out, hostKeyPrint)
			}
		})
	}
}

func TestSSHHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.sshKeys["deploy"] = ci.SSHKey{Name: "deploy", Version: 1}
	hosts := func() []ci.HostKey { return w.client.sshKeys["deploy"].Hosts }
	first := ci.HostKey{Host: "[git.example.com]:2222", Key: hostKeyLine, Fingerprint: hostKeyPrint}
	require.Zero(t, w.run("ssh-key", "hosts", "add", "deploy", "Git.example.com:2222", hostKeyLine).code)
	require.Equal(t, []ci.HostKey{first}, hosts())
	w.stdin = "# comment\n\na.example.com,10.0.0.1 " + hostKeyLine + " me@there\n"
	require.Zero(t, w.run("ssh-key", "hosts", "add", "deploy").code)
	require.Len(t, hosts(), 3)
	require.Equal(t, "10.0.0.1", hosts()[2].Host)
	for _, bad := range []string{"", "|1|abc|def " + hostKeyLine, "* " + hostKeyLine, "h ssh-ed25519 AAAA", "@revoked * " + hostKeyLine} {
		w.stdin = bad + "\n"
		require.NotZero(t, w.run("ssh-key", "hosts", "add", "deploy").code, bad)
	}
	require.Equal(t, exitUsage, w.run("ssh-key", "hosts", "add", "deploy", "host").code)
	require.Len(t, hosts(), 3)

	require.Zero(t, w.run("ssh-key", "hosts", "rm", "deploy", "git.example.com:2222").code)
	require.Len(t, hosts(), 2)
	require.Equal(t, exitNotFound, w.run("ssh-key", "hosts", "rm", "deploy", "git.example.com").code)
	require.Equal(t, exitUsage, w.run("ssh-key", "hosts", "rm", "deploy", "*").code)
	gone := w.run("ssh-key", "hosts", "rm", "deploy", hostKeyPrint)
	require.Contains(t, gone.err, "SSH key deploy is for no hosts")
	require.Empty(t, hosts())
}
