package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
	"ci/pkg/sshkey"
	"ci/pkg/sshkey/sshdtest"
)

// private makes a repository with two commits that is reached over SSH alone.
func private(t *testing.T) *repository {
	t.Helper()
	r := &repository{dir: filepath.Join(t.TempDir(), "project")}
	require.NoError(t, os.Mkdir(r.dir, 0o755))
	r.git(t, "init", "--quiet", "--initial-branch=main")
	for i := range 2 {
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "file"), fmt.Appendf(nil, "private %d\n", i), 0o644))
		r.commit(t, fmt.Sprintf("commit %d", i))
	}
	return r
}

func withKey(access *ci.SSHAccess) func(*runner.Order) {
	return func(o *runner.Order) { o.SSH = access }
}

func withSubmodules(o *runner.Order) { o.Checkout.Submodules = true }

func TestCheckoutOverSSH(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	access := server.Access(t, "deploy")
	r, part := private(t), private(t)
	url := server.URL(r.dir)

	_, output, _ := play(t, order("cat file", from(url, r.shas[1], 1), withKey(access)))
	require.Contains(t, output, "private 1\n")

	// Private submodules, by an address of their own and by one that is relative.
	rel, err := filepath.Rel(r.dir, part.dir)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, ".gitmodules"), fmt.Appendf(nil,
		"[submodule \"a\"]\n\tpath = a\n\turl = %s\n[submodule \"b\"]\n\tpath = b\n\turl = %s\n", server.URL(part.dir), rel), 0o644))
	r.git(t, "update-index", "--add", "--cacheinfo", "160000,"+part.shas[0]+",a")
	r.git(t, "update-index", "--add", "--cacheinfo", "160000,"+part.shas[1]+",b")
	r.git(t, "add", ".gitmodules")
	r.git(t, "commit", "--quiet", "-m", "with submodules")
	sha := r.git(t, "rev-parse", "HEAD")
	for _, depth := range []int{0, 1} {
		_, output, _ := play(t, order("cat a/file b/file", from(url, sha, depth), withKey(access), withSubmodules))
		require.Contains(t, output, "private 0\nprivate 1\n")
	}
}

// A submodule at a host that the key is not for: nobody connects to it.
func TestSubmoduleAtAStranger(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	called := make(chan struct{}, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			called <- struct{}{}
			_ = conn.Close()
		}
	}()
	r := private(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, ".gitmodules"), fmt.Appendf(nil, "[submodule \"a\"]\n\tpath = a\n\turl = ssh://git@%s/x\n", listener.Addr()), 0o644))
	r.git(t, "update-index", "--add", "--cacheinfo", "160000,"+r.shas[0]+",a")
	r.git(t, "add", ".gitmodules")
	r.git(t, "commit", "--quiet", "-m", "with a stranger")
	_, err = common.Prepare(t.Context(), order("never", from(server.URL(r.dir), r.git(t, "rev-parse", "HEAD"), 1), withKey(server.Access(t, "deploy")), withSubmodules), io.Discard)
	require.ErrorContains(t, err, "not-a-host-of-the-ssh-key")
	select {
	case <-called:
		t.Error("the stranger was called")
	default:
	}
}

// Nothing of the key is in what belongs to the run, and the script can't use it
// unless the job file says so.
func TestCheckoutKeepsTheKey(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, "127.0.0.1")
	access := server.Access(t, "deploy")
	r := private(t)
	_, output, _ := play(t, order("env; find / -xdev -name '*ssh*' -newer /etc/hostname 2>/dev/null; ls -a /run/ci; git config -l; grep -r 'PRIVATE[ ]KEY' . /run 2>/dev/null || true", from(server.URL(r.dir), r.shas[1], 1), withKey(access)))
	require.NotContains(t, output, "SSH_AUTH_SOCK")
	require.NotContains(t, output, "PRIVATE KEY")
	require.NotContains(t, output, "ssh-agent")
}

