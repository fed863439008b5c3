package forge

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/gh/ghtest"
	"ci/pkg/ci"
)

func TestPushStartsItsJobs(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Branches: []string{"main"}})
	w.trigger(ci.EventTrigger{Name: "lint", Job: "lint", Paths: []string{"**/*.go", "!vendor/**"}})
	sha := w.repo.Push("alice", "main", map[string]string{"README.md": "hello\n"})
	units := w.runs("unit")
	require.Len(t, units, 1)
	require.Empty(t, w.runs("lint"), "no Go file was changed")
	run := w.planned(units[0].ID)
	require.Equal(t, sha, run.CommitSHA)
	require.Equal(t, "main", run.BranchName)
	require.Equal(t, ci.EventPush, run.Origin.Event)
	require.Equal(t, w.repo.ID, run.Origin.Repository)
	require.Equal(t, "github:unit", run.TriggeredBy)
	require.Equal(t, fmt.Sprint(run.ID), w.check(sha, "unit", "queued").ExternalID)

	w.repo.Push("alice", "main", map[string]string{"a.go": "package main\n"})
	require.Len(t, w.runs("lint"), 1)
	require.Len(t, w.runs("unit"), 2)
	w.repo.Push("alice", "topic", map[string]string{"b.go": "package main\n"})
	require.Len(t, w.runs("unit"), 2, "not its branch")
	require.Len(t, w.runs("lint"), 2)
	w.repo.DeleteBranch("alice", "topic")
	require.Contains(t, w.note("push "), "was deleted")
	require.Len(t, w.runs("lint"), 2)
	trigger, err := w.Store.GetEventTrigger(w.ctx, "unit")
	require.NoError(t, err)
	require.Equal(t, w.repo.ID, trigger.RepositoryID, "from the first event on, its number counts")
}

func TestTagsAndReleases(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Events: []ci.EventKind{ci.EventTag}, Tags: []string{"v*"}})
	w.trigger(ci.EventTrigger{Name: "lint", Job: "lint", Events: []ci.EventKind{ci.EventRelease}})
	w.repo.Tag("alice", "v1", w.main)
	w.repo.Tag("alice", "nightly", w.main)
	units := w.runs("unit")
	require.Len(t, units, 1)
	require.Equal(t, "v1", units[0].Origin.Tag)
	require.Equal(t, w.main, units[0].CommitSHA)
	require.Empty(t, w.runs("lint"))
	w.repo.Release("alice", "v1")
	lints := w.runs("lint")
	require.Len(t, lints, 1)
	require.Equal(t, w.main, lints[0].CommitSHA)
}

func TestPullRequests(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Supersede: true, Branches: []string{"main"}, Parameters: map[string]string{"PULL": "${pull} into ${base}"}})
	w.repo.Commit("alice", "topic", map[string]string{"a.go": "package main\n"})
	p := w.repo.OpenPull("alice", w.repo, "topic", "main", "A change")
	first := w.runs("unit")
	require.Len(t, first, 1)
	require.Equal(t, "1 into main", first[0].Parameters["PULL"])
	require.Equal(t, p.HeadSHA(), first[0].CommitSHA)
	p.Label("alice")
	require.Len(t, w.runs("unit"), 1, "a label is no commit")

	w.repo.Push("alice", "topic", map[string]string{"a.go": "package main // 2\n"})
	both := w.runs("unit")
	require.Len(t, both, 2)
	require.Equal(t, p.HeadSHA(), both[0].CommitSHA)
	require.Equal(t, ci.OutcomeAborted, both[1].Outcome, "superseded")
	require.Contains(t, both[1].Reason, "a newer commit")
	w.check(first[0].CommitSHA, "unit", "completed cancelled")
	p.Close("alice", false)
	require.Equal(t, ci.OutcomeAborted, w.runs("unit")[0].Outcome)
	p.Reopen("alice")
	require.Len(t, w.runs("unit"), 3)
}

