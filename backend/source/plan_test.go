package source_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/source"
	"ci/pkg/ci"
	"ci/pkg/porttest"
)

const nowhere = "0123456789012345678901234567890123456789"

func TestPlan(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.git("--git-dir", r.dir, "update-ref", "refs/heads/$(id)", r.old)
	r.git("--git-dir", r.dir, "update-ref", "refs/heads/a;b", r.old)
	r.git("--git-dir", r.dir, "update-ref", "refs/heads/feature/ünï", r.old)
	r.git("--git-dir", r.dir, "update-ref", "refs/heads/nope/main", r.old)
	r.set("uploadpack.allowFilter", "true")
	filtering := r.serve(nil)

	oldProtocol := r.serve(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			req.Header.Del("Git-Protocol")
			h.ServeHTTP(w, req)
		})
	})
	port := porttest.Free(t, "127.0.0.1", 1)[0]
	daemon(t, port, "git", "daemon", "--listen=127.0.0.1", "--reuseaddr", "--export-all", "--base-path="+r.root, fmt.Sprintf("--port=%d", port))

	servers := map[string]struct{ url, host string }{
		"http":                  {filtering.url(), filtering.host()},
		"http, protocol of old": {oldProtocol.url(), oldProtocol.host()},
		"git":                   {fmt.Sprintf("git://127.0.0.1:%d/project.git", port), fmt.Sprintf("127.0.0.1:%d", port)},
	}
	cases := map[string]struct {
		sha, branch, path string
		commit, file      string
		err               string // URL stands for the URL
	}{
		"branch":          {branch: "main", commit: r.tip, file: jobFile},
		"default branch":  {commit: r.tip, file: jobFile},
		"commit":          {sha: r.tip, commit: r.tip, file: jobFile},
		"old commit":      {sha: r.old, commit: r.old, file: "script: old\n"},
		"shell branch":    {branch: "$(id)", commit: r.old, file: "script: old\n"},
		"semicolon":       {branch: "a;b", commit: r.old, file: "script: old\n"},
		"unicode branch":  {branch: "feature/ünï", commit: r.old, file: "script: old\n"},
		"odd path":        {branch: "main", path: "ci/größe 'a b'.yaml", commit: r.tip, file: "script: odd\n"},
		"glob path":       {branch: "main", path: "ci/[glob]*.yaml", commit: r.tip, file: "script: glob\n"},
		"as large as may": {branch: "main", path: "ci/full.yaml", commit: r.tip, file: strings.Repeat("#", source.MaxFile)},
		"too large":       {branch: "main", path: "ci/over.yaml", err: "file ci/over.yaml at commit " + r.tip + " of URL is larger than 256KiB; job files must be smaller"},
		"no branch":       {branch: "nope", err: "branch nope does not exist in URL"},
		"part of a name":  {branch: "ain", err: "branch ain does not exist in URL"},
		"tag":             {branch: "v1", err: "branch v1 does not exist in URL"},
		"no commit":       {sha: nowhere, err: "commit " + nowhere + " is not in URL"},
		"no file":         {branch: "main", path: "ci/x.yaml", err: "file ci/x.yaml does not exist at commit " + r.tip + " of URL"},
		"link":            {branch: "main", path: "ci/link.yaml", err: "ci/link.yaml at commit " + r.tip + " of URL is a symbolic link; a job file must be a regular file"},
		"below a link":    {branch: "main", path: "linked/test.yaml", err: "file linked/test.yaml does not exist"},
		"directory":       {branch: "main", path: "ci", err: "is a directory; a job file must be a regular file"},
		"an option":       {branch: "-h", err: `"-h" is not a valid branch name`},
		"another option":  {branch: "--upload-pack=touch /tmp/x", err: "is not a valid branch name"},
		"short commit":    {sha: r.tip[:12], err: "is not a full commit id"},
		"path option":     {branch: "main", path: "--help", err: "file --help does not exist"},
	}
	for server, at := range servers {
		for name, c := range cases {
			if server != "http" && !strings.Contains("branch,commit,old commit,shell branch,too large,no branch,no commit", name) {
				continue // what only concerns git itself is tried once
			}
			t.Run(server+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := planner(t, nil, at.host)
				if c.path == "" {
					c.path = "ci/test.yaml"
				}
				commit, file, err := plan(t.Context(), s, job(at.url, c.path), c.sha, c.branch)
				if c.err != "" {
					require.ErrorContains(t, err, strings.ReplaceAll(c.err, "URL", at.url))
					require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
					return
				}
				require.NoError(t, err)
				require.Equal(t, c.commit, commit)
				require.Equal(t, c.file, string(file))
			})
		}
	}
}

