package source_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/source"
	"ci/pkg/ci"
)

// sshd starts a real server on the loopback with keys of its own.
func sshd(t *testing.T) (port int, knownHosts, identity string) {
	t.Helper()
	program := "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Fatal("sshd is needed and not installed: apt-get install openssh-server, or run make test, which does it")
	}
	if os.Getuid() == 0 {
		require.NoError(t, os.MkdirAll("/run/sshd", 0o755)) // sshd insists
	}
	dir := t.TempDir()
	key := func(name string) string {
		file := filepath.Join(dir, name)
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput()
		require.NoError(t, err, string(out))
		return file
	}
	host, identity := key("host"), key("identity")
	port = freePort(t)
	public, err := os.ReadFile(host + ".pub")
	require.NoError(t, err)
	knownHosts = filepath.Join(dir, "known_hosts")
	require.NoError(t, os.WriteFile(knownHosts, fmt.Appendf(nil, "[127.0.0.1]:%d %s", port, public), 0o600))
	config := filepath.Join(dir, "sshd_config")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil,
		"ListenAddress 127.0.0.1:%d\nHostKey %s\nAuthorizedKeysFile %s.pub\nPidFile none\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nMaxStartups 100\n",
		port, host, identity), 0o600))
	daemon(t, port, program, "-D", "-e", "-f", config)
	return port, knownHosts, identity
}

func TestSSH(t *testing.T) {
	t.Parallel()
	port, knownHosts, identity := sshd(t)
	r := newRepo(t)
	me, err := user.Current()
	require.NoError(t, err)
	url := fmt.Sprintf("ssh://%s@127.0.0.1:%d%s", me.Username, port, r.dir)
	nobody := filepath.Join(t.TempDir(), "identity")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", nobody).CombinedOutput()
	require.NoError(t, err, string(out))

	cases := map[string]struct {
		hosts, key, url, branch string
		err                     string
	}{
		"fine":          {hosts: knownHosts, key: identity, url: url, branch: "main"},
		"no branch":     {hosts: knownHosts, key: identity, url: url, branch: "nope", err: "branch nope does not exist in " + url},
		"no repository": {hosts: knownHosts, key: identity, url: url + "x", branch: "main", err: "there is no repository at"},
		"wrong key":     {hosts: knownHosts, key: nobody, url: url, branch: "main", err: url + " does not let us in"},
		"unknown host":  {hosts: "/dev/null", key: identity, url: url, branch: "main", err: "the host key of " + url + " is not known"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := planner(t, func(cfg *source.Config) { cfg.KnownHosts, cfg.Identity = c.hosts, c.key }, "127.0.0.1")
			commit, file, err := plan(t.Context(), s, job(c.url, "ci/test.yaml"), "", c.branch)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, r.tip, commit)
			require.Equal(t, jobFile, string(file))
		})
	}
}
