package ssh

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
	"ci/pkg/sshkey"
	"ci/pkg/sshkey/sshdtest"
)

// The test's own binary is ssh when it is asked to be.
func TestMain(m *testing.M) {
	if os.Getenv("CI_TEST_BE_SSH") != "" {
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// client is our ssh with a key that a real server lets in.
type client struct {
	server  *sshdtest.Server
	program string
	env     []string
	hosts   string
}

func setup(t *testing.T) *client {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	c := &client{server: sshdtest.Start(t, "127.0.0.1"), program: filepath.Join(dir, "ssh"), hosts: filepath.Join(dir, ".ssh", "known_hosts")}
	require.NoError(t, os.Symlink(self, c.program))
	socket := filepath.Join(dir, "agent")
	serveAgent(t, socket, *c.server.Access(t, "deploy"))
	require.NoError(t, os.Mkdir(filepath.Dir(c.hosts), 0o700))
	c.know(t, c.server.Keys...)
	c.env = []string{"CI_TEST_BE_SSH=1", "PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "USER=nobody", "SSH_AUTH_SOCK=" + socket, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}
	return c
}

func serveAgent(t *testing.T, socket string, access ci.SSHAccess) {
	t.Helper()
	a, err := sshkey.NewAgent(access, nil)
	require.NoError(t, err)
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { a.Serve(ctx, conn) })
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); work.Wait() })
}

func (c *client) know(t *testing.T, hosts ...ci.HostKey) {
	t.Helper()
	require.NoError(t, os.WriteFile(c.hosts, sshkey.KnownHosts(hosts), 0o600))
}

// to is how the server is reached.
func (c *client) to(args ...string) []string {
	return append([]string{"-p", fmt.Sprint(c.server.Port), c.server.User + "@127.0.0.1"}, args...)
}

// run returns what a program prints and how it ended.
func (c *client) run(program, stdin string, args ...string) (out, errs string, code int) {
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdin = c.env, strings.NewReader(stdin)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	_ = cmd.Run()
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func TestCommand(t *testing.T) {
	t.Parallel()
	c := setup(t)
	out, errs, code := c.run(c.program, "input", c.to("cat; echo out; echo err >&2; exit 7")...)
	require.Equal(t, "inputout\n", out, errs)
	require.Equal(t, "err\n", errs)
	require.Equal(t, 7, code)

	out, errs, _ = c.run(c.program, "", c.to("echo", "two  words", "$((1+1))")...)
	require.Equal(t, "two words 2\n", out, errs)
	_, errs, code = c.run(c.program, "", c.to("kill -9 $$")...)
	require.Equal(t, failed, code)
	require.Contains(t, errs, "SIGKILL")
	big := strings.Repeat("x", 4<<20)
	out, errs, _ = c.run(c.program, big, c.to("cat")...)
	require.Equal(t, len(big), len(out), errs)
}

func TestHostsAreChecked(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, key := range c.server.Keys { // the server has both; one that is known is enough
		c.know(t, key)
		out, errs, _ := c.run(c.program, "", c.to("echo in")...)
		require.Equal(t, "in\n", out, errs)
	}
	c.know(t)
	_, errs, code := c.run(c.program, "", c.to("echo in")...)
	require.Equal(t, failed, code)
	require.Contains(t, errs, "Host key verification failed.")
	other := sshdtest.Start(t, "127.0.0.1")
	c.know(t, c.server.Host(t, "127.0.0.1", other.Keys[0].Key))
	_, errs, _ = c.run(c.program, "", append([]string{"-o", "StrictHostKeyChecking=no"}, c.to("echo in")...)...)
	require.Contains(t, errs, "Host key verification failed.")
}

func TestGit(t *testing.T) {
	t.Parallel()
	c := setup(t)
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	for _, args := range [][]string{
		{"init", "--quiet", "-b", "main", from},
		{"-C", from, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "hello"},
		{"clone", "--quiet", fmt.Sprintf("ssh://%s@127.0.0.1:%d%s", c.server.User, c.server.Port, from), filepath.Join(dir, "to")},
	} {
		out, errs, code := c.run("git", "", args...)
		require.Zero(t, code, out+errs)
	}
	out, errs, _ := c.run("git", "", "-C", filepath.Join(dir, "to"), "log", "--format=%s")
	require.Equal(t, "hello\n", out, errs)
}

func TestNoWayIn(t *testing.T) {
	t.Parallel()
	c := setup(t)
	tests := []struct {
		name string
		args []string
		says string
	}{
		{"no agent", append([]string{"-o", "IdentityAgent=none"}, c.to("x")...), "there is no SSH agent"},
		{"agent away", append([]string{"-o", "IdentityAgent=/nowhere"}, c.to("x")...), "the SSH agent can't be reached"},

		{"a stranger is not even called", []string{"-p", "1", "127.0.0.1", "x"}, "Host key verification failed."},
		{"no host", []string{"-p", "1"}, "usage: ssh"},
		{"a tunnel", c.to("-L", "1:2:3", "x"), "does not know -L; it stands in because the image has no ssh"},
		{"forwarding", append([]string{"-o", "ForwardAgent=yes"}, c.to("x")...), "forwards nothing"},
		{"an option", append([]string{"-o", "ProxyCommand=id"}, c.to("x")...), "does not know the option proxycommand"},
		{"a port", []string{"-p", "x", "h"}, `"x" is not a port`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, errs, code := c.run(c.program, "", test.args...)
			require.Equal(t, failed, code)
			require.Contains(t, errs, test.says)
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args string
		want options
	}{
		{"host", options{host: "host", port: 22}},
		{"-p2222 -l me host ls -l", options{host: "host", port: 2222, user: "me", command: "ls -l"}},
		{"me@host -p 23 -- ls -- x", options{host: "host", port: 23, user: "me", command: ""}},
		{"-o Port=24 -oUser=you -Tn [::1] id", options{host: "::1", port: 24, user: "you", command: "id", noStdin: true}},
		{"ssh://me@host:25/ id", options{host: "host", port: 25, user: "me", command: "id"}},
		{"-o ConnectTimeout=3 host", options{host: "host", port: 22, timeout: 3 * time.Second}},
	}
	for _, test := range tests {
		got, err := parse(strings.Fields(test.args))
		require.NoError(t, err, test.args)
		require.Equal(t, test.want.host, got.host, test.args)
		require.Equal(t, test.want.port, got.port, test.args)
		if test.want.user != "" {
			require.Equal(t, test.want.user, got.user, test.args)
		}
		if test.want.command != "" {
			require.Equal(t, test.want.command, got.command, test.args)
		}
		require.Equal(t, test.want.noStdin, got.noStdin, test.args)
		if test.want.timeout != 0 {
			require.Equal(t, test.want.timeout, got.timeout)
		}
	}
}
