package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend"
	"ci/gh/ghtest"
	"ci/pkg/ci"
)

// report is a JUnit file with n tests that failed.
func report(n int) string {
	var b strings.Builder
	b.WriteString(`<testsuite>`)
	for i := range n {
		fmt.Fprintf(&b, `<testcase classname="pkg" name="Test%d" file="pkg/a_test.go" line="%d"><failure message="want 1 got 2">trace %d</failure></testcase>`, i, i+1, i)
	}
	b.WriteString(`<testcase classname="pkg" name="Good"/></testsuite>`)
	return b.String()
}

// TestLife follows one run: each state is told once, in order.
func TestLife(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.worker(w.Checks())
	r := w.trigger("unit tests")
	queued := r.check("queued")
	require.Equal(t, fmt.Sprintf("https://ci.example.org/jobs/unit/runs/%d", r.claim.Run), queued.DetailsURL)
	require.Equal(t, "abort", queued.Actions[0].Identifier)
	r.start()
	r.check("in_progress")
	r.finish(ci.OutcomeFailed, "ok\n\x1b[31mmain.go:3:5: undefined: x\x1b[0m\n", report(2))
	c := r.check("completed failure")
	require.Equal(t, []string{"queued", "in_progress", "completed failure"}, c.History)
	require.Equal(t, "2 of 3 tests failed", *c.Output.Title)
	require.Contains(t, *c.Output.Summary, "### Failed tests")
	require.Contains(t, *c.Output.Summary, "want 1 got 2")
	require.Contains(t, *c.Output.Text, "main.go:3:5: undefined: x")
	require.NotContains(t, *c.Output.Text, "\x1b")
	require.Len(t, c.Annotations, 3)
	require.Equal(t, ghtest.Annotation{
		Path: "pkg/a_test.go", StartLine: 1, EndLine: 1, Level: "failure", Message: "want 1 got 2", Title: "pkg Test0", RawDetails: "trace 0",
	}, c.Annotations[0])
	require.Equal(t, "main.go", c.Annotations[2].Path)
	require.Equal(t, 5, *c.Annotations[2].StartCol)
	require.Equal(t, "rerun", c.Actions[0].Identifier)
	w.settled()
}

// TestOutcomes is the word that GitHub has for each end.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.worker(w.Checks())
	for outcome, want := range map[ci.Outcome]string{
		ci.OutcomeSucceeded: "success", ci.OutcomeFailed: "failure", ci.OutcomeError: "failure", ci.OutcomeAborted: "cancelled", ci.OutcomeTimedOut: "timed_out",
	} {
		r := w.trigger(string(outcome))
		r.start()
		r.finish(outcome, "done\n", "")
		r.check("completed " + want)
	}
	w.settled()
}

// TestDownForTheWholeRun takes GitHub away before the run and brings it back
// after: what it hears is the end, and no state twice.
func TestDownForTheWholeRun(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]int{"no answers": ghtest.Cut, "502": http.StatusBadGateway} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.gh.Down(how)
			w.worker(w.Checks())
			r := w.trigger("unit")
			r.start()
			r.finish(ci.OutcomeSucceeded, "fine\n", "")
			w.gh.Down(0)
			back := time.Now()
			c := r.check("completed success")
			t.Logf("right %s after GitHub was back", time.Since(back).Round(time.Millisecond))
			w.settled()
			require.Len(t, w.repo.CheckRuns(w.sha), 1)
			inOrder(t, c.History)
		})
	}
}