// Who may write has a check run again, ends it, and gives commands; nobody else.
func TestWishes(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit"})
	w.trigger(ci.EventTrigger{Name: "lint", Job: "lint"})
	w.repo.Commit("alice", "topic", map[string]string{"a.go": "package main\n"})
	p := w.repo.OpenPull("alice", w.repo, "topic", "main", "A change")
	require.Len(t, w.runs("unit"), 1)
	check := w.check(p.HeadSHA(), "unit", "queued")

	w.gh.Click("mallory", check, "abort")
	require.Contains(t, w.note("check_run requested_action"), "no write access")
	require.False(t, w.runs("unit")[0].Done())
	w.gh.Click("alice", check, "abort")
	aborted := w.runs("unit")[0]
	require.Equal(t, ci.OutcomeAborted, aborted.Outcome)
	require.Contains(t, aborted.Reason, "github:alice")
	check = w.check(p.HeadSHA(), "unit", "completed cancelled")

	w.gh.Rerequest("alice", check)
	again := w.runs("unit")
	require.Len(t, again, 2)
	require.Equal(t, aborted.CommitSHA, again[0].CommitSHA)
	require.Equal(t, ci.EventCheckRerun, again[0].Origin.Event)
	require.Len(t, w.runs("lint"), 1, "of one check")
	w.repo.RerequestSuite("alice", w.app, p.HeadSHA())
	require.Len(t, w.runs("unit"), 3)
	require.Len(t, w.runs("lint"), 2)

	p.Comment("mallory", "/ci run")
	require.Contains(t, w.note("issue_comment created"), "no write access")
	p.Comment("alice", "/ci run lint")
	require.Len(t, w.runs("lint"), 3)
	require.Len(t, w.runs("unit"), 3)
	require.Equal(t, p.HeadSHA(), w.runs("lint")[0].CommitSHA)
	p.Comment("alice", "looks good; /ci run")
	require.Len(t, w.runs("lint"), 3)
	p.Comment("alice", "/ci abort")
	for _, r := range append(w.runs("lint"), w.runs("unit")...) {
		require.True(t, r.Done(), "%s/%d", r.Job, r.ID)
	}
}

// The commit of a fork runs by the base branch's job file, and gets nothing.
func TestForkRunsByTheBaseBranch(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit"})
	fork := w.repo.Fork("mallory")
	// Who a commit says that it is of, is a word of whoever made it (S2).
	fork.Commit("alice", "evil", map[string]string{"ci/unit.yaml": "script: env\nenv: [DEPLOY_KEY]\nssh: true\nci: true\n"})
	p := w.repo.OpenPull("mallory", fork, "evil", "main", "Please")
	units := w.runs("unit")
	require.Len(t, units, 1)
	run := w.planned(units[0].ID)
	require.True(t, run.Origin.Fork)
	require.Equal(t, p.HeadSHA(), run.CommitSHA, "the fork's code")
	require.Equal(t, "make test", strings.TrimSpace(run.Spec.Script), "by the base branch's job file")

	// As `ci rerun` and the pages do it: they name the commit alone.
	again, _, err := w.Engine.Trigger(w.ctx, ci.Trigger{Job: "unit", CommitSHA: p.HeadSHA(), By: "admin"})
	require.NoError(t, err)
	run = w.planned(again.ID)
	require.True(t, run.Origin.Withheld())
	require.Equal(t, "make test", strings.TrimSpace(run.Spec.Script), "by the base branch's job file again")
	require.Eventually(t, func() bool {
		c, ok := w.repo.Check(p.HeadSHA(), "unit")
		return ok && c.ExternalID == fmt.Sprint(run.ID)
	}, limit, 20*time.Millisecond, "the new run is shown at the commit")
}

func TestForkWaitsForApproval(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Forks: ci.ForksApproval})
	fork := w.repo.Fork("mallory")
	fork.Commit("mallory", "evil", map[string]string{"ci/unit.yaml": "script: env\nenv: [DEPLOY_KEY]\nci: true\n"})
	p := w.repo.OpenPull("mallory", fork, "evil", "main", "Please")
	seen := p.HeadSHA()
	require.Empty(t, w.runs("unit"))
	held := w.check(seen, "unit", "completed action_required")
	w.gh.Click("mallory", held, "approve")
	require.Empty(t, w.runs("unit"))
	p.Comment("mallory", "/ci approve "+seen)
	require.Empty(t, w.runs("unit"))
	p.Comment("alice", "/ci approve "+seen[:12])
	require.Empty(t, w.runs("unit"), "another commit may begin alike")
	require.Contains(t, w.note("issue_comment created"), "not a whole commit id")

	fork.Push("mallory", "evil", map[string]string{"x": "worse\n"})
	p.Comment("alice", "/ci approve "+seen)
	require.Empty(t, w.runs("unit"), "the head has moved since alice looked")
	require.Contains(t, w.note("issue_comment created"), p.HeadSHA())
	w.gh.Click("alice", w.check(p.HeadSHA(), "unit", "completed action_required"), "approve")
	units := w.runs("unit")
	require.Len(t, units, 1)
	run := w.planned(units[0].ID)
	require.Equal(t, p.HeadSHA(), run.CommitSHA)
	require.Equal(t, "alice", run.Origin.Approver.Login)
	require.Equal(t, "env", strings.TrimSpace(run.Spec.Script), "the job file of the approved commit")
	require.Empty(t, run.Spec.Env, "approved or not, a fork's commit gets no secrets")
	require.False(t, run.Spec.CI)

	fork.Push("mallory", "evil", map[string]string{"x": "much worse\n"})
	require.Len(t, w.runs("unit"), 1, "the approval was for one commit")
}

