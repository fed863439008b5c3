package docker

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// repository is a git repository behind a real git daemon on the loopback address.
type repository struct {
	dir  string
	url  string
	shas []string // oldest first
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	root := t.TempDir()
	r := &repository{dir: filepath.Join(root, "project")}
	require.NoError(t, os.Mkdir(r.dir, 0o755))
	r.git(t, "init", "--quiet", "--initial-branch=main")
	for i := range 3 {
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "file"), fmt.Appendf(nil, "version %d\n", i), 0o644))
		r.commit(t, fmt.Sprintf("commit %d", i))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())
	daemon := exec.Command("/usr/lib/git-core/git-daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", fmt.Sprintf("--port=%d", port), "--base-path="+root)
	daemon.Env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	require.NoError(t, daemon.Start())
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	r.url = fmt.Sprintf("git://127.0.0.1:%d/project", port)
	eventually(t, func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, "git daemon")
	return r
}

func (r *repository) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return strings.TrimSpace(string(out))
}

func (r *repository) commit(t *testing.T, message string) {
	t.Helper()
	r.git(t, "add", "--all")
	r.git(t, "commit", "--quiet", "-m", message)
	r.shas = append(r.shas, r.git(t, "rev-parse", "HEAD"))
}

func from(url, sha string, depth int) func(*runner.Order) {
	return func(o *runner.Order) { o.Checkout = &runner.Checkout{URL: url, CommitSHA: sha, Depth: depth} }
}

func TestCheckout(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	const look = `cat file; git rev-parse HEAD; git for-each-ref | wc -l; git cat-file --batch-all-objects --batch-check='%(objecttype)' | grep -c commit; git status --short; stat -c %U .git file; git config remote.origin.url`
	tests := []struct {
		name  string
		order runner.Order
		want  string
	}{
		{"the newest", order(look, from(r.url, r.shas[2], 1)), "version 2\n" + r.shas[2] + "\n0\n1\nroot\nroot\n" + r.url + "\n"},
		{"an older one", order(look, from(r.url, r.shas[1], 1)), "version 1\n" + r.shas[1] + "\n0\n1\nroot\nroot\n" + r.url + "\n"},
		{"two commits", order(look, from(r.url, r.shas[2], 2)), "version 2\n" + r.shas[2] + "\n0\n2\nroot\nroot\n" + r.url + "\n"},
		{"all history", order(look, from(r.url, r.shas[2], 0)), "version 2\n" + r.shas[2] + "\n0\n3\nroot\nroot\n" + r.url + "\n"},
		{"another user", order(look, from(r.url, r.shas[2], 1), asUser("nobody")), "version 2\n" + r.shas[2] + "\n0\n1\nnobody\nnobody\n" + r.url + "\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			exit, output, _ := play(t, test.order)
			require.Contains(t, output, test.want)
			require.Zero(t, exit.Code)
		})
	}
}

func TestCheckoutFails(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	missing := strings.Repeat("0123456789", 4)
	tests := []struct {
		name, url, sha string
		code           ci.Code
		says           []string
	}{
		{"no such commit", r.url, missing, ci.CodeInvalid, []string{missing, r.url, "not our ref"}},
		{"no such repository", r.url + "-not", r.shas[0], ci.CodeUnavailable, []string{"git could not fetch"}},
		{"nobody there", "git://127.0.0.1:1/x", r.shas[0], ci.CodeUnavailable, []string{"git could not fetch", "refused"}},
		{"a command", "ext::sh -c id", r.shas[0], ci.CodeUnavailable, []string{"'ext' not allowed"}},
		{"a file", "file:///etc", r.shas[0], ci.CodeUnavailable, []string{"'file' not allowed"}},
		{"an option", "--upload-pack=id", r.shas[0], ci.CodeUnavailable, []string{"git could not fetch"}},
		{"no key", "ssh://git@127.0.0.1:1/x", r.shas[0], ci.CodeUnavailable, []string{"git could not fetch"}},
		{"no commit id", r.url, "main", ci.CodeInvalid, []string{"not a full commit id"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var console output
			o := order("echo never", from(test.url, test.sha, 1))
			_, err := common.Prepare(t.Context(), o, &console)
			require.Error(t, err)
			for _, s := range test.says {
				require.ErrorContains(t, err, s)
			}
			require.Equal(t, test.code, ci.CodeOf(err))
			for _, left := range objects(t, common) {
				run, ok := left.run()
				require.False(t, ok && run == o.Run, "left behind: %s", left.name)
			}
		})
	}
}

