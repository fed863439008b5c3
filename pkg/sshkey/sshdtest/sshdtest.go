// Package sshdtest starts a real OpenSSH server for tests, with keys of its own.
package sshdtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
	"ci/pkg/porttest"
	"ci/pkg/sshkey"
)

// Server is an SSH server that lets in who is authorized, as the test's own user.
type Server struct {
	Port int
	// User is who may log in.
	User string
	// Keys are its host keys, as a known_hosts file for host 127.0.0.1 would have them.
	Keys []ci.HostKey

	authorized string
}

// Start starts one that listens on address, an address of this machine, until
// the test's end. extra lines go to its configuration.
func Start(t testing.TB, address string, extra ...string) *Server {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Fatal("sshd is needed and not installed: apt-get install openssh-server, or run make test, which does it")
	}
	if os.Getuid() == 0 {
		require.NoError(t, os.MkdirAll("/run/sshd", 0o755)) // sshd insists
	}
	me, err := user.Current()
	require.NoError(t, err)
	dir := t.TempDir()
	s := &Server{Port: porttest.Free(t, address, 1)[0], User: me.Username, authorized: filepath.Join(dir, "authorized_keys")}
	require.NoError(t, os.WriteFile(s.authorized, nil, 0o600))
	config := fmt.Sprintf("ListenAddress %s:%d\nAuthorizedKeysFile %s\n", address, s.Port, s.authorized) +
		"PidFile none\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nMaxStartups 100\nAcceptEnv GIT_PROTOCOL\n" +
		strings.Join(extra, "\n") + "\n"
	for _, kind := range []string{"ed25519", "ecdsa"} {
		file := filepath.Join(dir, kind)
		out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file).CombinedOutput()
		require.NoError(t, err, string(out))
		public, err := os.ReadFile(file + ".pub")
		require.NoError(t, err)
		s.Keys = append(s.Keys, s.Host(t, "127.0.0.1", string(public)))
		config += "HostKey " + file + "\n"
	}
	at := filepath.Join(dir, "sshd_config")
	require.NoError(t, os.WriteFile(at, []byte(config), 0o600))
	serve(t, s, address, exec.Command(program, "-D", "-e", "-f", at))
	return s
}

// Host is what known_hosts says of this server under another name, with its
// first key, or with the given one.
func (s *Server) Host(t testing.TB, host string, key ...string) ci.HostKey {
	t.Helper()
	if len(key) == 0 {
		key = []string{s.Keys[0].Key}
	}
	checked, err := sshkey.CheckHosts([]ci.HostKey{{Host: sshkey.HostName(host, s.Port), Key: key[0]}})
	require.NoError(t, err)
	return checked[0]
}

// Authorize lets the owner of a public key in.
func (s *Server) Authorize(t testing.TB, public string) {
	t.Helper()
	f, err := os.OpenFile(s.authorized, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = fmt.Fprintln(f, public)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// Access makes a key pair that the server lets in, for all of its host keys.
func (s *Server) Access(t testing.TB, name string) *ci.SSHAccess {
	t.Helper()
	pair, err := sshkey.NewPair(name)
	require.NoError(t, err)
	s.Authorize(t, pair.Public)
	return &ci.SSHAccess{Name: name, PrivateKey: pair.Private, Hosts: s.Keys}
}

// URL is the address of a path of this machine as git reaches it.
func (s *Server) URL(path string) string {
	return fmt.Sprintf("ssh://%s@127.0.0.1:%d%s", s.User, s.Port, path)
}

func serve(t testing.TB, s *Server, address string, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	if address == "0.0.0.0" {
		address = "127.0.0.1"
	}
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort(address, fmt.Sprint(s.Port)))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond, "sshd listens")
}
