package inner

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOwnGroup(t *testing.T) {
	t.Parallel()
	const v1 = "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc/cpu\n1:name=systemd:/docker/abc:with:colons\n0::/\n"
	for name, c := range map[string]struct{ text, controller, want string }{
		"version 1":         {v1, "memory", "/docker/abc"},
		"one of two":        {v1, "cpuacct", "/docker/abc/cpu"},
		"version 2 beside":  {v1, "", "/"},
		"colons":            {v1, "name=systemd", "/docker/abc:with:colons"},
		"not there":         {v1, "pids", "/"},
		"version 2":         {"0::/kubepods/pod1/x\n", "", "/kubepods/pod1/x"},
		"without a newline": {"0::/a", "", "/a"},
		"nothing":           {"", "", "/"},
	} {
		require.Equal(t, c.want, group(c.text, c.controller), name)
	}
	require.Empty(t, below("/"))
	require.Equal(t, "/a", below("/a"))
}

// TestControlGroups does with folders what the kernel does with groups: a
// folder's cgroup.procs takes what is written, only that the kernel removes the
// processes from where they were.
func TestControlGroups(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, text string) string {
		at := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(text), 0o644))
		return at
	}
	self := write("self", "0::/pod/box\n")
	parent, err := controlGroups(root, self)
	require.NoError(t, err)
	require.Equal(t, "/", "/"+parent, "without version 2 there is no group of version 1 named memory")

	write("cgroup.controllers", "cpu memory pids\n")
	write("pod/box/cgroup.controllers", "cpu memory\n")
	write("pod/box/cgroup.procs", "1\n17\n")
	write("pod/box/init/cgroup.procs", "")
	write("pod/box/cgroup.subtree_control", "")
	parent, err = controlGroups(root, self)
	require.NoError(t, err)
	require.Equal(t, "/pod/box", parent)
	got, err := os.ReadFile(filepath.Join(root, "pod/box/cgroup.subtree_control"))
	require.NoError(t, err)
	require.Equal(t, "+cpu +memory", string(got))
	got, err = os.ReadFile(filepath.Join(root, "pod/box/init/cgroup.procs"))
	require.NoError(t, err)
	require.Equal(t, "17", string(got), "the last one that was moved")
}

func TestAgentUser(t *testing.T) {
	t.Parallel()
	got, err := agentUser("")
	require.NoError(t, err)
	require.Equal(t, account{10001, 10001}, got)
	got, err = agentUser("0:5")
	require.NoError(t, err)
	require.Equal(t, account{0, 5}, got)
	for _, bad := range []string{"1", "a:b", "1:", ":1", "-1:1", "1:2:3"} {
		_, err := agentUser(bad)
		require.ErrorContains(t, err, envUser, bad)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, ping(t.Context(), filepath.Join(t.TempDir(), "none.sock")), "does not answer")
}