// A server of plain files gives out no single commits.
func TestCheckoutFromAServerThatRefusesCommits(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.git(t, "update-server-info")
	files := httptest.NewServer(http.FileServer(http.Dir(r.dir)))
	t.Cleanup(files.Close)
	url := files.URL + "/.git"
	const look = "cat file; git rev-parse HEAD; git for-each-ref | wc -l"
	_, output, _ := play(t, order(look, from(url, r.shas[1], 1)))
	require.Contains(t, output, "version 1\n"+r.shas[1]+"\n0\n")
	_, err := common.Prepare(t.Context(), order(look, from(url, strings.Repeat("ab", 20), 1)), io.Discard)
	require.ErrorContains(t, err, "is on no branch of "+url)
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
}

// A repository with files in Git LFS, from a server that has no LFS.
func TestCheckoutWithoutLFS(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	pointer := "version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("0", 64) + "\nsize 5\n"
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "large.bin"), []byte(pointer), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, ".gitattributes"), []byte("*.bin filter=lfs\n"), 0o644))
	r.commit(t, "with LFS")
	exit, output, _ := play(t, order("cat large.bin", from(r.url, r.shas[3], 1)))
	require.Contains(t, output, "its files stay pointers.\n")
	require.Contains(t, output, pointer)
	require.Zero(t, exit.Code)
}

func TestCheckoutFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.git(t, "update-server-info")
	files := httptest.NewServer(http.FileServer(http.Dir(r.dir)))
	t.Cleanup(files.Close)
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, files.URL+"/.git"+strings.TrimPrefix(q.URL.Path, "/old")+"?"+q.URL.RawQuery, http.StatusMovedPermanently)
	}))
	t.Cleanup(moved.Close)
	_, err := common.Prepare(t.Context(), order("", from(moved.URL+"/old", r.shas[0], 1)), io.Discard)
	require.ErrorContains(t, err, "git could not fetch")
}

func TestSubmodules(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	modules := func(url string) *repository {
		r.git(t, "-c", "protocol.git.allow=always", "submodule", "--quiet", "add", "--force", "--name", "part", r.url, "part")
		r.git(t, "config", "--file", ".gitmodules", "submodule.part.url", url)
		r.commit(t, "with a submodule at "+url)
		return r
	}
	with := func(o *runner.Order) { o.Checkout.Submodules = true }
	good := modules(r.url).shas[3]
	_, output, _ := play(t, order("cat part/file", from(r.url, good, 1), with))
	require.Contains(t, output, "version 2\n")
	_, output, _ = play(t, order("ls part | wc -l", from(r.url, good, 1)))
	require.Contains(t, output, "0\n", "nobody asked for it")

	r.git(t, "config", "--file", ".gitmodules", "submodule.part.url", "file:///workspace/.git")
	r.commit(t, "a file")
	_, err := common.Prepare(t.Context(), order("", from(r.url, r.shas[4], 1), with), io.Discard)
	require.ErrorContains(t, err, "'file' not allowed")
}

func TestCheckoutKeepsNoPassword(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	secret := strings.Replace(r.url, "git://", "git://me:hunter2@", 1)
	_, err := common.Prepare(t.Context(), order("", from(secret, r.shas[0], 1)), io.Discard)
	require.Error(t, err, "git:// itself takes no users: the host is not found")
	require.NotContains(t, err.Error(), "hunter2")
}