// TestManyAnnotations needs two requests; GitHub fails between them, and once
// the answer is lost on its way.
func TestManyAnnotations(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*ghtest.Fault{
		"smoothly":            nil,
		"second fails":        {Method: "PATCH", Part: "/check-runs/", Times: 2, Status: 502},
		"an answer is lost":   {Method: "PATCH", Part: "/check-runs/", Times: 1, Lose: true},
		"the first is lost":   {Method: "POST", Part: "/check-runs", Times: 1, Lose: true},
		"an overload":         {Method: "PATCH", Part: "/check-runs/", Times: 1, Status: 503, RetryAfter: time.Second},
		"the secondary limit": {Method: "PATCH", Part: "/check-runs/", Times: 1, Status: 403, Secondary: true, RetryAfter: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			r := w.trigger("unit")
			r.start()
			r.finish(ci.OutcomeFailed, "", report(60))
			if fault != nil {
				w.gh.Fail(*fault)
			}
			w.worker(w.Checks())
			c := r.check("completed failure")
			w.settled()
			require.Len(t, w.repo.CheckRuns(w.sha), 1)
			require.Len(t, c.Annotations, 60)
			var lines []int
			for _, a := range c.Annotations {
				lines = append(lines, a.StartLine)
			}
			require.True(t, slices.IsSorted(lines), "in their order")
			require.Len(t, slices.Compact(lines), 60, "each once")
			require.Equal(t, "completed failure", c.History[len(c.History)-1])
			require.Equal(t, "in_progress", c.History[0], "it is completed when all of it is there")
			for _, q := range w.gh.Requests("", "/check-runs") {
				require.LessOrEqual(t, strings.Count(string(q.Body), `"annotation_level"`), 50)
			}
		})
	}
}

// killed is the outbox of a cid that dies between GitHub's answer and its own
// note: nothing of it is written down, until it lives again.
type killed struct {
	*backend.Checks
	at   ci.CheckState // it dies when this was told
	died chan struct{}

	mu   sync.Mutex
	dead bool
}

func (k *killed) gone() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}

// CheckTold dies.
func (k *killed) CheckTold(ctx context.Context, n ci.CheckNews) error {
	if n.Told != k.at {
		return k.Checks.CheckTold(ctx, n)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.dead {
		k.dead = true
		close(k.died)
	}
	return errors.New("killed")
}

// ClaimChecks claims nothing once it is dead, and has a short lease before, so that others need not wait long.
func (k *killed) ClaimChecks(ctx context.Context, holder string, limit int, skip []string, _ time.Duration) ([]ci.Check, error) {
	if k.gone() {
		return nil, nil
	}
	return k.Checks.ClaimChecks(ctx, holder, limit, skip, time.Second)
}

// TestKilledBeforeTheNote has a cid die after GitHub has heard of a state: the
// next one finds that out. It makes no second check, and tells nothing twice.
func TestKilledBeforeTheNote(t *testing.T) {
	t.Parallel()
	for _, state := range ci.CheckStates {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			first := &killed{Checks: w.Checks(), at: state, died: make(chan struct{})}
			stop := w.worker(first)
			r := w.trigger("unit")
			if state == ci.CheckQueued {
				<-first.died
			}
			r.start()
			if state == ci.CheckInProgress {
				<-first.died
			}
			r.finish(ci.OutcomeSucceeded, "", "")
			if state == ci.CheckCompleted {
				<-first.died
			}
			stop()
			w.worker(w.Checks())
			w.settled()
			require.Len(t, w.repo.CheckRuns(w.sha), 1, "one check for one run")
			inOrder(t, r.check("completed success").History)
		})
	}
}

// TestTwoCids has two workers share one outbox while twenty runs go through
// their lives: each state of each run is told once, and none goes back.
func TestTwoCids(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.worker(w.Checks())
	w.worker(w.Checks())
	var runs []*run
	for i := range 20 {
		runs = append(runs, w.trigger(fmt.Sprint("job ", i)))
	}
	var wait sync.WaitGroup
	for _, r := range runs {
		wait.Go(func() {
			r.start()
			r.finish(ci.OutcomeSucceeded, "fine\n", "")
		})
	}
	wait.Wait()
	w.settled()
	require.Len(t, w.repo.CheckRuns(w.sha), len(runs))
	for _, c := range w.repo.CheckRuns(w.sha) {
		inOrder(t, c.History)
	}
}

