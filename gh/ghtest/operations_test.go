package ghtest

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"
)

// TestEveryOperation calls each operation once by GitHub's own client; that all
// requests and answers are as described is checked when the test ends.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	w := setup(t)
	main := w.repo.Push("alice", "main", map[string]string{"README.md": "hi\n", "pkg/a.go": "package a\n"})
	w.repo.Grant("alice", "maintain")
	feature := w.repo.Push("alice", "feature/x", map[string]string{"pkg/a.go": "package b\n", "new file+.txt": "new\n", "README.md": Deleted})
	pull := w.repo.OpenPull("alice", w.repo, "feature/x", "main", "Change things")
	w.apps(t)
	w.checks(t, feature)
	w.readings(t, main, feature, pull)
	called := map[string]bool{}
	for _, r := range w.Requests("", "") {
		called[r.Method+" "+r.Template] = true
	}
	for _, r := range w.routes {
		require.True(t, called[r.method+" "+r.template], "%s %s is not tried here", r.method, r.template)
	}
}

func (w *world) apps(t *testing.T) {
	app, _, err := w.asApp.Apps.Get(w.ctx, "")
	require.NoError(t, err)
	require.Equal(t, "my-ci", app.GetSlug())
	list, _, err := w.asApp.Apps.ListInstallations(w.ctx, nil)
	require.NoError(t, err)
	require.Len(t, list, 1)
	found, _, err := w.asApp.Apps.FindRepositoryInstallation(w.ctx, "octo", "hello")
	require.NoError(t, err)
	require.Equal(t, w.install.ID, found.GetID())
	_, _, err = w.asApp.Apps.FindOrganizationInstallation(w.ctx, "octo")
	require.NoError(t, err)
	_, _, err = w.asApp.Apps.FindUserInstallation(w.ctx, "octo")
	require.NoError(t, err)
	_, _, err = w.asApp.Apps.GetInstallation(w.ctx, w.install.ID)
	require.NoError(t, err)
	repos, _, err := w.gh.Apps.ListRepos(w.ctx, nil)
	require.NoError(t, err)
	require.Equal(t, w.repo.ID, repos.Repositories[0].GetID())
	hook, _, err := w.asApp.Apps.GetHookConfig(w.ctx)
	require.NoError(t, err)
	_, _, err = w.asApp.Apps.UpdateHookConfig(w.ctx, &github.HookConfig{URL: hook.URL})
	require.NoError(t, err)
	w.deliveries(t)
	limits, _, err := w.gh.RateLimit.Get(w.ctx)
	require.NoError(t, err)
	require.Less(t, limits.Core.Remaining, limits.Core.Limit)
	_, err = client(t, w.Server, w.token(t, nil)).Apps.RevokeInstallationToken(w.ctx)
	require.NoError(t, err)
	w.manifest(t)
}

func (w *world) deliveries(t *testing.T) {
	heard, _, err := w.asApp.Apps.ListHookDeliveries(w.ctx, &github.ListCursorOptions{PerPage: 2})
	require.NoError(t, err)
	require.Len(t, heard, 2)
	one, _, err := w.asApp.Apps.GetHookDelivery(w.ctx, heard[0].GetID())
	require.NoError(t, err)
	require.NotEmpty(t, one.Request.Headers["X-Hub-Signature-256"])
	_, _, err = w.asApp.Apps.RedeliverHookDelivery(w.ctx, heard[0].GetID())
	var accepted *github.AcceptedError
	require.ErrorAs(t, err, &accepted)
	require.Eventually(t, func() bool {
		last := w.app.Deliveries()
		return last[len(last)-1].Redelivery && last[len(last)-1].GUID == heard[0].GetGUID()
	}, time.Minute, time.Millisecond)
}

// manifest goes the way of a browser that registers an App.
func (w *world) manifest(t *testing.T) {
	form := url.Values{"manifest": {`{"name": "made", "url": "https://ci.example.org", "redirect_url": "http://127.0.0.1:1/back?x=1",
		"hook_attributes": {"url": "https://ci.example.org/hooks/github"}, "default_permissions": {"checks": "write"}, "default_events": ["push"]}`}}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(w.URL+"/settings/apps/new?state=s1", form)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	back, err := resp.Location()
	require.NoError(t, err)
	require.Equal(t, "s1", back.Query().Get("state"))
	app, _, err := client(t, w.Server, "").Apps.CompleteAppManifest(w.ctx, back.Query().Get("code"))
	require.NoError(t, err)
	require.Equal(t, w.App("made").PEM, app.GetPEM())
	_, _, err = client(t, w.Server, "").Apps.CompleteAppManifest(w.ctx, back.Query().Get("code"))
	require.ErrorContains(t, err, "404", "a code is good once")
}

