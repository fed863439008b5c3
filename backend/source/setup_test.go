package source_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/source"
	"ci/pkg/ci"
)

// repo is a bare repository that servers show, with what is in it.
type repo struct {
	t    *testing.T
	dir  string // <root>/project.git
	root string
	// tip is main's commit, old its parent.
	tip, old string
}

const jobFile = "script: make test\n"

// newRepo makes a repository of three commits with files of all kinds.
func newRepo(t *testing.T) *repo {
	t.Helper()
	r := &repo{t: t, root: t.TempDir()}
	r.dir = filepath.Join(r.root, "project.git")
	r.git("init", "--quiet", "--bare", "-b", "main", r.dir)
	work := filepath.Join(r.root, "work")
	write := func(name string, data []byte) {
		path := filepath.Join(work, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	commit := func(message string) string {
		r.git("--git-dir", r.dir, "--work-tree", work, "add", "-A")
		r.git("--git-dir", r.dir, "--work-tree", work, "commit", "--quiet", "-m", message)
		return r.git("--git-dir", r.dir, "rev-parse", "HEAD")
	}
	noise := make([]byte, 4<<20)
	_, _ = rand.Read(noise)
	write("assets/video.bin", noise)
	write("ci/test.yaml", []byte("script: old\n"))
	r.old = commit("old")
	write("ci/test.yaml", []byte(jobFile))
	write("ci/größe 'a b'.yaml", []byte("script: odd\n"))
	write("ci/[glob]*.yaml", []byte("script: glob\n"))
	write("ci/full.yaml", bytes.Repeat([]byte("#"), source.MaxFile))
	write("ci/over.yaml", bytes.Repeat([]byte("#"), source.MaxFile+1))
	require.NoError(t, os.Symlink("test.yaml", filepath.Join(work, "ci/link.yaml")))
	require.NoError(t, os.Symlink("ci", filepath.Join(work, "linked")))
	r.tip = commit("tip")
	r.git("--git-dir", r.dir, "tag", "-a", "-m", "v1", "v1")
	return r
}

// git runs git where no configuration of this machine counts.
func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.root, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
	}
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, string(out))
	return strings.TrimSpace(string(out))
}

func (r *repo) set(key, value string) { r.git("--git-dir", r.dir, "config", key, value) }

// web serves repositories as smart HTTP, and counts.
type web struct {
	*httptest.Server
	requests, bytes atomic.Int64
}

// serve starts a server. wrap may stand before git's own handler.
func (r *repo) serve(wrap func(http.Handler) http.Handler) *web {
	r.t.Helper()
	execPath := r.git("--exec-path")
	var h http.Handler = &cgi.Handler{
		Path: filepath.Join(execPath, "git-http-backend"),
		Env: []string{
			"GIT_PROJECT_ROOT=" + r.root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "HOME=" + r.root,
		},
		Stderr: io.Discard,
		Logger: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	if wrap != nil {
		h = wrap(h)
	}
	w := &web{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		w.requests.Add(1)
		h.ServeHTTP(counter{rw, &w.bytes}, req)
	}))
	r.t.Cleanup(w.Close)
	return w
}

func (w *web) url() string  { return w.URL + "/project.git" }
func (w *web) host() string { return strings.TrimPrefix(w.URL, "http://") }

type counter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.ResponseWriter.Write(p)
}

// planner is a Source with a folder of its own, which must be empty in the end.
func planner(t *testing.T, change func(*source.Config), allow ...string) *source.Source {
	t.Helper()
	dir := t.TempDir()
	cfg := source.Config{Allow: allow, Dir: dir}
	if change != nil {
		change(&cfg)
	}
	s, err := source.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left, "temporary repositories are gone")
	})
	return s
}

func job(url, path string) ci.Git { return ci.Git{URL: url, ConfigPath: path} }

// daemon starts a server program that listens on a port, and stops it after the test.
func daemon(t *testing.T, port int, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // git daemon is two processes
	cmd.WaitDelay = time.Second
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
}

// plan returns the commit and the job file that s finds.
func plan(ctx context.Context, s *source.Source, git ci.Git, sha, branch string) (commit string, file []byte, err error) {
	err = s.Plan(ctx, git, ci.GitAccess{}, sha, branch, func(c string, f []byte, _ source.Read) error {
		commit, file = c, f
		return nil
	})
	return commit, file, err
}
