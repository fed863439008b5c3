package ghtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"
)

// client speaks to a fake as go-github does, with a token.
func client(t *testing.T, s *Server, token string) *github.Client {
	t.Helper()
	c, err := github.NewClient(nil).WithAuthToken(token).WithEnterpriseURLs(s.API(), s.API())
	require.NoError(t, err)
	return c
}

func jwtOf(t *testing.T, a *App, claims jwt.RegisteredClaims) string {
	t.Helper()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(a.key)
	require.NoError(t, err)
	return signed
}

func goodClaims(a *App) jwt.RegisteredClaims {
	return jwt.RegisteredClaims{
		Issuer: fmt.Sprint(a.ID), IssuedAt: jwt.NewNumericDate(time.Now().Add(-time.Minute)), ExpiresAt: jwt.NewNumericDate(time.Now().Add(9 * time.Minute)),
	}
}

// world is a repository with an installed App that hears of what happens.
type world struct {
	*Server
	app     *App
	repo    *Repo
	install *Installation
	asApp   *github.Client
	gh      *github.Client
	ctx     context.Context

	mu    sync.Mutex
	heard []string // event.action
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{Server: New(t), ctx: t.Context()}
	w.app = w.NewApp("my-ci")
	w.NewOrganisation("octo")
	w.repo = w.NewPrivateRepo("octo/hello")
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		payload, err := github.ValidatePayload(r, []byte(w.app.WebhookSecret))
		if err != nil {
			t.Errorf("a delivery's signature: %v", err)
			return
		}
		_, err = github.ParseWebHook(github.WebHookType(r), payload)
		if err != nil {
			t.Errorf("a delivery of %s: %v", github.WebHookType(r), err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.heard = append(w.heard, strings.TrimSuffix(github.WebHookType(r)+"."+actionOf(payload), "."))
	}))
	t.Cleanup(hook.Close)
	w.app.SetHook(hook.URL)
	w.install = w.app.Install("octo")
	w.asApp = client(t, w.Server, jwtOf(t, w.app, goodClaims(w.app)))
	w.gh = client(t, w.Server, w.token(t, nil))
	return w
}

func (w *world) token(t *testing.T, o *github.InstallationTokenOptions) string {
	t.Helper()
	made, _, err := w.asApp.Apps.CreateInstallationToken(w.ctx, w.install.ID, o)
	require.NoError(t, err)
	return made.GetToken()
}

// said returns what the hook has heard since the last call.
func (w *world) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	heard := w.heard
	w.heard = nil
	return heard
}

// TestEvents does what people do, and compares what the App hears.
func TestEvents(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Equal(t, []string{"installation.created"}, w.said())
	hear := func(want ...string) {
		t.Helper()
		var got []string
		require.Eventually(t, func() bool { got = append(got, w.said()...); return len(got) >= len(want) }, time.Minute, time.Millisecond)
		slices.Sort(got)
		slices.Sort(want)
		require.Equal(t, want, got)
	}
	first := w.repo.Push("alice", "main", map[string]string{"a": "1"})
	hear("push", "check_suite.requested")
	w.repo.Tag("alice", "v1", first)
	hear("push", "create")
	w.repo.Release("alice", "v1")
	hear("release.published")
	fork := w.repo.Fork("mallory")
	fork.Push("mallory", "patch", map[string]string{"a": "2"})
	p := w.repo.OpenPull("mallory", fork, "patch", "main", "Please")
	hear("pull_request.opened")
	head := fork.Push("mallory", "patch", map[string]string{"a": "3"})
	require.Equal(t, head, p.HeadSHA())
	hear("pull_request.synchronize")
	p.Comment("alice", "/test")
	hear("issue_comment.created")
	_, _, err := w.gh.Checks.CreateCheckRun(w.ctx, "octo", "hello", github.CreateCheckRunOptions{Name: "unit", HeadSHA: head})
	require.NoError(t, err, "the base repository knows the pull request's commit")
	hear("check_run.created")
	run, _ := w.repo.Check(head, "unit")
	w.Rerequest("alice", run)
	w.Click("alice", run, "abort")
	w.repo.RerequestSuite("alice", w.app, head)
	hear("check_run.rerequested", "check_run.requested_action", "check_suite.rerequested")
	p.Close("alice", true)
	p.Reopen("alice")
	p.Label("alice")
	hear("pull_request.closed", "pull_request.reopened", "pull_request.labeled")
	w.repo.Push("alice", "old", map[string]string{"a": "4"})
	w.repo.Reset("alice", "old", first)
	w.repo.DeleteBranch("alice", "old")
	hear("push", "check_suite.requested", "push", "check_suite.requested", "push", "delete")
	w.app.LoseDeliveries(true)
	w.repo.Push("alice", "main", map[string]string{"a": "5"})
	all := w.app.Deliveries()
	require.Zero(t, all[len(all)-1].Status)
	require.Empty(t, w.said())
}