// inOrder says that states were told in their order, each once, and the end last.
func inOrder(t *testing.T, history []string) {
	t.Helper()
	order := []string{"queued", "in_progress", "completed success"}
	require.True(t, slices.IsSortedFunc(history, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) }), "%v", history)
	require.Len(t, slices.Compact(slices.Clone(history)), len(history), "each once: %v", history)
	require.Equal(t, "completed success", history[len(history)-1])
}

// TestSlowGitHub holds an answer back until it is too late for whoever asked;
// GitHub has done what was asked. The other check goes on meanwhile.
func TestSlowGitHub(t *testing.T) {
	t.Parallel()
	w := setup(t)
	hold := make(chan struct{})
	w.gh.Fail(ghtest.Fault{Method: "POST", Part: "/check-runs", Times: 1, Hold: hold})
	w.worker(w.Checks())
	slow := w.trigger("slow")
	require.Eventually(t, func() bool { return w.gh.Used("POST", "/check-runs") > 0 }, limit, 10*time.Millisecond)
	other := w.trigger("other")
	other.check("queued")
	close(hold)
	slow.check("queued")
	require.Len(t, w.repo.CheckRuns(w.sha), 2)
}

// TestHeld asks for an approval, and makes way for the run that follows.
func TestHeld(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.gh.Down(ghtest.Cut)
	w.hold("late")
	w.hold("unit")
	late := w.trigger("late")
	w.worker(w.Checks())
	w.gh.Down(0)
	late.check("queued")
	require.Eventually(t, func() bool { _, ok := w.repo.Check(w.sha, "unit"); return ok }, limit, 20*time.Millisecond)
	c, _ := w.repo.Check(w.sha, "unit")
	require.Equal(t, []string{"completed action_required"}, c.History)
	require.Equal(t, "approve", c.Actions[0].Identifier)
	require.Empty(t, c.ExternalID)
	require.Len(t, w.repo.CheckRuns(w.sha), 2, "nobody heard of the first approval, so it is not asked for any more")
}

// TestRefused has GitHub take a permission away and give it back.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.install.Permit("checks", "read")
	w.worker(w.Checks())
	r := w.trigger("unit")
	require.Eventually(t, func() bool { return len(w.gh.Requests("POST", "/check-runs")) > 0 }, limit, 20*time.Millisecond)
	w.install.Permit("checks", "write")
	w.gh.Revoke() // a token knows what it may from when it was made
	r.check("queued")
}

// TestTokenMode works without an App: by commit statuses.
func TestTokenMode(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.forge.AppID, w.forge.PrivateKey, w.forge.Token = 0, "", w.gh.UserToken("octo")
	w.gh.Fail(ghtest.Fault{Method: "POST", Part: "/statuses/", Times: 1, Lose: true})
	w.worker(w.Checks())
	o := w.origin("unit")
	o.Installation = 0
	r := w.triggerFor(o)
	seen := func(state string) func() bool {
		return func() bool {
			list := w.repo.Statuses(w.sha)
			return len(list) > 0 && list[len(list)-1].State == state
		}
	}
	require.Eventually(t, seen("pending"), limit, 20*time.Millisecond)
	r.start()
	r.finish(ci.OutcomeFailed, "", "")
	require.Eventually(t, seen("failure"), limit, 20*time.Millisecond)
	w.settled()
	var told []string
	for _, s := range w.repo.Statuses(w.sha) {
		told = append(told, s.State+" "+s.Description)
		require.Equal(t, "unit", s.Context)
	}
	require.Len(t, slices.Compact(slices.Clone(told)), len(told), "none twice: %v", told)
	require.Equal(t, "failure Failed with exit code 2", told[len(told)-1])
}

// TestNoForge triggers without an event: nothing is to be told of such a run.
func TestNoForge(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, _, err := w.Engine.Trigger(w.ctx, ci.Trigger{Job: "unit", By: "test"})
	require.NoError(t, err)
	n, err := w.Store.OpenChecks(w.ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}
