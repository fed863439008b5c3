package forge

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
	"ci/pkg/ci"
)

// gitea is a real one, with one user, who may do everything.
type gitea struct {
	t     *testing.T
	url   string
	token string
}

// startGitea starts the Gitea of $CI_GITEA, whose sources are at $CI_GITEA_ROOT.
func startGitea(t *testing.T) *gitea {
	t.Helper()
	program := os.Getenv("CI_GITEA")
	if program == "" {
		t.Skip("SKIPPED: make test-gitea builds a Gitea and runs this")
	}
	addr, err := rig.FreeAddr()
	require.NoError(t, err)
	dir := t.TempDir()
	_, port, _ := strings.Cut(addr, ":")
	database, err := url.Parse(postgres.Start(t).Database(t)) // sqlite would need a C compiler here
	require.NoError(t, err)
	host := cmp.Or(database.Host, database.Query().Get("host")) // the second is a folder with a socket
	password, _ := database.User.Password()
	settings := filepath.Join(dir, "app.ini")
	require.NoError(t, os.WriteFile(settings, fmt.Appendf(nil, `RUN_MODE = prod
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
WORK_PATH = %[1]s
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[2]s
ROOT_URL = http://%[3]s/
STATIC_ROOT_PATH = %[4]s
DISABLE_SSH = true
OFFLINE_MODE = true
[database]
DB_TYPE = postgres
HOST = %[5]s
NAME = %[6]s
USER = %[7]s
PASSWD = %[8]s
[security]
INSTALL_LOCK = true
SECRET_KEY = only-for-this-test
[webhook]
ALLOWED_HOST_LIST = *
[log]
LEVEL = warn
`, dir, port, addr, os.Getenv("CI_GITEA_ROOT"),
		host, strings.Trim(database.Path, "/"), database.User.Username(), password), 0o600))
	g := &gitea{t: t, url: "http://" + addr}
	g.run(program, "migrate", "-c", settings)
	g.run(program, "admin", "user", "create", "-c", settings, "--admin", "--username", "octo", "--password", "Long-enough-1", "--email", "octo@example.org", "--must-change-password=false")
	out := g.run(program, "admin", "user", "generate-access-token", "-c", settings, "--username", "octo", "--token-name", "test", "--scopes", "all", "--raw")
	lines := strings.Split(out, "\n")
	g.token = lines[len(lines)-1]
	log := filepath.Join(dir, "gitea.log")
	p, err := rig.Launch(log, program, os.Environ(), "web", "-c", settings)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Stop(time.Minute) })
	require.NoError(t, rig.Poll(t.Context(), time.Minute, func() error { return rig.Answers(g.url + "/api/healthz") }), "Gitea is not ready; see %s", log)
	return g
}

