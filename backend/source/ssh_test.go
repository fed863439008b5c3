package source_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/source"
	"ci/pkg/ci"
	"ci/pkg/porttest"
	"ci/pkg/sshkey"
	"ci/pkg/sshkey/sshdtest"
)

// planWith plans ci/test.yaml with a key.
func planWith(t *testing.T, s *source.Source, url, branch string, access *ci.SSHAccess) (commit string, file []byte, err error) {
	t.Helper()
	err = s.Plan(t.Context(), job(url, "ci/test.yaml"), ci.GitAccess{SSH: access}, "", branch, func(c string, f []byte, read source.Read) error {
		commit, file = c, f
		return nil
	})
	return commit, file, err
}

func TestSSH(t *testing.T) {
	t.Parallel()
	server, other := sshdtest.Start(t, "127.0.0.1"), sshdtest.Start(t, "127.0.0.1")
	access := server.Access(t, "deploy")
	r := newRepo(t)
	url := server.URL(r.dir)
	pair, err := sshkey.NewPair("nobody")
	require.NoError(t, err)
	with := func(change func(*ci.SSHAccess)) *ci.SSHAccess {
		a := *access
		change(&a)
		return &a
	}

	cases := map[string]struct {
		access      *ci.SSHAccess
		url, branch string
		err         string
	}{
		"fine":          {access: access, url: url, branch: "main"},
		"one host key":  {access: with(func(a *ci.SSHAccess) { a.Hosts = a.Hosts[1:] }), url: url, branch: "main"},
		"no branch":     {access: access, url: url, branch: "nope", err: "branch nope does not exist in " + url},
		"no repository": {access: access, url: url + "x", branch: "main", err: "there is no repository at"},
		"wrong key":     {access: with(func(a *ci.SSHAccess) { a.PrivateKey = pair.Private }), url: url, branch: "main", err: url + " does not let us in"},
		"no key":        {url: url, branch: "main", err: "the job names no SSH key"},
		"unknown host":  {access: access, url: other.URL(r.dir), branch: "main", err: fmt.Sprintf("[127.0.0.1]:%d is not among the hosts of SSH key deploy; pin its host key with `ci ssh-key hosts scan deploy", other.Port)},
		"changed host":  {access: with(func(a *ci.SSHAccess) { a.Hosts = []ci.HostKey{server.Host(t, "127.0.0.1", other.Keys[0].Key)} }), url: url, branch: "main", err: "is another one than those that are pinned"},
		"broken key":    {access: with(func(a *ci.SSHAccess) { a.PrivateKey = []byte("hunter2") }), url: url, branch: "main", err: "the private key of deploy can't be read"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			commit, file, err := planWith(t, planner(t, nil, "127.0.0.1"), c.url, c.branch, c.access)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.NotContains(t, err.Error(), "hunter2")
				require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, r.tip, commit)
			require.Equal(t, jobFile, string(file))
		})
	}
}

// A host that was looked up is reached at the address that was checked, and
// known by its name. (This one only seems public: the last step is not taken.)
func TestSSHPinsAddressAndName(t *testing.T) {
	t.Parallel()
	access := sshdtest.Start(t, "127.0.0.1").Access(t, "deploy")
	access.Hosts = []ci.HostKey{{Host: "git.example.com", Key: access.Hosts[0].Key}}
	git := filepath.Join(t.TempDir(), "git")
	require.NoError(t, os.WriteFile(git, []byte("#!/bin/sh\necho \"$GIT_SSH_COMMAND\" | grep -o \"'Host[^']*'\" | tr '\\n' ' ' >&2\nexit 1\n"), 0o755))
	s := planner(t, func(c *source.Config) {
		c.Git = git
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		}
	})
	_, _, err := planWith(t, s, "ssh://git@GIT.example.com./x.git", "main", access)
	require.ErrorContains(t, err, "'Hostname=8.8.8.8'")
	require.ErrorContains(t, err, "'HostKeyAlias=git.example.com'")
}

// While the planner looks, nothing of the private key is on the disk, and
// afterwards nothing at all; the folder may have any path.
func TestSSHKeyIsNotOnTheDisk(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	access := server.Access(t, "deploy")
	r := newRepo(t)
	for _, folder := range []string{"", strings.Repeat("a-long-name-of-a-folder/", 5), "with 'spaces' %h"} {
		dir := filepath.Join(t.TempDir(), folder)
		s := planner(t, func(c *source.Config) { c.Dir = dir }, "127.0.0.1")
		err := s.Plan(t.Context(), job(server.URL(r.dir), "ci/test.yaml"), ci.GitAccess{SSH: access}, "", "main", func(_ string, _ []byte, read source.Read) error {
			require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				text, err := os.ReadFile(path)
				require.NotContains(t, string(text), "PRIVATE KEY", path)
				return err
			}))
			_, err := read("ci/full.yaml")
			return err
		})
		require.NoError(t, err)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}

// A server that is away is asked again later; one whose key is not pinned is not.
func TestSSHUnreachable(t *testing.T) {
	t.Parallel()
	access := sshdtest.Start(t, "127.0.0.1").Access(t, "deploy")
	address, _ := porttest.Refusing(t)
	_, text, _ := net.SplitHostPort(address)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	access.Hosts = []ci.HostKey{{Host: sshkey.HostName("127.0.0.1", port), Key: access.Hosts[0].Key}}
	_, _, err = planWith(t, planner(t, nil, "127.0.0.1"), fmt.Sprintf("ssh://git@%s/x.git", address), "main", access)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "can't be reached")
}