// The rest of a repository stays where it is, if the server can filter; if not, it still works.
func TestPlanCosts(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"true", "false"} {
		r := newRepo(t)
		r.set("uploadpack.allowFilter", filter)
		w := r.serve(nil)
		s := planner(t, nil, w.host())
		begin := time.Now()
		_, file, err := plan(t.Context(), s, job(w.url(), "ci/test.yaml"), "", "main")
		require.NoError(t, err)
		require.Equal(t, jobFile, string(file))
		t.Logf("filter %s: %d requests, %d bytes, %s", filter, w.requests.Load(), w.bytes.Load(), time.Since(begin))
		if filter == "true" {
			require.LessOrEqual(t, w.requests.Load(), int64(5))
			require.Less(t, w.bytes.Load(), int64(16<<10))
		}
	}
}

func TestSHA256Repository(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	dir := r.root + "/sha256.git"
	r.git("init", "--quiet", "--bare", "-b", "main", "--object-format=sha256", dir)
	r.git("--git-dir", dir, "--work-tree", r.root+"/work", "add", "ci/test.yaml")
	r.git("--git-dir", dir, "--work-tree", r.root+"/work", "commit", "--quiet", "-m", "x")
	tip := r.git("--git-dir", dir, "rev-parse", "HEAD")
	w := r.serve(nil)
	s := planner(t, nil, w.host())
	for _, sha := range []string{"", tip} {
		commit, file, err := plan(t.Context(), s, job(w.URL+"/sha256.git", "ci/test.yaml"), sha, "")
		require.NoError(t, err)
		require.Equal(t, tip, commit)
		require.Equal(t, jobFile, string(file))
	}
}

// What a server may do wrong, and what we make of it.
func TestServersInTrouble(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	private := r.serve(nil) // where a redirect wants to lead
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", code) }
	}
	cases := map[string]struct {
		handler http.HandlerFunc
		code    ci.Code
		err     string
	}{
		"not let in": {status(401), ci.CodeInvalid, "does not let us in"},
		"forbidden":  {status(403), ci.CodeInvalid, "does not let us in (HTTP status 403)"},
		"not there":  {status(404), ci.CodeInvalid, "there is no repository at URL"},
		"broken":     {status(500), ci.CodeUnavailable, "the host of URL is in trouble (HTTP status 500)"},
		"busy":       {status(429), ci.CodeUnavailable, "the host of URL is in trouble (HTTP status 429)"},
		"nonsense":   {status(200), ci.CodeUnavailable, ""},
		"redirects": {func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, private.URL+req.URL.String(), http.StatusFound)
		}, ci.CodeInvalid, "URL redirects to another address, which is not followed"},
		"hangs": {func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }, ci.CodeUnavailable, "URL did not answer in full within 1s"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := r.serve(func(http.Handler) http.Handler { return c.handler })
			s := planner(t, func(cfg *source.Config) {
				cfg.Timeout = 30 * time.Second
				if name == "hangs" {
					cfg.Timeout = time.Second
				}
			}, w.host())
			_, _, err := plan(t.Context(), s, job(w.url(), "ci/test.yaml"), "", "main")
			require.Equal(t, c.code, ci.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, strings.ReplaceAll(c.err, "URL", w.url()))
		})
	}
	require.Zero(t, private.requests.Load())
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	address, _ := porttest.Refusing(t)
	for _, url := range []string{"http://%s/x.git", "git://%s/x.git"} {
		s := planner(t, nil, "127.0.0.1")
		_, _, err := plan(t.Context(), s, job(fmt.Sprintf(url, address), "x"), "", "main")
		require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, "can't be reached")
	}
}
