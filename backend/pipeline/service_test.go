package pipeline

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
	"ci/pkg/replay"
)

// TestMain makes the test's own binary the child of sandboxes.
func TestMain(m *testing.M) {
	if code, ran := replay.Main(os.Args, os.Stdin, os.Stdout); ran {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

const release = `
p = params(branch = "main", deploy = True)
all([run("unit", branch = p.branch, params = {"N": i}) for i in range(3)])
package = run("package", branch = p.branch)
version = result(package, "version").text.strip()
if p.deploy and version == "2":
    approve("deploy " + version + "?")
    all(run("deploy", params = {"VERSION": version}))
`

func TestRelease(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.results["package:version"] = "2\n"
	s.put("release", release)
	r := s.until(s.begin("release", map[string]string{"branch": "dev"}), "waiting for an answer", func(r *ci.PipelineRun) bool {
		return waiting(ci.CallApprove)(r) && strings.HasPrefix(r.Reason, "waits for an answer")
	})
	require.Equal(t, `waits for an answer to "deploy 2?"`, r.Reason)
	require.Equal(t, []string{"unit", "unit", "unit", "package"}, s.jobs())
	approval := r.Calls[len(r.Calls)-1]
	path := fmt.Sprintf("/pipelines/release/runs/%d/approvals/%s", r.ID, approval.ID)
	status, body := s.do("guest", "POST", path, `{"approved":true}`)
	require.Equal(t, 403, status, body)
	status, body = s.do("dev", "POST", path, `{}`)
	require.Equal(t, 400, status, body)
	status, body = s.do("dev", "POST", path, `{"approved":true,"note":"go"}`)
	require.Equal(t, 200, status, body)
	status, body = s.do("dev", "POST", path, `{"approved":false}`)
	require.Equal(t, 409, status, body)

	r = s.done(r)
	require.Equal(t, ci.OutcomeSucceeded, r.Outcome, r.Reason)
	require.Equal(t, []string{"unit", "unit", "unit", "package", "deploy"}, s.jobs())
	require.Equal(t, "dev", r.TriggeredBy)
	require.Equal(t, map[string]string{"VERSION": "2"}, s.runs[4].Parameters)
	require.Equal(t, "dev", s.runs[0].BranchName)
	last := r.Calls[len(r.Calls)-1]
	require.Equal(t, []string{approval.ID}, last.After)
	require.Equal(t, &ci.RunRef{Job: "deploy", Run: 5}, last.Run)
	require.False(t, last.Ended.Before(last.Began))

	status, body = s.do("guest", "GET", fmt.Sprintf("/pipelines/release/runs/%d/graph", r.ID), nil)
	require.Equal(t, 200, status)
	require.Contains(t, body, fmt.Sprintf(`[%q,%q]`, approval.ID, last.ID))
	status, body = s.do("guest", "GET", fmt.Sprintf("/pipelines/release/runs/%d/program", r.ID), nil)
	require.Equal(t, 200, status)
	require.Equal(t, release, body)
}

func TestAbortReachesAllChildren(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.held["long"] = true
	s.put("p", "all([run('long') for i in range(5)])\nrun('never')")
	r := s.until(s.begin("p", nil), "waiting", func(r *ci.PipelineRun) bool { return len(s.jobs()) == 5 && len(r.Calls) == 5 })
	path := fmt.Sprintf("/pipelines/p/runs/%d/abort", r.ID)
	status, body := s.do("dev", "POST", path, nil)
	require.Equal(t, 200, status, body)
	r = s.done(r)
	require.Equal(t, ci.OutcomeAborted, r.Outcome)
	require.Equal(t, 5, s.aborts)
	for _, c := range r.Calls {
		require.Equal(t, ci.OutcomeAborted, c.Outcome, c.ID)
	}
	require.NotContains(t, s.jobs(), "never")
	status, _ = s.do("dev", "POST", path, nil)
	require.Equal(t, 409, status)
}

// An answer that comes while a worker ends the run counts, and holds nothing up:
// the worker looks again at once, not when its lease is over.
func TestAnsweredWhileItEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, newWorld(), openJournal(t, ""), nil)
	s.held["long"] = true
	asks := make(chan string, 1)
	s.before = func(operation string) error {
		if operation == "abort" {
			select {
			case path := <-asks:
				status, body := s.do("dev", "POST", path, `{"approved":true}`)
				require.Equal(t, 200, status, body)
			default: // it was answered
			}
		}
		return nil
	}
	s.start()
	s.put("p", "run('long')\napprove('go?')")
	r := s.until(s.begin("p", nil), "asking", func(r *ci.PipelineRun) bool { return waiting(ci.CallRun)(r) && waiting(ci.CallApprove)(r) })
	path := fmt.Sprintf("/pipelines/p/runs/%d", r.ID)
	asks <- path + "/approvals/1"
	began := time.Now()
	status, body := s.do("dev", "POST", path+"/abort", nil)
	require.Equal(t, 200, status, body)
	r = s.done(r)
	require.Less(t, time.Since(began), s.service.Lease/2)
	require.Equal(t, ci.OutcomeAborted, r.Outcome)
	require.Equal(t, []ci.Outcome{ci.OutcomeAborted, ci.OutcomeSucceeded}, []ci.Outcome{r.Calls[0].Outcome, r.Calls[1].Outcome})
}

