package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/pipeline/journal"
	"ci/backend/store/storetest/postgres"
	"ci/pkg/ci"
	"ci/pkg/replay"
)

const twelve = `
def tested(x):
    all(run("lint", params = {"X": x}))
    return run("unit", params = {"X": x})

for i in range(2):
    all(run("prepare", params = {"I": i}))
all([lambda: tested("a"), lambda: tested("b")])
all([run("fan", params = {"N": n}) for n in range(5)])
package = run("package")
if result(package, "version").text == "2":
    all(run("deploy", params = {"AT": now()}))
`

var errCrash = errors.New("the process is gone")

// killer ends a process at its n-th operation.
type killer struct {
	mu   sync.Mutex
	left int
	kill context.CancelFunc
}

func (k *killer) step() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left--; k.left > 0 {
		return nil
	}
	k.kill()
	return errCrash
}

// crashed lets a service of its own work until its n-th operation, and says whether it came so far.
func crashed(t *testing.T, w *world, path string, n int) (came bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	k := &killer{left: n, kill: cancel}
	w.before, w.after = func(string) error { return k.step() }, func(string) error { return k.step() }
	defer func() { w.before, w.after = nil, nil }()
	j, err := journal.Open(ctx, "sqlite:"+path, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, j.Own(ctx))
	s := newSite(t, w, j, func(c *Config) {
		c.Workers = 1
		c.Evaluate = func(_ context.Context, in replay.Input) (*replay.Output, error) {
			if err := k.step(); err != nil {
				return nil, err
			}
			return replay.Evaluate(in), k.step()
		}
	})
	for ctx.Err() == nil {
		list, err := j.ListRuns(t.Context(), journal.Filter{Status: ci.StatusInProgress, Limit: 1})
		require.NoError(t, err)
		if len(list) == 0 {
			require.NoError(t, j.Close())
			return false
		}
		now := s.service.now()
		work, err := j.Claim(t.Context(), list[0].ID, fmt.Sprint("lease", n), now.Add(time.Hour), now.Add(time.Hour*24*29))
		require.NoError(t, err)
		if work == nil {
			continue
		}
		turn := &turn{Service: s.service, Work: work}
		if _, _, err := turn.run(ctx); err == nil && !turn.finished {
			require.NoError(t, j.Release(t.Context(), work, now, ""))
		}
	}
	require.NoError(t, j.Close()) // the lease stays, as a killed process leaves it
	return true
}

