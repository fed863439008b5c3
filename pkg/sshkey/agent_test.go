package sshkey_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ci/pkg/ci"
	"ci/pkg/sshkey"
	"ci/pkg/sshkey/sshdtest"
)

// served is an agent behind a socket, with what it has said.
type served struct {
	socket string
	mu     sync.Mutex
	lines  []string
}

func serve(t *testing.T, access *ci.SSHAccess) *served {
	t.Helper()
	s := &served{socket: filepath.Join(t.TempDir(), "agent")}
	a, err := sshkey.NewAgent(*access, func(line string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lines = append(s.lines, line)
	})
	require.NoError(t, err)
	l, err := net.Listen("unix", s.socket)
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
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		work.Wait()
	})
	return s
}

func (s *served) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// run runs one of OpenSSH's programs with the agent.
func (s *served) run(program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SSH_AUTH_SOCK=" + s.socket, "HOME=/nonexistent"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// login runs a command on a server by the real ssh.
func (s *served) login(t *testing.T, to *sshdtest.Server, options ...string) (string, error) {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	require.NoError(t, os.WriteFile(hosts, sshkey.KnownHosts(to.Keys), 0o600))
	args := []string{"-F", "none", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + hosts, "-p", fmt.Sprint(to.Port)}
	args = append(append(args, options...), to.User+"@127.0.0.1", "echo logged in")
	return s.run("ssh", args...)
}

func TestLogin(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	access := server.Access(t, "deploy")
	agent := serve(t, access)
	for _, key := range []string{"ssh-ed25519", "ecdsa-sha2-nistp256"} {
		out, err := agent.login(t, server, "-o", "HostKeyAlgorithms="+key)
		require.NoError(t, err, out)
		require.Equal(t, "logged in\n", out)
	}
	require.Empty(t, agent.said())

	elsewhere := *access
	elsewhere.Hosts = server.Keys[1:]
	other := serve(t, &elsewhere)
	_, err := other.login(t, server, "-o", "HostKeyAlgorithms=ssh-ed25519")
	require.Error(t, err)
	require.Contains(t, other.said(), "a server with the host key "+server.Keys[0].Fingerprint+" is not among the hosts of the key")
}

// With the agent forwarded, the machine in between could log in by it as well.
func TestForwardingIsRefused(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	agent := serve(t, server.Access(t, "deploy"))
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	require.NoError(t, os.WriteFile(hosts, sshkey.KnownHosts(server.Keys), 0o644))
	onward := fmt.Sprintf("ssh -F none -o BatchMode=yes -o UserKnownHostsFile=%s -p %d %s@127.0.0.1 echo onward", hosts, server.Port, server.User)
	out, err := agent.run("ssh", "-A", "-F", "none", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile="+hosts, "-p", fmt.Sprint(server.Port), server.User+"@127.0.0.1", "echo first; "+onward)
	require.Error(t, err, out)
	require.Contains(t, out, "first\n")
	require.NotContains(t, out, "onward\n")
	require.Contains(t, agent.said(), "the key may not be forwarded")
}

// What callers can ask for beside a log-in does nothing, to them or to others.
func TestNothingElse(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	a := serve(t, server.Access(t, "deploy"))
	conn, err := net.Dial("unix", a.socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	client := agent.NewClient(conn)
	keys, err := client.List()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.Equal(t, "ci:deploy", keys[0].Comment)
	require.Error(t, client.RemoveAll())
	require.Error(t, client.Remove(keys[0]))
	require.Error(t, client.Lock([]byte("x")))
	require.Error(t, client.Add(agent.AddedKey{PrivateKey: mustPrivate(t)}))
	for _, data := range [][]byte{[]byte("anything"), nil, bytes.Repeat([]byte{0}, 1000)} {
		_, err = client.Sign(keys[0], data)
		require.Error(t, err)
	}
	require.Contains(t, a.said(), "asked to sign something else")

	for _, args := range [][]string{{"ssh-add", "-D"}, {"ssh-add", "-d", "/dev/null"}} {
		out, err := a.run(args[0], args[1:]...)
		require.Error(t, err, out)
	}
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("a commit"), 0o600))
	public := filepath.Join(t.TempDir(), "key.pub")
	require.NoError(t, os.WriteFile(public, ssh.MarshalAuthorizedKey(keys[0]), 0o600))
	out, err := a.run("ssh-keygen", "-Y", "sign", "-n", "git", "-f", public, text)
	require.Error(t, err, out)

	out, err = a.login(t, server)
	require.NoError(t, err, "the agent serves on: "+out)
}

// A client that does not say where it logs in gets no signature, and the console says why.
func TestUnbound(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	a := serve(t, server.Access(t, "deploy"))
	conn, err := net.Dial("unix", a.socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = ssh.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port), &ssh.ClientConfig{
		User: server.User, Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(agent.NewClient(conn).Signers)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	require.Error(t, err)
	require.Contains(t, a.said(), "did not say which server it logs in to")
}

// Bindings that prove nothing bind nothing.
func TestForgedBinding(t *testing.T) {
	t.Parallel()
	hostSigner, evilSigner := mustSigner(t), mustSigner(t)
	pair, err := sshkey.NewPair("deploy")
	require.NoError(t, err)
	access := &ci.SSHAccess{Name: "deploy", PrivateKey: pair.Private, Hosts: []ci.HostKey{{Host: "h", Key: string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(hostSigner.PublicKey())))}}}
	own, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pair.Public))
	require.NoError(t, err)
	session := bytes.Repeat([]byte{7}, 32)

	type binding struct {
		key     ssh.PublicKey
		by      ssh.Signer
		session []byte
		forward bool
	}
	pinned := binding{hostSigner.PublicKey(), hostSigner, session, false}
	tests := []struct {
		name    string
		binds   []binding
		session []byte
		service string
		method  string
		bound   ssh.PublicKey
		signed  bool
	}{
		{"a log-in", []binding{pinned}, session, "ssh-connection", "publickey", nil, true},
		{"a log-in that names its host", []binding{pinned}, session, "ssh-connection", "publickey-hostbound-v00@openssh.com", hostSigner.PublicKey(), true},
		{"unbound", nil, session, "ssh-connection", "publickey", nil, false},
		{"by another's signature", []binding{{hostSigner.PublicKey(), evilSigner, session, false}}, session, "ssh-connection", "publickey", nil, false},
		{"to a host that is not pinned", []binding{{evilSigner.PublicKey(), evilSigner, session, false}}, session, "ssh-connection", "publickey", nil, false},
		{"another session", []binding{pinned}, bytes.Repeat([]byte{8}, 32), "ssh-connection", "publickey", nil, false},
		{"forwarded", []binding{{hostSigner.PublicKey(), hostSigner, session, true}}, session, "ssh-connection", "publickey", nil, false},
		{"bound twice", []binding{pinned, pinned}, session, "ssh-connection", "publickey", nil, false},
		{"another service", []binding{pinned}, session, "ssh-userauth", "publickey", nil, false},
		{"another method", []binding{pinned}, session, "ssh-connection", "hostbased", nil, false},
		{"names another host", []binding{pinned}, session, "ssh-connection", "publickey-hostbound-v00@openssh.com", evilSigner.PublicKey(), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, access)
			conn, err := net.Dial("unix", a.socket)
			require.NoError(t, err)
			defer conn.Close()
			client := agent.NewClient(conn)
			for _, b := range test.binds {
				proof, err := b.by.Sign(rand.Reader, b.session)
				require.NoError(t, err)
				_, _ = client.Extension("session-bind@openssh.com", ssh.Marshal(struct {
					Key, Session, Signature []byte
					Forwarding              bool
				}{b.key.Marshal(), b.session, ssh.Marshal(proof), b.forward}))
			}
			data := ssh.Marshal(struct {
				Session               []byte
				Type                  byte
				User, Service, Method string
				Signed                bool
				Algorithm             string
				Key                   []byte
			}{test.session, 50, "git", test.service, test.method, true, own.Type(), own.Marshal()})
			if test.bound != nil {
				data = append(data, ssh.Marshal(struct{ Key []byte }{test.bound.Marshal()})...)
			}
			signature, err := client.Sign(own, data)
			if !test.signed {
				require.Error(t, err)
				require.NotEmpty(t, a.said())
				return
			}
			require.NoError(t, err)
			require.NoError(t, own.Verify(data, signature))
		})
	}
}

func mustSigner(t *testing.T) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(mustPrivate(t))
	require.NoError(t, err)
	return s
}

func mustPrivate(t *testing.T) any {
	t.Helper()
	pair, err := sshkey.NewPair("x")
	require.NoError(t, err)
	key, err := ssh.ParseRawPrivateKey(pair.Private)
	require.NoError(t, err)
	return key
}

// Whatever comes in, the agent answers or hangs up.
func FuzzAgent(f *testing.F) {
	pair, err := sshkey.NewPair("x")
	require.NoError(f, err)
	a, err := sshkey.NewAgent(ci.SSHAccess{Name: "x", PrivateKey: pair.Private}, nil)
	require.NoError(f, err)
	f.Add([]byte{0, 0, 0, 1, 11})
	f.Add([]byte{0, 0, 0, 5, 13, 0, 0, 0, 0})
	f.Add(append([]byte{0, 0, 0, 29, 27, 0, 0, 0, 24}, "session-bind@openssh.com"...))
	f.Fuzz(func(t *testing.T, input []byte) {
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); a.Serve(context.Background(), there) }()
		go func() { _, _ = here.Write(input); _ = here.Close() }()
		_, _ = bytes.NewBuffer(nil).ReadFrom(here)
		<-done
	})
}