func TestAFailureAbortsWhatStillRuns(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.held["long"], s.outcomes["bad"] = true, ci.OutcomeFailed
	s.put("p", "all([run('long'), run('bad')], fail_fast = True)")
	r := s.done(s.begin("p", nil))
	require.Equal(t, ci.OutcomeFailed, r.Outcome)
	require.Contains(t, r.Reason, "failed: as told")
	require.Equal(t, 1, s.aborts)
}

func TestRerunOnlyWhatFailed(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.outcomes["t3"] = ci.OutcomeFailed
	s.put("p", "approve('begin?')\ntests = all([run('t%d' % i) for i in range(5)], check = False)\nafter = wait(run('after', params = {'OF': tests[3].id}))\nall(tests)\nall(after)\nall(run('deploy'))")
	r := s.until(s.begin("p", nil), "asking", waiting(ci.CallApprove))
	status, body := s.do("dev", "POST", fmt.Sprintf("/pipelines/p/runs/%d/approvals/0", r.ID), `{"approved":true}`)
	require.Equal(t, 200, status, body)
	r = s.done(r)
	require.Equal(t, ci.OutcomeFailed, r.Outcome)
	require.Equal(t, []string{"after", "t0", "t1", "t2", "t3", "t4"}, sortedJobs(s))

	s.mu.Lock()
	s.outcomes["t3"] = ""
	s.mu.Unlock()
	status, body = s.do("dev", "POST", fmt.Sprintf("/pipelines/p/runs/%d/rerun", r.ID), `{"failed":true}`)
	require.Equal(t, 201, status, body)
	again := s.done(s.decode(body))
	require.Equal(t, ci.OutcomeSucceeded, again.Outcome, again.Reason)
	require.Equal(t, r.ID, again.RerunOf)
	require.Equal(t, []string{"after", "after", "deploy", "t0", "t1", "t2", "t3", "t3", "t4"}, sortedJobs(s), "only t3 and what came after it")
	reused := 0
	for _, c := range again.Calls {
		if c.Reused {
			reused++
		}
	}
	require.Equal(t, 5, reused, "the approval and four tests")
	status, _ = s.do("dev", "POST", fmt.Sprintf("/pipelines/p/runs/%d/rerun", again.ID), `{"failed":true}`)
	require.Equal(t, 409, status)
	status, body = s.do("dev", "POST", fmt.Sprintf("/pipelines/p/runs/%d/rerun", again.ID), nil)
	require.Equal(t, 201, status, body)
	whole := s.until(s.decode(body), "asking", waiting(ci.CallApprove))
	require.Len(t, whole.Calls, 1)
}

// An Idempotency-Key makes a second rerun the first one's run, and may be no longer than any other.
func TestKeysOfReruns(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.put("p", "run('a')")
	path := fmt.Sprintf("/pipelines/p/runs/%d/rerun", s.done(s.begin("p", nil)).ID)
	for _, c := range []struct {
		key, says string
		status    int
	}{{"k", `"id":2`, 201}, {"k", `"id":2`, 200}, {strings.Repeat("k", ci.MaxIdempotencyKey), `"id":3`, 201}, {strings.Repeat("k", ci.MaxIdempotencyKey+1), "at most 255 bytes", 400}} {
		status, body := s.do("dev", "POST", path, nil, "Idempotency-Key", c.key)
		require.Equal(t, c.status, status, body)
		require.Contains(t, body, c.says)
	}
}

// A run deep within functions has a key, too, and one of its own.
func TestKeysOfDeepCalls(t *testing.T) {
	t.Parallel()
	const depth = 80
	program := "def f0(): return [run('deep', params = {'N': n}) for n in range(2)]\n"
	for i := range depth {
		program += fmt.Sprintf("def f%d(): return all([f%d])\n", i+1, i)
	}
	s := setup(t)
	s.put("p", program+fmt.Sprintf("f%d()", depth))
	r := s.done(s.begin("p", nil))
	require.Equal(t, ci.OutcomeSucceeded, r.Outcome, r.Reason)
	require.Equal(t, []string{"deep", "deep"}, s.jobs())
	require.Greater(t, len(r.Calls[0].ID), ci.MaxIdempotencyKey, "else nothing is tried")
	for key := range s.triggered {
		require.LessOrEqual(t, len(key), ci.MaxIdempotencyKey)
	}
}

func sortedJobs(s *site) []string {
	list := s.jobs()
	for i := range list {
		for j := range i {
			if list[i] < list[j] {
				list[i], list[j] = list[j], list[i]
			}
		}
	}
	return list
}

