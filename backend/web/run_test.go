package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// Limits of what is waited for.
const (
	longTime  = 2 * time.Minute
	shortTime = 50 * time.Millisecond
)

// A run from its form to its end, by a browser without scripts.
func TestRunByForms(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("unit", ci.Parameter{Name: "LEVEL", Default: "1", Description: "how thorough"})
	b := s.signedIn(ci.RoleTrigger)
	page := b.get("/ui/jobs/unit")
	lawful(t, page)
	require.Contains(t, page.body, `name="p.LEVEL" value="1"`)
	require.Contains(t, page.body, "how thorough")
	form := url.Values{"p.LEVEL": {"7"}, "priority": {"urgent"}, "attempt": {"once"}}
	p := b.submit("/ui/jobs/unit", "/ui/jobs/unit/runs", form)
	require.Equal(t, 200, p.status)
	require.Equal(t, p.path, b.submit("/ui/jobs/unit", "/ui/jobs/unit/runs", form).path, "a form that is sent twice is one run")
	require.Contains(t, p.body, "Why it waits")
	require.Contains(t, b.get("/ui/queue").body, p.path)

	got, err := s.admin.GetRun(t.Context(), "unit", 1)
	require.NoError(t, err)
	require.Equal(t, "7", got.Parameters["LEVEL"])
	require.Equal(t, ci.PriorityUrgent, got.Priority)
	require.Equal(t, "the-trigger", got.TriggeredBy)

	run := s.claim(*got)
	run.print("building\n\x1b[31mFAIL\x1b[0m TestCart\n")
	require.Contains(t, b.get(run.address()).body, `<div id="tests" data-part></div>`, "reports come into the page here")
	run.save("junit", "a.xml", `<testsuite name="cart"><testcase name="TestCart"><failure message="want 0, got -1">cart.go:41</failure></testcase><testcase name="TestShip"/></testsuite>`)
	run.end(ci.OutcomeFailed, "the script ended with exit status 1")
	p = b.get(run.address())
	lawful(t, p)
	for _, want := range []string{"the script ended with exit status 1", `<span class="f1">FAIL</span> TestCart`, "1 failed", "1 passed", "want 0, got -1", "/results/junit", ">failed<", `id=L2`} {
		require.Contains(t, strings.ReplaceAll(p.body, "</span> failed", ">failed<"), want)
	}
	require.NotContains(t, p.body, "data-live=")
	require.NotContains(t, p.body, "Abort")

	p = b.get(run.address() + "/tests/junit")
	lawful(t, p)
	require.Less(t, strings.Index(p.body, "TestCart"), strings.Index(p.body, "TestShip"), "failed ones come first")
	require.Equal(t, 404, b.get(run.address()+"/tests/none").status)

	p = b.get(run.address() + "/results/junit")
	require.Equal(t, "application/zip", p.header.Get("Content-Type"))
	require.Equal(t, "attachment; filename=junit.zip", p.header.Get("Content-Disposition"))
	require.Contains(t, p.header.Get("Content-Security-Policy"), "sandbox")
	require.True(t, strings.HasPrefix(p.body, "PK"))
	p = b.get(run.address() + "/console")
	require.Equal(t, "building\n\x1b[31mFAIL\x1b[0m TestCart\n", p.body)
	require.Equal(t, "text/plain; charset=utf-8", p.header.Get("Content-Type"))

	p = b.submit(run.address(), run.address()+"/rerun", url.Values{})
	require.Equal(t, "/ui/jobs/unit/runs/2", p.path)
	p = b.submit("/ui/jobs/unit/runs/2", "/ui/jobs/unit/runs/2/abort", url.Values{})
	require.Contains(t, p.body, "was asked for")
	again, err := s.admin.WaitRun(t.Context(), "unit", 2, ci.UntilDone)
	require.NoError(t, err)
	require.Equal(t, ci.OutcomeAborted, again.Outcome)
	require.Equal(t, got.Parameters, again.Parameters)
	require.Equal(t, 409, b.submit("/ui/jobs/unit/runs/2", "/ui/jobs/unit/runs/2/abort", url.Values{}).status)
}