func (w *world) checks(t *testing.T, sha string) {
	run, _, err := w.gh.Checks.CreateCheckRun(w.ctx, "octo", "hello", github.CreateCheckRunOptions{
		Name: "unit", HeadSHA: sha, Status: github.String("queued"), ExternalID: github.String("7"),
	})
	require.NoError(t, err)
	_, _, err = w.gh.Checks.UpdateCheckRun(w.ctx, "octo", "hello", run.GetID(), github.UpdateCheckRunOptions{
		Name: "unit", Status: github.String("completed"), Conclusion: github.String("failure"),
		Output: &github.CheckRunOutput{Title: github.String("1 failed"), Summary: github.String("**sum**"), Annotations: []*github.CheckRunAnnotation{
			{Path: github.String("pkg/a.go"), StartLine: github.Int(1), EndLine: github.Int(1), AnnotationLevel: github.String("failure"), Message: github.String("no")},
		}},
	})
	require.NoError(t, err)
	got, _, err := w.gh.Checks.GetCheckRun(w.ctx, "octo", "hello", run.GetID())
	require.NoError(t, err)
	require.Equal(t, "failure", got.GetConclusion())
	notes, _, err := w.gh.Checks.ListCheckRunAnnotations(w.ctx, "octo", "hello", run.GetID(), nil)
	require.NoError(t, err)
	require.Len(t, notes, 1)
	list, _, err := w.gh.Checks.ListCheckRunsForRef(w.ctx, "octo", "hello", "feature/x", nil)
	require.NoError(t, err)
	require.Equal(t, 1, list.GetTotal())
	suites, _, err := w.gh.Checks.ListCheckSuitesForRef(w.ctx, "octo", "hello", sha, nil)
	require.NoError(t, err)
	require.Equal(t, "completed", suites.CheckSuites[0].GetStatus())
	id := suites.CheckSuites[0].GetID()
	_, _, err = w.gh.Checks.GetCheckSuite(w.ctx, "octo", "hello", id)
	require.NoError(t, err)
	_, _, err = w.gh.Checks.ListCheckRunsCheckSuite(w.ctx, "octo", "hello", id, nil)
	require.NoError(t, err)
	_, err = w.gh.Checks.ReRequestCheckSuite(w.ctx, "octo", "hello", id)
	require.NoError(t, err)
	_, _, err = w.gh.Repositories.CreateStatus(w.ctx, "octo", "hello", sha, &github.RepoStatus{State: github.String("success"), Context: github.String("unit"), TargetURL: github.String("https://ci.example.org/runs/7")})
	require.NoError(t, err)
	both, _, err := w.gh.Repositories.GetCombinedStatus(w.ctx, "octo", "hello", sha, nil)
	require.NoError(t, err)
	require.Equal(t, "success", both.GetState())
	_, _, err = w.gh.Repositories.ListStatuses(w.ctx, "octo", "hello", sha, nil)
	require.NoError(t, err)
	seen, found := w.repo.Check(sha, "unit")
	require.True(t, found)
	require.Equal(t, []string{"queued", "completed failure"}, seen.History)
}

func (w *world) readings(t *testing.T, main, feature string, pull *Pull) {
	_, _, err := w.gh.Repositories.Get(w.ctx, "octo", "hello")
	require.NoError(t, err)
	level, _, err := w.gh.Repositories.GetPermissionLevel(w.ctx, "octo", "hello", "alice")
	require.NoError(t, err)
	require.Equal(t, "write", level.GetPermission(), "maintain is shown as write")
	commit, _, err := w.gh.Repositories.GetCommit(w.ctx, "octo", "hello", feature, nil)
	require.NoError(t, err)
	require.Len(t, commit.Files, 3)
	_, _, err = w.gh.Repositories.ListCommits(w.ctx, "octo", "hello", nil)
	require.NoError(t, err)
	diff, _, err := w.gh.Repositories.CompareCommits(w.ctx, "octo", "hello", "main", "feature/x", nil)
	require.NoError(t, err)
	require.Equal(t, "ahead", diff.GetStatus())
	var names []string
	for _, f := range diff.Files {
		names = append(names, f.GetFilename()+" "+f.GetStatus())
	}
	require.ElementsMatch(t, []string{"README.md removed", "pkg/a.go modified", "new file+.txt added"}, names)
	file, _, _, err := w.gh.Repositories.GetContents(w.ctx, "octo", "hello", "pkg/a.go", &github.RepositoryContentGetOptions{Ref: feature})
	require.NoError(t, err)
	text, err := file.GetContent()
	require.NoError(t, err)
	require.Equal(t, "package b\n", text)
	_, folder, _, err := w.gh.Repositories.GetContents(w.ctx, "octo", "hello", "pkg", nil)
	require.NoError(t, err)
	require.Len(t, folder, 1)
	ref, _, err := w.gh.Git.GetRef(w.ctx, "octo", "hello", "heads/main")
	require.NoError(t, err)
	require.Equal(t, main, ref.Object.GetSHA())
	got, _, err := w.gh.PullRequests.Get(w.ctx, "octo", "hello", pull.Number)
	require.NoError(t, err)
	require.Equal(t, feature, got.Head.GetSHA())
	files, _, err := w.gh.PullRequests.ListFiles(w.ctx, "octo", "hello", pull.Number, nil)
	require.NoError(t, err)
	require.Len(t, files, 3)
	_, _, err = w.gh.PullRequests.ListCommits(w.ctx, "octo", "hello", pull.Number, nil)
	require.NoError(t, err)
	of, _, err := w.gh.PullRequests.ListPullRequestsWithCommit(w.ctx, "octo", "hello", feature, nil)
	require.NoError(t, err)
	require.Len(t, of, 1)
}