// What is lost again, when it was asked for, is asked for once more; what came is not.
func TestMissedDeliveriesAreAskedForAgain(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit"})
	w.app.LoseDeliveries(true)
	for i := range 3 {
		w.repo.Push("alice", "main", map[string]string{"n": fmt.Sprint(i)})
	}
	require.Eventually(t, func() bool { return len(w.redeliveries(0)) >= 3 }, limit, 20*time.Millisecond, "asked for while the way is still closed")
	w.app.LoseDeliveries(false)
	require.Eventually(t, func() bool { return len(w.runs("unit")) == 3 }, limit, 20*time.Millisecond)
	came := w.redeliveries(http.StatusAccepted)
	require.GreaterOrEqual(t, len(came), 3)
	for id, n := range came {
		require.Equal(t, 1, n, "%s came, and was asked for once more", id)
	}
}

// GitHub is asked for what a delivery does not say; while it is down, the delivery waits.
func TestGitHubIsDown(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Paths: []string{"**/*.go"}})
	w.gh.Down(503)
	w.repo.Push("alice", "main", map[string]string{"a.go": "package main\n"})
	require.Eventually(t, func() bool {
		push := w.push("octo/hello")
		return push.Tries > 0 && push.Note != ""
	}, limit, 20*time.Millisecond)
	w.gh.Down(0)
	require.Len(t, w.runs("unit"), 1)
}

// A repository about which GitHub is slow to answer keeps no other waiting.
func TestSlowRepositoryHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Paths: []string{"**/*.go"}})
	w.trigger(ci.EventTrigger{Name: "lint", Job: "lint", Repository: "octo/other"})
	other := w.gh.NewRepo("octo/other")
	other.Commit("octo", "main", map[string]string{"a": "1\n"})
	hold, asked := make(chan struct{}), make(chan struct{})
	w.gh.Fail(ghtest.Fault{Method: "GET", Part: "/compare/", Hold: hold, Done: asked})
	w.repo.Push("alice", "main", map[string]string{"a.go": "package main\n"})
	<-asked
	other.Push("octo", "main", map[string]string{"a": "2\n"})
	require.Eventually(t, func() bool { return len(w.push("octo/other").Runs) == 1 }, limit, 20*time.Millisecond)
	require.Empty(t, w.push("octo/hello").Note, "GitHub has not even been given up on once")
	close(hold)
	require.Len(t, w.runs("unit"), 1)
}

// A permission that is missing is given back: the delivery has waited for it, and says so.
func TestDeliveryThatMayNotAsk(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Paths: []string{"**/*.go"}})
	restore := w.gh.Fail(ghtest.Fault{Method: "GET", Part: "/compare/", Status: http.StatusForbidden})
	w.repo.Push("alice", "main", map[string]string{"a.go": "package main\n"})
	require.Eventually(t, func() bool {
		return strings.Contains(w.push("octo/hello").Note, "is asked again until")
	}, limit, 20*time.Millisecond)
	restore()
	require.Len(t, w.runs("unit"), 1)
}