// The process dies at each of its operations in turn, before and after its
// effect: each run is triggered once, and all ends as without.
func TestCrashAtEveryOperation(t *testing.T) {
	t.Parallel()
	points := 0
	for n := 1; ; n++ {
		w := newWorld()
		w.results["package:version"] = "2"
		path := filepath.Join(t.TempDir(), "pipelines.db")
		j, err := journal.Open(t.Context(), "sqlite:"+path, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		p := ci.Pipeline{Name: "p", Program: twelve}
		_, err = j.PutPipeline(t.Context(), &p, 0, time.Now())
		require.NoError(t, err)
		r := ci.PipelineRun{Pipeline: "p", Version: 1, Triggered: time.Now()}
		_, err = j.Begin(t.Context(), &r, "key", "", nil)
		require.NoError(t, err)
		require.NoError(t, j.Close())

		came := crashed(t, w, path, n)
		crashed(t, w, path, 1<<30)
		require.Len(t, w.runs, 13, "crash at %d", n)
		for key, times := range w.triggered {
			require.Equal(t, 1, times, "crash at %d: %s", n, key)
		}
		j, err = journal.Open(t.Context(), "sqlite:"+path, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		got, err := j.GetRun(t.Context(), "p", r.ID)
		require.NoError(t, err)
		require.Equal(t, ci.OutcomeSucceeded, got.Outcome, got.Reason)
		require.NoError(t, j.Close())
		if !came {
			break
		}
		points++
	}
	require.Greater(t, points, 50)
	t.Logf("the process died at %d points", points)
}

// Three processes share a journal: all answer, and each run's children are triggered once.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	url := postgres.Start(t).Database(t)
	w := newWorld()
	w.results["package:version"] = "2"
	var sites []*site
	for range 3 {
		s := newSite(t, w, openJournal(t, url), nil)
		s.start()
		sites = append(sites, s)
	}
	sites[0].put("p", twelve)
	var runs []*ci.PipelineRun
	for i := range 12 {
		runs = append(runs, sites[i%3].begin("p", nil))
	}
	for i, r := range runs {
		done := sites[(i+1)%3].done(r)
		require.Equal(t, ci.OutcomeSucceeded, done.Outcome, done.Reason)
	}
	require.Len(t, w.runs, 12*13)
	for key, times := range w.triggered {
		require.Equal(t, 1, times, key)
	}
}

// A thousand pipelines that sleep are rows, and nothing in memory.
func TestAThousandSleep(t *testing.T) {
	t.Parallel()
	s := newSite(t, newWorld(), openJournal(t, ""), nil)
	s.put("p", "sleep('1h')\nrun('a')")
	for range 1000 {
		r := ci.PipelineRun{Pipeline: "p", Version: 1, Triggered: time.Now()}
		_, err := s.journal.Begin(t.Context(), &r, "key", "", nil)
		require.NoError(t, err)
	}
	before := heap()
	s.start()
	var asleep []ci.PipelineRun
	require.Eventually(t, func() bool {
		var err error
		asleep, err = s.journal.ListRuns(t.Context(), journal.Filter{Status: ci.StatusInProgress, Limit: 2000})
		require.NoError(t, err)
		return !slices.ContainsFunc(asleep, func(r ci.PipelineRun) bool { return !strings.HasPrefix(r.Reason, "sleeps until") })
	}, 5*time.Minute, 50*time.Millisecond)
	after := heap()
	t.Logf("1000 sleeping pipelines hold %d KiB", (after-before)>>10)
	require.Less(t, after-before, int64(50<<20))
	require.Len(t, asleep, 1000)
}

// heap is what is in use. Other tests run beside this one, so it is no exact figure.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Hostile definitions end with a clear error, or are refused at once, and harm nobody else.
func TestHostileDefinitions(t *testing.T) {
	t.Parallel()
	sandbox := replay.NewSandbox("")
	t.Cleanup(func() { require.NoError(t, sandbox.Close()) })
	s := newSite(t, newWorld(), openJournal(t, ""), func(c *Config) { c.Evaluate = sandbox.Evaluate })
	s.start()
	hostile := map[string]struct{ program, says string }{
		"loop":   {"while True: pass", "more than 5000000 steps"},
		"list":   {"x = list(range(1000000000))", "memory"},
		"string": {"x = 'a' * (1 << 29)", "memory"},
		"deep":   {"def f(n): return f(n + 1)\nf(0)", "called recursively"},
	}
	for name, c := range hostile {
		status, body := s.do("boss", "PUT", "/pipelines/"+name, map[string]any{"program": c.program})
		require.Equal(t, 400, status, body)
		require.Contains(t, body, c.says)
		s.put(name, "run('first')\n"+c.program) // hidden behind a call
	}
	s.put("decent", "all(run('a'))")
	var runs []*ci.PipelineRun
	for name := range hostile {
		runs = append(runs, s.begin(name, nil))
	}
	decent := s.begin("decent", nil)
	require.Equal(t, ci.OutcomeSucceeded, s.done(decent).Outcome)
	for _, r := range runs {
		done := s.done(r)
		require.Equal(t, ci.OutcomeError, done.Outcome)
		require.Contains(t, done.Reason, hostile[r.Pipeline].says)
		require.NotContains(t, s.jobs(), "first", "a program that is at fault makes no calls in that replay")
	}
}

// Who may what.
func TestRights(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.put("p", "run('a')")
	r := s.done(s.begin("p", nil))
	at := fmt.Sprintf("/pipelines/p/runs/%d", r.ID)
	for _, c := range []struct {
		method, path string
		status       map[string]int // by token
	}{
		{"GET", "/pipelines", map[string]int{"": 401, "who": 401, "agent": 403, "run": 403, "limited": 403, "guest": 200, "dev": 200, "boss": 200}},
		{"GET", "/pipelines/p", map[string]int{"guest": 200, "run": 403}},
		{"GET", at, map[string]int{"guest": 200, "limited": 403}},
		{"PUT", "/pipelines/q", map[string]int{"guest": 403, "dev": 403, "limited": 403, "boss": 400}},
		{"DELETE", "/pipelines/q", map[string]int{"guest": 403, "dev": 403, "boss": 404}},
		{"POST", "/pipelines/q/runs", map[string]int{"guest": 403, "run": 403, "limited": 403, "dev": 404}},
		{"POST", at + "/abort", map[string]int{"guest": 403, "dev": 409}},
		{"POST", at + "/approvals/0", map[string]int{"guest": 403, "dev": 400}},
		{"POST", at + "/rerun", map[string]int{"guest": 403}},
		{"PATCH", at, map[string]int{"": 401, "boss": 405}},
		{"GET", "/pipelines/p/nonsense", map[string]int{"": 401, "boss": 404}},
	} {
		for token, want := range c.status {
			status, body := s.do(token, c.method, c.path, nil)
			require.Equal(t, want, status, "%s %s as %q: %s", c.method, c.path, token, body)
		}
	}
}

func TestStrictInput(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.put("p", "params(n = 1)\nrun('a')")
	for _, c := range []struct {
		method, path, body, says string
		status                   int
	}{
		{"PUT", "/pipelines/x", `{"program":"run('a')","more":1}`, "more", 400},
		{"PUT", "/pipelines/x", `{"program":"run('a')"} {}`, "after top-level value", 400},
		{"PUT", "/pipelines/x", `{"program":"run('a')","program":"run('b')"}`, "duplicate", 400},
		{"PUT", "/pipelines/x", `{"program":"rn('a')"}`, "x.star:1:1: undefined: rn", 400},
		{"PUT", "/pipelines/x", `{"program":""}`, "is missing", 400},
		{"PUT", "/pipelines/-", `{"program":"run('a')"}`, "must begin with a letter", 400},
		{"PUT", "/pipelines/x", `{"program":"` + strings.Repeat(" ", 70000) + `"}`, "at most 65536", 400},
		{"PUT", "/pipelines/x", strings.Repeat(" ", 600000), "has more than", 413},
		{"PUT", "/pipelines/x", `{"program":"run('a')","source":{"url":"u","commit":"main","path":"/etc"}}`, "source.commit", 400},
		{"POST", "/pipelines/p/runs", `{"parameters":{"n":"x"}}`, `parameters.n`, 400},
		{"POST", "/pipelines/p/runs", `{"parameters":{"m":"x"}}`, `is not a parameter of this pipeline; it has n`, 400},
		{"GET", "/pipelines/p/runs/0", ``, "not the number of a run", 404},
		{"GET", "/pipelines/p/runs/9", ``, `pipeline \"p\" has no run 9`, 404},
		{"GET", "/pipelines/p/runs?pageSize=x", ``, "pageSize", 400},
		{"GET", "/pipelines/p/runs?pageToken=x", ``, "pageToken", 400},
		{"GET", "/pipelines/p/runs?pageSize=1&pageSize=2", ``, "2 times", 400},
		{"GET", "/pipelines/p/runs/1?wait=", ``, "is no duration", 400},
		{"GET", "/pipelines?a=%zz", ``, "not one", 400},
		{"POST", "/pipelines/p/runs?n=1", `{}`, "is not known here", 400},
		{"PATCH", "/pipelines/p", ``, "DELETE, GET, PUT", 405},
	} {
		status, body := s.do("boss", c.method, c.path, c.body)
		require.Equal(t, c.status, status, "%s %s: %s", c.method, c.path, body)
		require.Contains(t, body, c.says)
	}
}

func TestListsAndVersions(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.put("p", "run('a')")
	s.put("p", "run('b')")
	_, body := s.do("guest", "GET", "/pipelines", nil)
	require.Contains(t, body, `"version":2`)
	first, second := s.done(s.begin("p", nil)), s.done(s.begin("p", nil))
	_, body = s.do("guest", "GET", "/pipelines/-/runs?pageSize=1", nil)
	require.Contains(t, body, fmt.Sprintf(`"nextPageToken":"%d"`, second.ID))
	_, body = s.do("guest", "GET", fmt.Sprintf("/pipelines/p/runs?outcome=succeeded&pageToken=%d", second.ID), nil)
	require.Contains(t, body, fmt.Sprintf(`"id":%d`, first.ID))
	require.NotContains(t, body, fmt.Sprintf(`"id":%d`, second.ID))
	_, body = s.do("guest", "GET", fmt.Sprintf("/pipelines/p/runs/%d?wait=30s", first.ID), nil)
	require.Contains(t, body, `"status":"done"`)
}
