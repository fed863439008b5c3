package web_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// Every page without its console is light, however many runs there are; the console's page is bounded.
func TestWeight(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const job = "job-with-a-name-7"
	for i := range 60 {
		s.job(fmt.Sprintf("job-with-a-name-%d", i))
	}
	_, _, err := s.admin.PutJob(t.Context(), &ci.Job{
		Name: job, Freestyle: []byte(`{"script": "true", "results": {"junit": {"path": "*.xml", "type": "application/zip"}}}`), Parameters: []ci.Parameter{{Name: "LEVEL", Default: "1"}},
	}, 0)
	require.NoError(t, err)
	var report strings.Builder
	report.WriteString("<testsuite name='orders'>")
	for i := range 400 {
		failure := ""
		if i%10 == 3 {
			failure = "<failure message='want 0, got -1'>" + strings.Repeat("orders_test.go:87: total of an empty cart\n", 8) + "</failure>"
		}
		fmt.Fprintf(&report, "<testcase classname='orders' name='TestOrderWithANameOfSomeLength%d' time='0.01'>%s</testcase>", i, failure)
	}
	report.WriteString("</testsuite>")
	var tested *played
	for range 25 {
		tested = s.start(job, nil)
		tested.print("one line\n")
		tested.save("junit", "report.xml", report.String())
		tested.end(ci.OutcomeFailed, "The script exited with 1.")
	}
	for range 120 {
		_, err := s.admin.Trigger(t.Context(), ci.Trigger{Job: job})
		require.NoError(t, err)
	}
	_, _, err = s.admin.PutPipeline(t.Context(), &ci.Pipeline{Name: "ship", Program: "p = params(n = 1)\nall([run('" + job + "', name = 'test %d' % i) for i in range(60)])\napprove('go?')"}, 0)
	require.NoError(t, err)
	var line *ci.PipelineRun
	for range 60 {
		line, err = s.admin.RunPipeline(t.Context(), "ship", nil, "")
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		line, err = s.admin.GetPipelineRun(t.Context(), "ship", line.ID)
		return err == nil && len(line.Calls) == 60
	}, 3*time.Minute, 50*time.Millisecond)
	b := s.signedIn(ci.RoleAdmin)
	assets := len(b.get("/ui/static/app.css").body) + len(b.get("/ui/static/app.js").body) + len(b.get("/ui/static/icon.svg").body)
	light := func(b *browser, path string) {
		p := b.get(path)
		require.Equal(t, 200, p.status, path)
		require.Less(t, len(p.body)+assets, 150<<10, path)
		t.Logf("%s: %d KiB, of which %d are its own", path, (len(p.body)+assets)>>10, len(p.body)>>10)
	}
	for _, path := range []string{
		"/ui/", "/ui/jobs", "/ui/jobs/" + job, "/ui/jobs/" + job + "/tests", "/ui/jobs/" + job + "/settings", tested.address(), tested.address() + "/tests/junit",
		"/ui/pipelines", "/ui/pipelines/ship", fmt.Sprintf("/ui/pipelines/ship/runs/%d", line.ID), "/ui/queue", "/ui/agents", "/ui/tokens", "/ui/settings",
	} {
		light(b, path)
	}
	light(s.browser(), "/ui/sign-in")
}

// A console of 100 MB is read through once, to find where its pages begin. After
// that a page costs what lies on it, wherever that is, and none is held in memory.
// Not beside other tests: it looks at the memory of all.
func TestHugeConsole(t *testing.T) {
	const size, room = 100 << 20, 48 << 20
	s := newSite(t)
	s.job("huge")
	run := s.start("huge", nil)
	line := 0
	for run.at < size {
		var text strings.Builder
		for text.Len() < 1<<20-200 {
			line++
			fmt.Fprintf(&text, "\x1b[3%dmline %d\x1b[0m of a console that is huge: %s\n", line%8, line, strings.Repeat("x", line%80))
		}
		run.print(text.String())
	}
	run.end(ci.OutcomeSucceeded, "")
	b := s.signedIn(ci.RoleRead)
	peak := watchHeap(t)
	began := time.Now()
	p := b.get(run.address())
	first := time.Since(began)
	require.Contains(t, p.body, fmt.Sprintf("line %d<", line))
	var took []time.Duration
	for i := range 40 {
		want := 1 + i*(line/40)
		began = time.Now()
		p = b.get(fmt.Sprintf("%s?line=%d", run.address(), want))
		took = append(took, time.Since(began))
		require.Equal(t, 200, p.status)
		require.Contains(t, p.body, fmt.Sprintf("id=L%d>", want))
		require.Contains(t, p.body, fmt.Sprintf("line %d<", want))
		require.Less(t, len(p.body), 400<<10)
		lawful(t, p)
	}
	slices.Sort(took)
	median := took[len(took)/2]
	grown := peak()
	t.Logf("%d MB in %d lines: the first page in %s, any other in %s (median; p95 %s); at most %d MiB more in use", run.at>>20, line, first, median, took[len(took)*95/100], grown>>20)
	require.Less(t, median, first/5, "a page reads its own range")
	require.Less(t, grown, int64(room))
	began = time.Now()
	peak = watchHeap(t)
	p = b.get(run.address() + "?q=LINE+4242+OF")
	require.Contains(t, p.body, "1 line with")
	t.Logf("a search through all of it in %s", time.Since(began))
	require.Less(t, peak(), int64(room))
}

// watchHeap looks at what is in use until the function that it returns is called,
// which says by how much that was more than at the beginning, at the most.
func watchHeap(t *testing.T) (grown func() int64) {
	t.Helper()
	used := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	runtime.GC()
	before := used()
	most := before
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, used())
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-stopped
		return most - before
	}
}