// The page names the trace, to look it up where traces are kept.
func TestTraceOfARun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("unit")
	run, err := s.admin.Trigger(t.Context(), ci.Trigger{Job: "unit", Trace: ci.ParseTrace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "")})
	require.NoError(t, err)
	p := s.signedIn(ci.RoleRead).get(fmt.Sprintf("/ui/jobs/unit/runs/%d", run.ID))
	lawful(t, p)
	require.Contains(t, p.body, "trace 4bf92f3577b34da6a3ce929d0e0e4736")

	s.pipeline("release", "sleep('1h')")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/pipelines/release/runs", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.tokens[ci.RoleAdmin])
	r.Header.Set("Traceparent", "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	require.Equal(t, 201, s.browser().do(r).status)
	p = s.signedIn(ci.RoleRead).get("/ui/pipelines/release/runs/1")
	lawful(t, p)
	require.Contains(t, p.body, "trace 5bf92f3577b34da6a3ce929d0e0e4736")
}

func TestLiveConsole(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("live")
	run := s.start("live", nil)
	run.print("first\nhalf")
	b := s.signedIn(ci.RoleRead)
	p := b.get(run.address())
	require.Contains(t, p.body, `data-live="`+run.address()+`/live?page=0"`)
	require.Contains(t, p.body, "id=L2><a href=\"#L2\">2</a><span>half</span>")
	var html strings.Builder
	changes, printed := 0, false
	b.events(run.address()+"/live?page=0", func(name, data string) bool {
		switch name {
		case "rows":
			var rows string
			require.NoError(t, json.Unmarshal([]byte(data), &rows))
			html.WriteString(rows)
		case "change":
			changes++
		case "end":
			return false
		}
		if !printed && strings.Contains(html.String(), "half") {
			printed = true
			run.print(" a line\n<b>third</b>\n")
			run.end(ci.OutcomeSucceeded, "")
		}
		return true
	})
	require.Contains(t, html.String(), `id=L1><a href="#L1">1</a><span>first`)
	require.Contains(t, html.String(), `<span>half a line</span>`)
	require.Contains(t, html.String(), `id=L3><a href="#L3">3</a><span>&lt;b&gt;third&lt;/b&gt;`)
	require.Positive(t, changes, "the page is told that the run has ended")
}

// Output that comes in many pieces, over several pages, arrives whole.
func TestLiveConsoleInPieces(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("live")
	run := s.start("live", nil)
	b := s.signedIn(ci.RoleRead)
	const lines = 1200
	var player sync.WaitGroup
	defer player.Wait() // the console's end is told before the player hears that its run has ended
	player.Go(func() {
		for i := range lines {
			run.print(fmt.Sprintf("scenario %d\n", i+1))
		}
		run.end(ci.OutcomeSucceeded, "")
	})
	rows := map[string]bool{}
	b.events(run.address()+"/live?page=0", func(name, data string) bool {
		if name == "rows" {
			var html string
			require.NoError(t, json.Unmarshal([]byte(data), &html))
			for row := range strings.SplitSeq(html, "\n") {
				if _, text, ok := strings.Cut(row, "<span>scenario "); ok {
					rows[strings.TrimSuffix(text, "</span></div>")] = true
				}
			}
		}
		return name != "end"
	})
	require.Len(t, rows, lines)
}

// What happens once the stream is open is told: the page needs no luck.
func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("one")
	s.job("two")
	b := s.signedIn(ci.RoleRead)
	for _, path := range []string{"/ui/live?job=one", "/ui/live"} {
		stream := b.open(path)
		_, err := s.admin.Trigger(t.Context(), ci.Trigger{Job: "one"})
		require.NoError(t, err)
		b.read(stream, func(name, _ string) bool { return name != "change" })
	}
}