func TestCheckoutOverSSHFails(t *testing.T) {
	t.Parallel()
	server, other := sshdtest.Start(t, "127.0.0.1"), sshdtest.Start(t, "127.0.0.1")
	access := server.Access(t, "deploy")
	r := private(t)
	stranger, err := sshkey.NewPair("stranger")
	require.NoError(t, err)
	unpinned := *access
	unpinned.Hosts = []ci.HostKey{server.Host(t, "127.0.0.1", other.Keys[0].Key)}
	tests := []struct {
		name   string
		access *ci.SSHAccess
		url    string
		says   []string
	}{
		{"a key that is not let in", &ci.SSHAccess{Name: "stranger", PrivateKey: stranger.Private, Hosts: server.Keys}, server.URL(r.dir), []string{"Permission denied", "ci ssh-key show"}},
		{"a host that is not among the key's", access, "ssh://git@localhost/x", []string{"not-a-host-of-the-ssh-key", "ci ssh-key hosts scan"}},
		{"a port that is not among the key's", access, other.URL(r.dir), []string{"not-a-host-of-the-ssh-key", "ci ssh-key hosts scan"}},
		{"a host with another key than the pinned", &unpinned, server.URL(r.dir), []string{"Host key verification failed"}},
		{"no key", nil, server.URL(r.dir), []string{"not-a-host-of-the-ssh-key", "ci ssh-key hosts scan"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var console output
			_, err := common.Prepare(t.Context(), order("echo never", from(test.url, r.shas[1], 1), withKey(test.access)), &console)
			for _, s := range test.says {
				require.ErrorContains(t, err, s, console.String())
			}
		})
	}
}

// forwarded is what the runner does for ssh: true.
func forwarded(t *testing.T, access *ci.SSHAccess, said io.Writer) func(*runner.Order) {
	t.Helper()
	agent, err := sshkey.NewAgent(*access, func(line string) { _, _ = fmt.Fprintln(said, line) })
	require.NoError(t, err)
	return func(o *runner.Order) {
		o.Spec.SSH, o.SSH = true, access
		o.Relays = append(o.Relays, runner.Relay{Network: "unix", Address: "/run/ci/ssh-agent", Serve: agent.Serve})
		o.Env = append(o.Env, "SSH_AUTH_SOCK=/run/ci/ssh-agent")
	}
}

// reachable starts a server that scripts can reach, and says under which address.
func reachable(t *testing.T) (server *sshdtest.Server, d *Driver, host string, access *ci.SSHAccess) {
	t.Helper()
	server = sshdtest.Start(t, "0.0.0.0")
	cfg := config("ssh-" + strings.ReplaceAll(t.Name(), "/", "-"))
	cfg.Reach = []uint16{uint16(server.Port)}
	d = opened(t, cfg)
	host = addresses(t)[0]
	access = server.Access(t, "deploy")
	access.Hosts = []ci.HostKey{server.Host(t, host)}
	return server, d, host, access
}

func TestScriptWithSSH(t *testing.T) {
	t.Parallel()
	server, d, host, access := reachable(t)
	r := private(t)
	login := fmt.Sprintf("ssh -p %d %s@%s", server.Port, server.User, host)
	clone := fmt.Sprintf("git clone --quiet ssh://%s@%s:%d%s copy", server.User, host, server.Port, r.dir)

	t.Run("the image's own ssh and git", func(t *testing.T) {
		t.Parallel()
		for _, user := range []string{"", "nobody"} { // whose HOME nobody could write
			var said output
			_, output, _ := playOn(t, d, order(clone+"; cat copy/file; "+login+" echo in; ssh-add -l; ls ~/.ssh 2>&1 | wc -l", forwarded(t, access, &said), asUser(user)))
			require.Contains(t, output, "private 1\nin\n256 SHA256:", said.String())
			require.Contains(t, output, "ci:deploy (ED25519)\n1\n", "and HOME is as it was")
		}
	})
	for _, ref := range []string{busyBase, bare} {
		t.Run("an image without ssh "+ref, func(t *testing.T) {
			t.Parallel()
			var said output
			exit, output, _ := playOn(t, d, order(login+" echo in", inImage(ref), forwarded(t, access, &said)))
			require.Equal(t, "in\n", output, said.String())
			require.Zero(t, exit.Code)
		})
	}
	t.Run("a host that is not pinned", func(t *testing.T) {
		t.Parallel()
		other := *access
		other.Hosts = []ci.HostKey{server.Host(t, "git.example.com")}
		var said output
		exit, output, _ := playOn(t, d, order(login+" echo in", forwarded(t, &other, &said)))
		require.NotEqual(t, "in\n", output)
		require.Contains(t, output, "Host key verification failed")
		require.Equal(t, 255, exit.Code)
		other.Hosts = []ci.HostKey{server.Host(t, host, server.Keys[1].Key)}
		// The script may believe whom it likes: the key is not used there.
		_, output, _ = playOn(t, d, order(login+" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o HostKeyAlgorithms=ssh-ed25519 echo in", forwarded(t, &other, &said)))
		require.Contains(t, output, "Permission denied")
		require.Contains(t, said.String(), "is not among the hosts of the key")
	})
}

