package web_test

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
	"ci/pkg/replay"
)

// TestMain lets this program replay pipelines, as cid does.
func TestMain(m *testing.M) {
	if code, ran := replay.Main(os.Args, os.Stdin, os.Stdout); ran {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// pipeline puts a program.
func (s *site) pipeline(name, program string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPut, s.url+"/pipelines/"+name, strings.NewReader(`{"program": `+quoted(program)+`}`))
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+s.tokens[ci.RoleAdmin])
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	require.Equal(s.t, 201, resp.StatusCode)
}

func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// triggered waits for the run that a pipeline triggers, and lets the test's agent have it.
func (s *site) triggered(job string, id int64) *played {
	s.t.Helper()
	var run *ci.Run
	require.Eventually(s.t, func() (ok bool) {
		r, err := s.admin.GetRun(s.t.Context(), job, id)
		run = r
		return err == nil
	}, longTime, shortTime)
	return s.claim(*run)
}

// shows waits for a page to say something.
func (b *browser) shows(path, text string) answer {
	b.t.Helper()
	var p answer
	require.Eventually(b.t, func() bool {
		p = b.get(path)
		return strings.Contains(p.body, text)
	}, longTime, shortTime, "%s never says %q", path, text)
	return p
}

const releaseProgram = `p = params(stage = "test")
print("<script>alert(1)</script>")
wait(run("build"))
approve("ship <b>it</b>?")
all(run("deploy", params = {"STAGE": p.stage}))
`

// A pipeline from its form to its end, by a browser without scripts.
func TestPipelineByForms(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("build")
	s.job("deploy", ci.Parameter{Name: "STAGE"})
	s.pipeline("release", releaseProgram)
	b := s.signedIn(ci.RoleTrigger)
	p := b.get("/ui/pipelines")
	lawful(t, p)
	require.Contains(t, p.body, `href="/ui/pipelines/release"`)
	p = b.get("/ui/pipelines/release")
	lawful(t, p)
	require.Contains(t, p.body, `name="p.stage" value="test"`)
	form := url.Values{"p.stage": {"live"}, "attempt": {"once"}}
	p = b.submit("/ui/pipelines/release", "/ui/pipelines/release/runs", form)
	const run = "/ui/pipelines/release/runs/1"
	require.Equal(t, run, p.path)
	require.Equal(t, run, b.submit("/ui/pipelines/release", "/ui/pipelines/release/runs", form).path, "a form that is sent twice is one run")
	require.Contains(t, p.body, `data-live="`+run+`/live"`)
	require.Equal(t, run, b.get("/pipelines/release/runs/1").path, "a browser that follows the API's address sees the page")

	s.triggered("build", 1).end(ci.OutcomeSucceeded, "")
	p = b.shows(run, `value="yes"`)
	lawful(t, p)
	require.Contains(t, p.body, "ship &lt;b&gt;it&lt;/b&gt;?")
	require.Contains(t, p.body, "&lt;script&gt;alert(1)&lt;/script&gt;")
	require.Contains(t, p.body, `<a href="#step-1" aria-label="build: succeeded">`)
	require.Contains(t, p.body, `href="/ui/jobs/build/runs/1"`)
	reader := s.signedIn(ci.RoleRead)
	require.NotContains(t, reader.get(run).body, `value="yes"`)
	require.Equal(t, 403, reader.submit("/ui/", run+"/approvals/2", url.Values{"answer": {"yes"}}).status)
	require.Equal(t, 403, b.post(run+"/approvals/2", url.Values{"answer": {"yes"}}).status, "a form without its value")
	require.Equal(t, 400, b.submit(run, run+"/approvals/2", url.Values{"answer": {"perhaps"}}).status)

	p = b.submit(run, run+"/approvals/2", url.Values{"answer": {"yes"}, "note": {"after the demo"}})
	require.Contains(t, p.body, "The answer was recorded.")
	s.triggered("deploy", 2).end(ci.OutcomeFailed, "no space")
	p = b.shows(run, "Run what failed again")
	lawful(t, p)
	require.Contains(t, p.body, "by the-trigger")
	require.NotContains(t, p.body, "data-live=")
	require.Contains(t, b.get("/ui/pipelines").body, "</span> failed</span>")

	p = b.submit(run, run+"/rerun", url.Values{"failed": {"1"}})
	require.Equal(t, "/ui/pipelines/release/runs/2", p.path)
	b.shows(p.path, "succeeded, reused")
	p = b.submit(p.path, p.path+"/abort", url.Values{})
	require.Contains(t, p.body, "was asked for")
	b.shows("/ui/pipelines/release/runs/2", "Run what failed again")
	require.Equal(t, 409, b.submit(run, run+"/abort", url.Values{}).status)
}

// The page of a run is told what happens, and that it is over; lists are told, too.
func TestLivePipelines(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("build")
	s.pipeline("release", `all(run("build"))`)
	b := s.signedIn(ci.RoleTrigger)
	list := b.open("/ui/live-pipelines?pipeline=release")
	require.Equal(t, "/ui/pipelines/release/runs/1", b.submit("/ui/pipelines/release", "/ui/pipelines/release/runs", url.Values{}).path)
	page := b.open("/ui/pipelines/release/runs/1/live")
	changes := 0
	s.triggered("build", 1).end(ci.OutcomeSucceeded, "")
	b.read(page, func(name, _ string) bool {
		if name == "change" {
			changes++
		}
		return name != "end"
	})
	require.Positive(t, changes)
	b.read(list, func(name, _ string) bool { return name != "change" })
}

func TestMissingPipelines(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(ci.RoleAdmin)
	for _, path := range []string{"/ui/pipelines/none", "/ui/pipelines/none/runs/1", "/ui/pipelines/none/runs/x", "/ui/pipelines/a%00b", "/ui/pipelines/none/runs/1/live", "/ui/live-pipelines?pipeline=%2f"} {
		require.Equal(t, 404, b.get(path).status, path)
	}
	bearer, _, err := s.admin.CreateToken(t.Context(), ci.Token{Name: "limited", Role: ci.RoleTrigger, Jobs: []string{"hello"}, ExpiresAt: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	s.tokens["limited"] = bearer
	limited := s.signedIn("limited")
	require.NotContains(t, limited.get("/ui/").body, "/ui/pipelines")
	require.Equal(t, 403, limited.get("/ui/pipelines").status)
}