func TestRefusedDeliveries(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit"})
	body := fmt.Appendf(nil, `{"ref":"refs/heads/main","before":%q,"after":%q,"repository":{"id":%d,"full_name":"octo/hello"},"sender":{"id":1,"login":"x"}}`,
		strings.Repeat("0", 40), w.main, w.repo.ID)
	for name, c := range map[string]struct {
		body   []byte
		change func(h http.Header)
		status int
	}{
		"one bit flipped":    {bytes.Replace(body, []byte("main"), []byte("maio"), 1), sign(w, body), 401},
		"written anew":       {append(bytes.TrimSpace(body), ' '), sign(w, body), 401},
		"no signature":       {body, func(h http.Header) { h.Del("X-Hub-Signature-256") }, 401},
		"sha1 alone":         {body, func(h http.Header) { h.Del("X-Hub-Signature-256"); h.Set("X-Hub-Signature", "sha1=00") }, 401},
		"two signatures":     {body, func(h http.Header) { h.Add("X-Hub-Signature-256", "sha256=00") }, 401},
		"no delivery":        {body, func(h http.Header) { h.Del("X-GitHub-Delivery") }, 400},
		"a strange delivery": {body, func(h http.Header) { h.Set("X-GitHub-Delivery", "a/../b") }, 400},
		"no event":           {body, func(h http.Header) { h.Del("X-GitHub-Event") }, 400},
		"too large":          {bytes.Repeat([]byte{'a'}, 26<<20), nil, 413},
	} {
		status, says := w.post(c.body, c.change)
		require.Equal(t, c.status, status, "%s: %s", name, says)
	}
	status, _ := w.send(strings.TrimSuffix(w.url, "github")+"nobody", body, func(http.Header) {})
	require.Equal(t, 404, status)
	require.Empty(t, w.settled(), "nothing was recorded")

	status, _ = w.post(body, nil)
	require.Equal(t, 202, status)
	status, says := w.post(body, nil)
	require.Equal(t, 202, status)
	require.Contains(t, says, "recorded before")
	_, says = w.post(body, func(h http.Header) { h.Set("X-GitHub-Delivery", "replayed") })
	require.Contains(t, says, "recorded before", "no signature covers the delivery's id")
	require.Len(t, w.runs("unit"), 1)
}

// sign gives a delivery the signature of another body.
func sign(w *hooked, body []byte) func(h http.Header) {
	return func(h http.Header) { h.Set("X-Hub-Signature-256", "sha256="+mac(w.app.WebhookSecret, body)) }
}

// Every recorded delivery of GitHub gets an answer, and something comes of it, or a reason for nothing.
func TestEveryRecordedDelivery(t *testing.T) {
	t.Parallel()
	hooks, others := beside(t, "github-webhooks"), beside(t, "forge-webhooks", "testdata", "github")
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit", Repository: "Codertocat/Hello-World", Events: ci.EventKinds})
	files, err := filepath.Glob(hooks + "/*/*.json")
	require.NoError(t, err)
	more, err := filepath.Glob(others + "/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	sent := 0
	for _, f := range append(files, more...) {
		body, err := os.ReadFile(f)
		require.NoError(t, err)
		event := filepath.Base(filepath.Dir(f))
		if event == "github" {
			event = strings.ReplaceAll(strings.TrimSuffix(filepath.Base(f), ".json"), "-", "_")
		}
		d := w.app.Deliver(event, body)
		require.Equal(t, 202, d.Status, "%s: %s", f, d.Answer)
		sent++
	}
	recorded := w.settled()
	require.LessOrEqual(t, len(recorded), sent)
	started := 0
	for _, h := range recorded {
		require.NotEmpty(t, h.Note, "%s %s", h.Event, h.Action)
		started += len(h.Runs)
	}
	require.Positive(t, started)
	t.Logf("%d deliveries, %d of them different, %d runs", sent, len(recorded), started)
}

// A delivery that came within a trace starts its runs within it, although they start later.
func TestDeliveryOfATrace(t *testing.T) {
	t.Parallel()
	w := listen(t)
	w.trigger(ci.EventTrigger{Name: "unit", Job: "unit"})
	body := fmt.Appendf(nil, `{"ref":"refs/heads/main","before":%q,"after":%q,"repository":{"id":%d,"full_name":"octo/hello"},"sender":{"id":1,"login":"x"}}`,
		strings.Repeat("0", 40), w.main, w.repo.ID)
	status, says := w.post(body, func(h http.Header) {
		h.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		h.Set("Tracestate", "a=1")
	})
	require.Equal(t, 202, status, says)
	run := w.runs("unit")[0]
	require.Equal(t, &ci.Trace{ID: "4bf92f3577b34da6a3ce929d0e0e4736", Span: "00f067aa0ba902b7", Sampled: true, State: "a=1"}, run.Trace)
}