// What a script does to its agent touches no other run, nor itself after that.
func TestAttacksOnTheAgent(t *testing.T) {
	t.Parallel()
	server, d, host, access := reachable(t)
	login := fmt.Sprintf("ssh -p %d %s@%s echo in", server.Port, server.User, host)
	var said output
	_, output, _ := playOn(t, d, order("set +e; ssh-add -D 2>&1; ssh-agent -k 2>&1; ssh-add -d /dev/null 2>&1; ssh-add -l | wc -l; "+login+
		"; grep -rl 'PRIVATE[ ]KEY' /proc/[0-9]*/environ /run /tmp /etc . 2>/dev/null; env | grep -c PRIVATE; exit 0", forwarded(t, access, &said)))
	require.Contains(t, output, "1\nin\n0\n")

	second := *access
	pair, err := sshkey.NewPair("second")
	require.NoError(t, err)
	server.Authorize(t, pair.Public)
	second.Name, second.PrivateKey = "second", pair.Private
	_, output, _ = playOn(t, d, order("ssh-add -L; "+login, forwarded(t, &second, &said)))
	require.Contains(t, output, "ci:second\nin\n")
	require.NotContains(t, output, "ci:deploy", "a run sees its own key alone")
	_, output, _ = playOn(t, d, order("set +e; echo \"[$SSH_AUTH_SOCK]\"; ls /run/ci; ssh-add -l 2>&1; exit 0"))
	require.NotContains(t, output, "SHA256")
	require.NotContains(t, output, "ssh-agent")

	// What it leaves running has no agent any more: the run is over.
	b := prepare(t, d, order("setsid sh -c 'while :; do ssh-add -l >/dev/null 2>&1; done' & exit 0", forwarded(t, access, &said)), io.Discard)
	_, err = b.Run(context.Background(), func() {}, io.Discard)
	require.NoError(t, err)
	_, inspected, err := engine.ContainerInspectWithRaw(t.Context(), b.container, false)
	require.NoError(t, err)
	require.NotContains(t, string(inspected), "PRIVATE KEY")
	require.NotContains(t, string(inspected), "ssh-agent", "the socket's place is not in the container's configuration either")
}

// Over SSH the server itself says where its LFS server is.
func TestLFSOverSSH(t *testing.T) {
	t.Parallel()
	const large = "a large file\n"
	sum := sha256.Sum256([]byte(large))
	oid := hex.EncodeToString(sum[:])
	var server *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("POST /lfs/objects/batch", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer by-ssh" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, `{"objects":[{"oid":%q,"actions":{"download":{"href":"%s/bytes"}}}]}`, oid, server.URL)
	})
	mux.HandleFunc("GET /bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) })
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)

	bin := t.TempDir()
	answer := fmt.Sprintf(`{"href":"%s/lfs/","header":{"Authorization":"Bearer by-ssh"}}`, server.URL)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "git-lfs-authenticate"), []byte("#!/bin/sh\n[ \"$2\" = download ] && [ -d \"/$1\" ] && echo '"+answer+"'\n"), 0o755))
	ssh := sshdtest.Start(t, "127.0.0.1", "SetEnv PATH="+bin+":"+os.Getenv("PATH"))
	r := private(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, ".gitattributes"), []byte("*.bin filter=lfs\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "a.bin"), fmt.Appendf(nil, "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", oid, len(large)), 0o644))
	r.commit(t, "with LFS")
	_, output, _ := play(t, order("cat a.bin", from(ssh.URL(r.dir), r.shas[2], 1), withKey(ssh.Access(t, "deploy"))))
	require.Contains(t, output, large)
}