// TestWhoMay is the table of who is let in, and how far.
func TestWhoMay(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sha := w.repo.Push("alice", "main", map[string]string{"a": "1"})
	other := w.NewPrivateRepo("octo/other")
	late, long, foreign := goodClaims(w.app), goodClaims(w.app), goodClaims(w.app)
	late.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Second))
	long.ExpiresAt = jwt.NewNumericDate(time.Now().Add(time.Hour))
	foreign.Issuer = "1"
	scoped := w.token(t, &github.InstallationTokenOptions{RepositoryIDs: []int64{other.ID}})
	reader := w.token(t, &github.InstallationTokenOptions{Permissions: &github.InstallationPermissions{Checks: github.String("read")}})
	create := func(c *github.Client) error {
		_, _, err := c.Checks.CreateCheckRun(w.ctx, "octo", "hello", github.CreateCheckRunOptions{Name: "x", HeadSHA: sha})
		return err
	}
	asApp := func(c *github.Client) error { _, _, err := c.Apps.Get(w.ctx, ""); return err }
	for _, c := range []struct {
		name, token string
		do          func(*github.Client) error
		want        string // "" is let in
	}{
		{"app", jwtOf(t, w.app, goodClaims(w.app)), asApp, ""},
		{"app, too late", jwtOf(t, w.app, late), asApp, "401"},
		{"app, for an hour", jwtOf(t, w.app, long), asApp, "too far in the future"},
		{"another app's name", jwtOf(t, w.app, foreign), asApp, "404"},
		{"an installation as app", w.token(t, nil), asApp, "401"},
		{"installation", w.token(t, nil), create, ""},
		{"nobody", "x", create, "401"},
		{"another repository's token", scoped, create, "404"},
		{"reader", reader, create, "403 Resource not accessible by integration"},
		{"a person, with checks", w.UserToken("octo"), create, "403 You must authenticate via a GitHub App"},
		{"a stranger", w.UserToken("eve"), create, "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do(client(t, w.Server, c.token))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	kept := w.token(t, nil)
	w.Advance(61 * time.Minute)
	require.ErrorContains(t, create(client(t, w.Server, kept)), "401", "tokens end after an hour")
	_, _, err := w.asApp.Apps.CreateInstallationToken(w.ctx, w.install.ID, nil)
	require.Error(t, err, "and App tokens after ten minutes")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	w := setup(t)
	get := func() (*http.Response, error) {
		_, resp, err := client(t, w.Server, w.UserToken("octo")).Repositories.Get(w.ctx, "octo", "hello")
		if resp == nil {
			return nil, err
		}
		return resp.Response, err
	}
	w.Down(503)
	resp, err := get()
	require.Error(t, err)
	require.Equal(t, 503, resp.StatusCode)
	w.Down(Cut)
	_, err = get()
	require.Error(t, err)
	w.Down(0)
	_, err = get()
	require.NoError(t, err)

	w.Fail(Fault{Part: "/repos/octo/hello", Times: 1, Status: 403, Secondary: true, RetryAfter: 7 * time.Second})
	var abuse *github.AbuseRateLimitError
	_, err = get()
	require.ErrorAs(t, err, &abuse)
	require.Equal(t, 7*time.Second, abuse.GetRetryAfter())
	_, err = get()
	require.NoError(t, err)

	w.Quota(0, time.Now().Add(time.Hour))
	var limit *github.RateLimitError
	_, err = get()
	require.ErrorAs(t, err, &limit)
	w.Advance(2 * time.Hour)
	_, err = get()
	require.NoError(t, err)

	hold := make(chan struct{})
	stop := w.Fail(Fault{Hold: hold})
	slow, cancel := context.WithTimeout(w.ctx, 10*time.Millisecond)
	defer cancel()
	_, _, err = client(t, w.Server, w.UserToken("octo")).Repositories.Get(slow, "octo", "hello")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(hold)
	stop()
}

// TestViolations makes mistakes, which have to be found.
func TestViolations(t *testing.T) {
	t.Parallel()
	w := setup(t)
	if !w.Checked() {
		t.Skip("NOT CHECKED: GitHub's description is not on this machine")
	}
	sha := w.repo.Push("alice", "main", map[string]string{"a": "1"})
	token := w.token(t, nil)
	call := func(method, path, body string) {
		req, err := http.NewRequestWithContext(w.ctx, method, w.API()+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(t, resp.Body.Close())
	}
	for _, c := range []struct{ name, method, path, body, want string }{
		{"misspelt", "POST", "repos/octo/hello/check-runs", `{"name": "x", "head_sha": "` + sha + `", "detail_url": "u"}`, "detail_url"},
		{"bad word", "POST", "repos/octo/hello/check-runs", `{"name": "x", "head_sha": "` + sha + `", "status": "running"}`, "status"},
		{"missing", "POST", "repos/octo/hello/check-runs", `{"name": "x"}`, "head_sha"},
		{"no conclusion", "POST", "repos/octo/hello/check-runs", `{"name": "x", "head_sha": "` + sha + `", "status": "completed"}`, "oneOf"},
		{"too many", "POST", "repos/octo/hello/check-runs", `{"name": "x", "head_sha": "` + sha + `", "actions": [` + strings.Repeat(`{"label":"l","description":"d","identifier":"i"},`, 3) + `{"label":"l","description":"d","identifier":"i"}]}`, "maxItems"},
		{"no body", "POST", "repos/octo/hello/statuses/" + sha, ``, "needs a body"},
		{"query", "GET", "repos/octo/hello/pulls/1/files?perpage=3", ``, "perpage"},
		{"query's kind", "GET", "repos/octo/hello/pulls/1/files?per_page=all", ``, "per_page"},
	} {
		t.Run(c.name, func(t *testing.T) {
			call(c.method, c.path, c.body)
			require.Contains(t, strings.Join(w.Violations(), "\n"), c.want)
		})
	}
	op := w.contract.operations["GET /repos/{owner}/{repo}/check-runs/{check_run_id}"]
	require.Error(t, w.contract.answer(op, 200, "application/json", []byte(`{"id": 1}`)), "an answer without what it must have")
	require.Error(t, w.contract.answer(op, 201, "application/json", []byte(`{}`)), "a status that is not described")
	w.Violations()
}

// TestCompareLimits is what triggers have to know: files stand on the first
// page alone, and at most 300 of them; those of a pull request go on.
func TestCompareLimits(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.repo.Push("alice", "main", map[string]string{"a": "1"})
	many := map[string]string{}
	for i := range 350 {
		many[fmt.Sprintf("f/%03d", i)] = "x"
	}
	w.repo.Push("alice", "big", many)
	p := w.repo.OpenPull("alice", w.repo, "big", "main", "Big")
	for number, want := range map[int]int{1: 300, 2: 0} {
		diff, _, err := w.gh.Repositories.CompareCommits(w.ctx, "octo", "hello", "main", "big", &github.ListOptions{Page: number})
		require.NoError(t, err)
		require.Len(t, diff.Files, want)
	}
	count := 0
	for o := (github.ListOptions{PerPage: 100}); ; {
		files, resp, err := w.gh.PullRequests.ListFiles(w.ctx, "octo", "hello", p.Number, &o)
		require.NoError(t, err)
		count += len(files)
		if o.Page = resp.NextPage; resp.NextPage == 0 {
			break
		}
	}
	require.Equal(t, 350, count)
}

// TestGit clones with tokens.
func TestGit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.repo.Push("alice", "main", map[string]string{"a": "1"})
	clone := func(password string) error {
		address := strings.Replace(w.repo.CloneURL(), "http://", "http://x-access-token:"+password+"@", 1)
		cmd := exec.Command("git", "clone", "-q", address, filepath.Join(t.TempDir(), "r"))
		cmd.Env = gitEnv()
		return cmd.Run()
	}
	require.NoError(t, clone(w.token(t, nil)))
	require.Error(t, clone("ghs_wrong"))
	require.Error(t, clone(w.token(t, &github.InstallationTokenOptions{Permissions: &github.InstallationPermissions{Checks: github.String("read")}})))
	kept := w.token(t, nil)
	w.Revoke()
	require.Error(t, clone(kept))
}
