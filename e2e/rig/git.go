package rig

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Git serves the repositories of a folder over http on 127.0.0.1, by git's own
// http-backend. It can be switched off and on again at the same address, and it
// can hold its answers back.
type Git struct {
	Dir    string
	Host   string // host:port
	server *http.Server
	done   chan struct{}

	mu   sync.Mutex
	held chan struct{} // requests wait for its end; nil lets them pass
}

// NewGit serves what is, or will be, in dir.
func NewGit(dir string) (*Git, error) {
	g := &Git{Dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return g, g.On("127.0.0.1:0")
}

// On listens on an address.
func (g *Git) On(addr string) error {
	folder, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return fmt.Errorf("git --exec-path: %w", err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	g.Host = l.Addr().String()
	g.done = make(chan struct{})
	backend := &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(folder)), "git-http-backend"),
		Env:    append(GitEnv(), "GIT_PROJECT_ROOT="+g.Dir, "GIT_HTTP_EXPORT_ALL=1"),
		Stderr: io.Discard, // a client that leaves in the middle is no news
	}
	g.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.pass(r.Context())
		backend.ServeHTTP(w, r)
	})}
	go func(s *http.Server, done chan struct{}) {
		defer close(done)
		_ = s.Serve(l) // ends with Close
	}(g.server, g.done)
	return nil
}

// Hold makes every request from now on wait, until Release.
func (g *Git) Hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		g.held = make(chan struct{})
	}
}

// Release answers what was held.
func (g *Git) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != nil {
		close(g.held)
		g.held = nil
	}
}

func (g *Git) pass(ctx context.Context) {
	g.mu.Lock()
	held := g.held
	g.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case <-held:
	case <-ctx.Done():
	}
}

// Off stops listening, and cuts what is under way.
func (g *Git) Off() error {
	err := g.server.Close()
	<-g.done
	return err
}

// URL is a repository's.
func (g *Git) URL(repo string) string { return "http://" + g.Host + "/" + repo + ".git" }

// GitEnv keeps the user's own git settings out, and gives commits an author.
func GitEnv() []string {
	return []string{
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=e2e", "GIT_AUTHOR_EMAIL=e2e@localhost", "GIT_COMMITTER_NAME=e2e", "GIT_COMMITTER_EMAIL=e2e@localhost",
	}
}

// Git runs git in a folder.
func git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), GitEnv()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// Init makes an empty repository that fetches of single commits and files are served from.
func (g *Git) Init(repo string) error {
	dir := filepath.Join(g.Dir, repo+".git")
	if _, err := git("", "init", "-q", "--bare", "-b", "main", dir); err != nil {
		return err
	}
	for _, c := range []string{"uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"} {
		if _, err := git(dir, "config", c, "true"); err != nil {
			return err
		}
	}
	return nil
}

// Commit makes the folder tree the content of a new commit on a branch, and
// returns its id.
func (g *Git) Commit(repo, branch, tree string) (string, error) {
	dir, err := os.MkdirTemp("", "e2e-commit-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	bare := filepath.Join(g.Dir, repo+".git")
	index := []string{"--git-dir", bare, "--work-tree", tree}
	run := func(args ...string) (out string, err error) {
		cmd := exec.Command("git", append(index, args...)...)
		cmd.Env = append(append(os.Environ(), GitEnv()...), "GIT_INDEX_FILE="+filepath.Join(dir, "index"))
		b, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, b)
		}
		return strings.TrimSpace(string(b)), err
	}
	if _, err := run("add", "-A", "."); err != nil {
		return "", err
	}
	written, err := run("write-tree")
	if err != nil {
		return "", err
	}
	commit := []string{"commit-tree", "-m", "a commit", written}
	if parent, err := git(bare, "rev-parse", "-q", "--verify", "refs/heads/"+branch); err == nil {
		commit = append(commit, "-p", parent)
	}
	sha, err := run(commit...)
	if err != nil {
		return "", err
	}
	_, err = git(bare, "update-ref", "refs/heads/"+branch, sha)
	return sha, err
}