// A run goes on with the text that it began with.
func TestChangedDefinitionNeverMeetsAnOldRun(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.held["a"] = true
	s.put("p", "all(run('a'))\nrun('old')")
	r := s.until(s.begin("p", nil), "waiting", waiting(ci.CallRun))
	s.put("p", "all(run('b'))\nrun('new')")
	status, _ := s.do("boss", "DELETE", "/pipelines/p", nil)
	require.Equal(t, 204, status)
	require.Equal(t, 1, s.finish("a", ci.OutcomeSucceeded))
	r = s.done(r)
	require.Equal(t, ci.OutcomeSucceeded, r.Outcome, r.Reason)
	require.Equal(t, []string{"a", "old"}, s.jobs())
}

func TestWhatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.put("p", "r = wait(run('missing'))\nprint(r.outcome, r.reason, r.id)\nresult(r, 'x')")
	r := s.done(s.begin("p", nil))
	require.Equal(t, ci.OutcomeFailed, r.Outcome)
	require.Equal(t, "p.star:3: missing was not triggered, so it has no result x", r.Reason)
	require.Equal(t, `error there is no job "missing" 0`, r.Calls[1].Title)
}

func TestResults(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("a.xml")
	require.NoError(t, err)
	_, err = io.WriteString(f, `<testsuite><testcase classname="c" name="good"/><testcase classname="c" name="bad"><failure message="no"/></testcase></testsuite>`)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	s.results["a:junit"], s.results["a:text"], s.results["a:long"], s.results["a:binary"] = b.String(), "1", strings.Repeat("x", 1<<20), "\xff\xfe"
	s.put("p", `
r = run("a")
j = result(r, "junit").tests
print(j.total, j.failed, j.failures)
print(json.decode(result(r, "text").text) + 1)
print(result(r, "long").text, result(r, "long").size, result(r, "binary").text)
`)
	done := s.done(s.begin("p", nil))
	require.Equal(t, ci.OutcomeSucceeded, done.Outcome, done.Reason)
	var printed []string
	for _, c := range done.Calls {
		if c.Kind == ci.CallPrint {
			printed = append(printed, c.Title)
		}
	}
	require.Equal(t, []string{`2 1 ["c bad"]`, "2", "None 1048576 None"}, printed)
}

// An API that is away is waited for; nothing is triggered twice, and no event is needed.
func TestTheAPIIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := newSite(t, w, openJournal(t, ""), nil)
	failures := 3
	w.after = func(string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if failures--; failures >= 0 {
			return ci.Errorf(ci.CodeUnavailable, "the answer was lost")
		}
		return nil
	}
	clock := time.Now()
	s.service.Now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		clock = clock.Add(100 * time.Millisecond) // pauses pass in no time
		return clock
	}
	s.start()
	s.put("p", "all([run('a'), run('b')])")
	r := s.done(s.begin("p", nil))
	require.Equal(t, ci.OutcomeSucceeded, r.Outcome, r.Reason)
	require.Equal(t, []string{"a", "b"}, sortedJobs(s))
}

// A trigger whose answer was lost for longer than the API remembers keys is not repeated.
func TestAKeyThatMayBeForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := newSite(t, w, openJournal(t, ""), nil)
	w.after = func(string) error { return ci.Errorf(ci.CodeUnavailable, "the answer was lost") }
	clock := time.Now()
	s.service.Now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		clock = clock.Add(time.Hour)
		return clock
	}
	s.start()
	s.put("p", "all(run('a'))")
	r := s.done(s.begin("p", nil))
	require.Equal(t, ci.OutcomeFailed, r.Outcome)
	require.Contains(t, r.Reason, "the API has not said whether it was triggered")
	require.Equal(t, []string{"a"}, s.jobs())
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.put("asks", "approve('?', timeout = '10ms')")
	s.put("sleeps", "sleep('10ms')\nsleep(0)\nprint(now())")
	r := s.done(s.begin("asks", nil))
	require.Equal(t, ci.OutcomeFailed, r.Outcome)
	require.Equal(t, `nobody answered "?" in time`, r.Reason)
	r = s.done(s.begin("sleeps", nil))
	require.Equal(t, ci.OutcomeSucceeded, r.Outcome)

	old := newSite(t, newWorld(), openJournal(t, ""), func(c *Config) { c.MaxAge = time.Millisecond })
	old.start()
	old.put("p", "sleep('1h')")
	r = old.done(old.begin("p", nil))
	require.Equal(t, ci.OutcomeTimedOut, r.Outcome)
}

// Leases and deadlines go by the one clock that all processes share, see the journal's test of it.
func TestTimeIsTheJournals(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := newSite(t, w, openJournal(t, ""), nil)
	require.Equal(t, reflect.ValueOf(s.journal.Now).Pointer(), reflect.ValueOf(s.service.Now).Pointer())
}