func (g *gitea) run(program string, args ...string) string {
	g.t.Helper()
	var errs bytes.Buffer
	cmd := exec.CommandContext(g.t.Context(), program, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(g.t, err, "%s: %s%s", args, out, errs.String())
	return strings.TrimSpace(string(out))
}

// call sends in to the API and reads its answer into out, if that is not nil.
func (g *gitea) call(method, path string, in, out any) {
	g.t.Helper()
	body, err := json.Marshal(in)
	require.NoError(g.t, err)
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+"/api/v1"+path, bytes.NewReader(body))
	require.NoError(g.t, err)
	req.Header.Set("Authorization", "token "+g.token)
	req.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(req)
	require.NoError(g.t, err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	require.NoError(g.t, err)
	require.Less(g.t, r.StatusCode, 300, "%s %s: %s", method, path, text)
	if out != nil {
		require.NoError(g.t, json.Unmarshal(text, out), "%s", text)
	}
}

// commit writes a file to a branch, which is made of main where it is new, and returns the commit.
func (g *gitea) commit(branch, name, content string, into bool) string {
	g.t.Helper()
	in := map[string]string{"content": base64.StdEncoding.EncodeToString([]byte(content)), "message": "Change " + name, "branch": "main", "new_branch": branch}
	if into {
		in["branch"] = branch
		delete(in, "new_branch")
	}
	var out struct{ Commit struct{ SHA string } }
	g.call(http.MethodPost, "/repos/octo/hello/contents/"+name, in, &out)
	return out.Commit.SHA
}

// status waits for the state of a commit under a name.
func (g *gitea) status(sha, name, want string) {
	g.t.Helper()
	seen := "no such status"
	defer func() {
		if g.t.Failed() {
			g.t.Logf("%s at %s: %s", name, sha, seen)
		}
	}()
	require.Eventually(g.t, func() bool {
		var latest struct {
			Statuses []struct{ Context, Status, Description string }
		}
		g.call(http.MethodGet, "/repos/octo/hello/commits/"+sha+"/status", nil, &latest)
		for _, s := range latest.Statuses {
			if s.Context == name {
				seen = s.Status + ": " + s.Description
				return s.Status == want
			}
		}
		return false
	}, limit, 100*time.Millisecond, "the status %s", want)
}

// A real Gitea tells of pushes, pull requests, tags and releases, is cloned
// from, and shows what became of the runs.
func TestGitea(t *testing.T) {
	t.Parallel()
	const secret = "between the two of us"
	g := startGitea(t)
	w := listen(t, strings.TrimPrefix(g.url, "http://"))
	_, _, err := w.Secrets.Forges.Put(w.ctx, ci.ForgeAccess{
		Forge: ci.Forge{Name: "gitea", Kind: ci.ForgeGitea, URL: g.url}, ForgeKeys: ci.ForgeKeys{Token: g.token, WebhookSecret: secret},
	}, 0)
	require.NoError(t, err)
	w.job(&ci.Job{Name: "tea", Git: &ci.Git{URL: g.url + "/octo/hello.git", ConfigPath: "ci/tea.yaml"}})
	w.trigger(ci.EventTrigger{Name: "tea", Forge: "gitea", Job: "tea", Repository: "octo/hello", Events: ci.EventKinds, Paths: []string{"**/*.go", "ci/**"}})
	g.call(http.MethodPost, "/user/repos", map[string]any{"name": "hello", "auto_init": true, "default_branch": "main"}, nil)
	g.call(http.MethodPost, "/repos/octo/hello/hooks", map[string]any{
		"type": "gitea", "active": true, "events": []string{"push", "pull_request", "pull_request_sync", "create", "release"},
		"config": map[string]string{"url": strings.TrimSuffix(w.url, "github") + "gitea", "content_type": "json", "secret": secret},
	}, nil)
	runs := func(n int) []ci.Run {
		t.Helper()
		var list []ci.Run
		require.Eventually(t, func() bool { list = w.runs("tea"); return len(list) == n }, limit, 50*time.Millisecond, "%d runs", n)
		return list
	}
	play := func(r ci.Run, outcome ci.Outcome) {
		t.Helper()
		w.planned(r.ID)
		one := &run{&world{Backend: w.Backend, t: t, ctx: w.ctx}, "tea", ci.Claim{Run: r.ID, Agent: "a1", ID: fmt.Sprint("claim", r.ID)}}
		one.start()
		one.finish(outcome, "", "")
	}

	first := g.commit("main", "ci/tea.yaml", jobFile, true)
	g.status(first, "tea", "pending")
	play(runs(1)[0], ci.OutcomeSucceeded)
	g.status(first, "tea", "success")
	g.commit("main", "notes.md", "words\n", true)
	change := g.commit("topic", "a.go", "package a\n", false)
	list := runs(2) // of the branch, and none of the words
	require.Equal(t, change, list[0].CommitSHA)
	require.Equal(t, "topic", list[0].BranchName)
	play(list[0], ci.OutcomeFailed)
	g.status(change, "tea", "failure")

	g.call(http.MethodPost, "/repos/octo/hello/pulls", map[string]string{"head": "topic", "base": "main", "title": "A change"}, nil)
	list = runs(3)
	require.Equal(t, ci.EventPullRequest, list[0].Origin.Event)
	require.False(t, list[0].Origin.Fork)
	second := g.commit("topic", "b.go", "package a\n", true)
	for _, r := range runs(5)[:2] { // the push, and the pull request that moved
		require.Equal(t, second, r.CommitSHA)
	}
	g.call(http.MethodPost, "/repos/octo/hello/releases", map[string]string{"tag_name": "releases/v1", "target_commitish": "main", "name": "One"}, nil)
	require.Eventually(t, func() bool {
		for _, r := range w.runs("tea") {
			if r.Origin.Event == ci.EventRelease && r.Origin.Tag == "releases/v1" {
				return ci.ValidCommit(r.CommitSHA)
			}
		}
		return false
	}, limit, 50*time.Millisecond, "the release")
}