func TestLargeConsole(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("large")
	run := s.start("large", nil)
	var text strings.Builder
	const lines = 60_000
	for i := 1; i <= lines; i++ {
		fmt.Fprintf(&text, "line %d of a console that is long: %s\n", i, strings.Repeat("x", i%80))
	}
	text.WriteString(strings.Repeat("y", 1<<20) + "\nthe end\n")
	run.print(text.String())
	run.end(ci.OutcomeSucceeded, "")
	b := s.signedIn(ci.RoleRead)
	p := b.get(run.address())
	require.Contains(t, p.body, "the end")
	require.Contains(t, p.body, "Earlier lines")
	require.NotContains(t, p.body, "Later lines")
	require.Less(t, len(p.body), 400<<10)
	p = b.get(run.address() + "?line=12345")
	require.Contains(t, p.body, "id=L12345><a href=\"#L12345\">12345</a><span>line 12345 of")
	require.Less(t, len(p.body), 400<<10)
	require.Contains(t, p.body, "Earlier lines")
	require.Contains(t, p.body, "Later lines")
	p = b.get(run.address() + "?page=0")
	require.Contains(t, p.body, "<span>line 1 of")
	require.NotContains(t, p.body, "Earlier lines")
	p = b.get(run.address())
	for range 200 { // without a script a link is followed from page to page
		older := regexp.MustCompile(`id="older" href="([^"#]+)#console"`).FindStringSubmatch(p.body)
		if older == nil {
			break
		}
		p = b.get(older[1])
		require.Equal(t, 200, p.status)
	}
	require.Contains(t, p.body, "<span>line 1 of")
	p = b.get(run.address() + "?q=LINE+4242+OF")
	require.Contains(t, p.body, "1 line with")
	require.Contains(t, p.body, run.address()+"?line=4242#L4242")
}

func TestHistory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("unit")
	s.job("plain")
	report := func(cases ...string) string {
		var b strings.Builder
		for _, c := range cases {
			name, how, _ := strings.Cut(c, ":")
			fmt.Fprintf(&b, `<testcase name="%s">%s</testcase>`, name, map[string]string{"": "", "bad": `<failure message="no"/>`, "flaky": `<flakyFailure message="once"/>`, "skip": "<skipped/>"}[how])
		}
		return `<testsuite name="s">` + b.String() + `</testsuite>`
	}
	for _, r := range []string{
		report("Steady", "Turns", "Breaks", "Again:flaky", "Off:skip"),
		report("Steady", "Turns:bad", "Breaks", "Again", "Off:skip"),
		report("Steady", "Turns", "Breaks:bad", "Again", "Off:skip"),
		"<broken",
	} {
		run := s.start("unit", nil)
		run.print("x")
		run.save("junit", "a.xml", r)
		run.end(ci.OutcomeFailed, "")
	}
	b := s.signedIn(ci.RoleRead)
	p := b.get("/ui/jobs/unit/tests")
	lawful(t, p)
	order := []string{"Breaks", "Turns", "Again", "Steady"}
	for i, name := range order {
		require.Contains(t, p.body, name)
		if i > 0 {
			require.Less(t, strings.Index(p.body, order[i-1]+" <span"), strings.Index(p.body, name+" <span"), "%s before %s", order[i-1], name)
		}
	}
	require.Contains(t, p.body, "went back and forth")
	require.Contains(t, p.body, "within one run")
	require.Contains(t, p.body, "failed in 1 of 3 runs")
	require.Contains(t, p.body, "is not XML", "a broken report hides no others")
	require.Contains(t, b.get("/ui/jobs/plain/tests").body, "None of the newest runs")
}

func settingsForm() url.Values {
	return url.Values{
		"globalTimeout": {"2h"}, "abortGrace": {"10s"}, "retention": {"720h"}, "agentRetention": {"24h"}, "maxConsole": {"64MiB"}, "maxResult": {"1GiB"}, "maxResultFiles": {"100"}, "version": {"1"},
		"class": {"small", "huge", ""}, "cpus": {"1", "8", ""}, "memory": {"2GiB", "16GiB", ""},
	}
}

func TestSettingsAndTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(ci.RoleAdmin)
	p := b.get("/ui/settings")
	lawful(t, p)
	require.Contains(t, p.body, `value="2GiB"`)
	p = b.submit("/ui/settings", "/ui/settings", settingsForm())
	require.Contains(t, p.body, "The settings were saved.")
	c, err := s.admin.GetConfig(t.Context())
	require.NoError(t, err)
	require.Equal(t, ci.Duration(2*time.Hour), c.GlobalTimeout)
	require.Equal(t, []ci.Quota{{Name: "small", CPUs: 1, Memory: 2 << 30}, {Name: "huge", CPUs: 8, Memory: 16 << 30}}, c.Classes)
	require.Equal(t, 412, b.submit("/ui/settings", "/ui/settings", settingsForm()).status, "somebody has changed them meanwhile")
	bad := settingsForm()
	bad.Set("globalTimeout", "soon")
	p = b.submit("/ui/settings", "/ui/settings", bad)
	require.Equal(t, 400, p.status)
	require.Contains(t, p.body, "is not a duration")

	p = b.submit("/ui/tokens", "/ui/tokens", url.Values{"name": {"robot"}, "role": {"trigger"}, "jobs": {"a, b"}, "days": {"7"}})
	lawful(t, p)
	require.Regexp(t, `<pre[^>]*>eyJ[A-Za-z0-9._-]+</pre>`, p.body)
	require.NotRegexp(t, `<pre[^>]*>eyJ`, b.get("/ui/tokens").body, "it is shown once")
	var robot ci.Token
	for tok, err := range s.admin.ListTokens(t.Context()) {
		require.NoError(t, err)
		if tok.Name == "robot" {
			robot = tok
		}
	}
	require.Equal(t, []string{"a", "b"}, robot.Jobs)
	require.False(t, robot.ExpiresAt.IsZero())
	p = b.submit("/ui/tokens", "/ui/tokens/"+robot.ID+"/revoke", url.Values{})
	require.Contains(t, p.body, "The token was revoked")
}

// A slip in the days is told, and makes no token: least of all one that never ends.
func TestDaysOfTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(ci.RoleAdmin)
	for _, days := range []string{"90d", "-1", "0", "1.5", "36501", "9999999999", "99999999999999999999", "<b>"} {
		p := b.submit("/ui/tokens", "/ui/tokens", url.Values{"name": {"slip"}, "role": {"read"}, "days": {days}})
		require.Equal(t, 400, p.status, days)
		require.Contains(t, p.body, "is not a number of days from 1 to 36500")
		lawful(t, p)
	}
	for name, days := range map[string]string{"longest": "36500", "for-ever": " "} {
		p := b.submit("/ui/tokens", "/ui/tokens", url.Values{"name": {name}, "role": {"read"}, "days": {days}})
		require.Equal(t, 200, p.status, "%s: %s", name, p.body)
	}
	for tok, err := range s.admin.ListTokens(t.Context()) {
		require.NoError(t, err)
		require.NotEqual(t, "slip", tok.Name)
		require.False(t, tok.Name == "longest" && tok.ExpiresAt.IsZero())
	}
}

func TestAgents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("work")
	s.start("work", nil)
	b := s.signedIn(ci.RoleAdmin)
	p := b.get("/ui/agents")
	lawful(t, p)
	for _, want := range []string{"the-agent", "1 of 4", "2GiB of 8GiB", "Load: 40 %", "work #1", "takes runs"} {
		require.Contains(t, p.body, want)
	}
	_, err := s.admin.TriggerBatch(t.Context(), slices.Repeat([]ci.Trigger{{Job: "work"}}, 500)) // more than the page lists of what is new
	require.NoError(t, err)
	require.NotContains(t, b.get("/ui/agents").body, "work #1<")
	s.heartbeat(1)
	p = b.get("/ui/agents")
	require.Contains(t, p.body, "work #1<", "it is held, however many have come since")
	p = b.submit("/ui/agents", "/ui/agents/the-agent/drain", url.Values{})
	require.Contains(t, p.body, "draining")
	require.Contains(t, p.body, "ordered by the-admin")
	p = b.submit("/ui/agents", "/ui/agents/the-agent/drain", url.Values{"undo": {"1"}})
	require.Contains(t, p.body, "takes runs")
}
