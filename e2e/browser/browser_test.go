// Package browser opens the pages in a real Chromium, against a real cid with
// Docker, and does what people do there.
package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
	"ci/e2e/rig/chromium"
)

// script waits for its test to look at the console before it goes on: not for a moment, but for an abort or the test's end.
const script = `printf 'one \033[31mred\033[0m line\n<script>alert(1)</script>\n\033]0;title\007\033[2J\n'
[ "$FAIL" = 0 ] || printf '<testsuite name="cart"><testcase name="TestCart"><failure message="want 0, got -1">cart.go:41</failure></testcase><testcase name="TestShip"/></testsuite>' > report.xml
[ "$FAIL" = 0 ] && printf '<testsuite name="cart"><testcase name="TestCart"/><testcase name="TestShip"/></testsuite>' > report.xml
exit $FAIL
`

// world is a cid, a browser, and somebody who has signed in.
type world struct {
	t   *testing.T
	cid *rig.Cid
	git *rig.Git
	api *rig.Client
	tab *chromium.Tab
}

func setup(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser, a real server and containers are started")
	}
	bin, err := rig.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	git, err := rig.NewGit(filepath.Join(t.TempDir(), "git"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, git.Off()) })
	cid, err := rig.NewCid(bin, filepath.Join(t.TempDir(), "data"), os.Environ(), "--git-allow", git.Host)
	require.NoError(t, err)
	require.NoError(t, cid.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, cid.End(context.Background())) })
	browser, err := chromium.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(browser.Close)
	tab, err := browser.Tab(true)
	require.NoError(t, err)
	t.Cleanup(tab.Close)
	w := &world{t, cid, git, cid.Client(), tab}
	require.NoError(t, tab.Look(1120, 760, false))
	w.open("/")
	w.await("document.querySelector('#token')")
	require.NoError(t, tab.Type("#token", cid.Token+"\r"))
	w.await("document.querySelector('.who')")
	return w
}

func (w *world) open(path string) {
	w.t.Helper()
	require.NoError(w.t, w.tab.Go(w.cid.URL+path))
}

func (w *world) await(expression string) {
	w.t.Helper()
	if err := w.tab.Await(expression); err != nil {
		text, _ := w.tab.Text("body")
		require.NoError(w.t, err, "the page reads: %s", text)
	}
}

// fine fails when the page opened a dialog, broke its policy, or is wider than its window.
func (w *world) fine(what string) {
	w.t.Helper()
	require.Empty(w.t, w.tab.Faults(), what)
	wide, err := chromium.Eval[string](w.tab, "document.documentElement.scrollWidth <= innerWidth ? '' : [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3).map(e => e.outerHTML.slice(0, 300)).join(' and ')")
	require.NoError(w.t, err)
	require.Empty(w.t, wide, "%s is wider than its window", what)
}

func (w *world) text(selector string) string {
	w.t.Helper()
	text, err := w.tab.Text(selector)
	require.NoError(w.t, err)
	return text
}

func (w *world) put(job string, body map[string]any) {
	w.t.Helper()
	require.NoError(w.t, w.api.Call(w.t.Context(), "PUT", "/jobs/"+job, body, nil))
}

// One cid and one browser are enough for all of it.
func TestPages(t *testing.T) {
	w := setup(t)
	w.put("unit", map[string]any{
		"freestyle":  map[string]any{"script": script, "results": map[string]any{"junit": map[string]any{"path": "*.xml", "type": "application/zip"}}},
		"parameters": []map[string]any{{"name": "FAIL", "default": "1", "description": "the exit status"}},
	})
	t.Run("from the trigger to the run again", w.flow)
	t.Run("live", w.live)
	t.Run("pipelines", w.pipelines)
	t.Run("a server that was away", w.away)
	t.Run("naughty strings", w.naughty)
	t.Run("accessibility", w.accessible)
}

// flow: trigger by form, watch, find the test that failed, run again.
func (w *world) flow(t *testing.T) {
	w.t = t
	w.open("/ui/jobs/unit")
	require.NoError(t, w.tab.Click("#trigger-h ~ form button.main"))
	w.await("location.pathname === '/ui/jobs/unit/runs/1'")
	w.await("document.querySelector('#verdict .bad')") // the page follows by itself
	w.await("document.querySelector('.tests')")
	require.Contains(t, w.text("#verdict"), "failed")
	require.Contains(t, w.text(".tests"), "TestCart")
	require.Contains(t, w.text(".tests"), "want 0, got -1")
	w.await("document.querySelector('#L2')")
	require.Contains(t, w.text("#rows"), "<script>alert(1)</script>", "a console is text")
	red, err := chromium.Eval[string](w.tab, "getComputedStyle(document.querySelector('#L1 .f1')).color")
	require.NoError(t, err)
	require.Equal(t, "rgb(255, 123, 114)", red)
	w.fine("the run")

	require.NoError(t, w.tab.Click(".tests h2 a"))
	w.await("location.pathname.endsWith('/tests/junit')")
	require.Contains(t, w.text(".tests"), "TestCart")
	w.fine("its tests")

	w.open("/ui/jobs/unit/runs/1")
	require.NoError(t, w.tab.Click("#actions button.main"))
	w.await("location.pathname === '/ui/jobs/unit/runs/2'")
	w.await("document.querySelector('#verdict .bad')")
	r, err := w.api.Wait(t.Context(), "unit", 2, 3*time.Minute)
	require.NoError(t, err)
	require.Equal(t, "failed", r.Outcome)
	w.fine("the second run")
}

// live: rows come while the run goes on, a line is found by its link, and it is aborted.
func (w *world) live(t *testing.T) {
	w.t = t
	w.put("slow", map[string]any{"freestyle": map[string]any{"script": "i=0; while [ $i -lt 1200 ]; do i=$((i+1)); echo \"scenario $i\"; done; while :; do echo goes on; sleep 1; done"}})
	r, err := w.api.Trigger(t.Context(), "slow")
	require.NoError(t, err)
	page := fmt.Sprintf("/ui/jobs/slow/runs/%d", r.ID)
	w.open(page)
	w.await("document.querySelector('#L1203')")
	require.Equal(t, "live", w.text("#live-text"))
	w.fine("the live console")
	w.open("/ui/") // what is opened next begins with the last lines
	w.open(page + "#L17")
	w.await("location.search === '?line=17' && document.querySelector('#L17:target')")
	require.Contains(t, w.text("#L17"), "scenario 17")
	w.open(page + "?q=SCENARIO+1100")
	w.await("document.querySelectorAll('.r').length === 1")
	w.open(page)
	require.NoError(t, w.tab.Click(".confirm summary"))
	require.NoError(t, w.tab.Click(".confirm form button"))
	w.await("document.querySelector('#verdict .off')")
	w.fine("the aborted run")
}

// naughty: what strangers write into every field stays text, on every page and at the width of a phone.
func (w *world) naughty(t *testing.T) {
	w.t = t
	list := naughtyStrings(t)
	all := strings.Join(list, "\n")
	report := new(strings.Builder)
	for _, n := range list {
		fmt.Fprintf(report, "<testcase name=\"%s\"><failure message=\"%s\">%s</failure></testcase>", html.EscapeString(n), html.EscapeString(n), html.EscapeString(n))
	}
	w.put("naughty", map[string]any{
		"freestyle": map[string]any{
			"script":  "cat <<'END-OF-TEXT'\n" + all + "\nEND-OF-TEXT\ncat > a.xml <<'END-OF-TEXT'\n<testsuite name=\"&lt;img src=x onerror=alert(1)&gt;\">" + report.String() + "</testsuite>\nEND-OF-TEXT\nexit 1",
			"results": map[string]any{"junit": map[string]any{"path": "a.xml", "type": "application/zip"}},
		},
		"parameters": []map[string]any{{"name": "TEXT", "default": `"><script>alert(1)</script>`, "description": `<img src=x onerror=alert(1)> ` + list[0]}},
	})
	var r rig.Run
	require.NoError(t, w.api.Call(t.Context(), "POST", "/jobs/naughty/runs", map[string]any{"parameters": map[string]string{"TEXT": strings.ToValidUTF8(all, "?")[:min(len(all), 3000)]}}, &r))
	r, err := w.api.Wait(t.Context(), "naughty", r.ID, 5*time.Minute)
	require.NoError(t, err)
	require.Equal(t, "failed", r.Outcome, r.Reason)
	page := fmt.Sprintf("/ui/jobs/naughty/runs/%d", r.ID)
	more := w.strange(t, r.ID, all)
	waits, undrain := w.queued(t, all)
	for _, width := range []int64{1120, 390} {
		require.NoError(t, w.tab.Look(width, 780, width < 1000))
		for _, path := range append([]string{
			"/ui/", "/ui/jobs", "/ui/jobs/naughty", "/ui/jobs/naughty/tests", "/ui/jobs/naughty/settings", page, page + "?page=0", page + "/tests/junit", "/ui/pipelines", "/ui/pipelines/release",
			"/ui/pipelines/release/runs/1", "/ui/queue", waits, "/ui/agents", "/ui/tokens", "/ui/settings",
		}, more...) {
			w.open(path)
			w.await("document.readyState === 'complete'")
			w.fine(fmt.Sprintf("%s at %d pixels", path, width))
		}
	}
	require.NoError(t, w.tab.Look(1120, 760, false))
	undrain()
}

// image is what would open a dialog if it were not text, without a space: names of branches and files have none.
const image = `"><img/src=x/onerror=alert(1)>`

// strange writes what it may into fields of a run, a token, a pin, a secret and a
// pipeline, and lets a repository have its say: by a branch, a path and a job file
// that is not valid. It returns the pages that show it.
func (w *world) strange(t *testing.T, run int64, all string) (pages []string) {
	t.Helper()
	call := func(method, path string, body any, out any) {
		t.Helper()
		require.NoError(t, w.api.Call(t.Context(), method, path, body, out))
	}
	long := strings.Repeat("a-name-without-an-end.", 9)[:64]
	text := strings.ToValidUTF8(all[:1000], "")
	call("POST", "/tokens", map[string]any{"name": long, "role": "read", "jobs": []string{"naughty", long}}, nil)
	call("PUT", "/jobs/naughty/secrets/"+strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(long)), map[string]any{"value": text}, nil)
	call("PUT", fmt.Sprintf("/jobs/naughty/runs/%d/pins/%s", run, long), map[string]any{"reason": text[:200], "until": time.Now().Add(time.Hour)}, nil)

	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "bad.yaml"), []byte("script: true\n'"+image+" <script>alert(1)</script>': 1\n"), 0o600))
	require.NoError(t, w.git.Init("naughty"))
	_, err := w.git.Commit("naughty", image, tree)
	require.NoError(t, err)
	for i, path := range []string{"bad.yaml", image + ".yaml"} {
		job := fmt.Sprintf("%s.%d", long[:60], i)
		w.put(job, map[string]any{"git": map[string]any{"url": w.git.URL("naughty"), "configPath": path}})
		var r rig.Run
		call("POST", "/jobs/"+job+"/runs", map[string]any{"branchName": image}, &r)
		r, err := w.api.Wait(t.Context(), job, r.ID, 3*time.Minute)
		require.NoError(t, err)
		require.Equal(t, "error", r.Outcome)
		require.Contains(t, r.Reason, "onerror=alert(1)", "the reason quotes what is wrong")
		pages = append(pages, "/ui/jobs/"+job, fmt.Sprintf("/ui/jobs/%s/runs/%d", job, r.ID))
	}

	call("PUT", "/pipelines/"+long, map[string]any{"program": "p = params(text = '')\nfail(p.text)"}, nil)
	var made struct{ ID int64 }
	call("POST", "/pipelines/"+long+"/runs", map[string]any{"parameters": map[string]string{"text": image + text}}, &made)
	path := fmt.Sprintf("/pipelines/%s/runs/%d", long, made.ID)
	var ended struct{ Outcome, Reason string }
	call("GET", path+"?wait=50s", nil, &ended)
	require.Equal(t, "failed", ended.Outcome)
	require.Contains(t, ended.Reason, image)
	return append(pages, "/ui/pipelines/"+long, "/ui"+path)
}

// queued has runs wait, for reasons that strangers have written: the only agent is
// drained, and one run needs more than any agent has.
func (w *world) queued(t *testing.T, all string) (page string, undrain func()) {
	t.Helper()
	var list struct{ Agents []struct{ ID string } }
	require.NoError(t, w.api.Call(t.Context(), "GET", "/agents", nil, &list))
	require.Len(t, list.Agents, 1)
	drain := "/agents/" + list.Agents[0].ID + "/drain"
	require.NoError(t, w.api.Call(t.Context(), "PUT", drain, map[string]any{"reason": image + strings.ToValidUTF8(all[:900], "")}, nil))
	w.put("greedy", map[string]any{"freestyle": map[string]any{"script": "true", "resources": map[string]any{"cpus": 4, "memory": "4GiB"}}})
	require.NoError(t, rig.Poll(t.Context(), time.Minute, func() error {
		var list struct{ Agents []struct{ Draining bool } }
		err := w.api.Call(t.Context(), "GET", "/agents", nil, &list)
		if err == nil && !list.Agents[0].Draining {
			err = errors.New("the agent is not draining yet")
		}
		return err
	}))
	var waits []rig.Run
	for _, job := range []string{"naughty", "greedy"} {
		var r rig.Run
		body := map[string]any{"priority": "urgent"}
		if job == "naughty" {
			body["parameters"] = map[string]string{"TEXT": image}
		}
		require.NoError(t, w.api.Call(t.Context(), "POST", "/jobs/"+job+"/runs", body, &r))
		waits = append(waits, r)
	}
	w.open("/ui/queue")
	for _, r := range waits {
		w.await(fmt.Sprintf("document.querySelector('#waiting tr[data-key=\"%d\"] .verdicts')", r.ID))
		_, err := chromium.Eval[bool](w.tab, fmt.Sprintf("document.querySelector('#waiting tr[data-key=\"%d\"] details').open = true", r.ID))
		require.NoError(t, err)
		text := w.text(fmt.Sprintf("#waiting tr[data-key=\"%d\"]", r.ID))
		require.Contains(t, text, "urgent")
		require.Contains(t, text, list.Agents[0].ID)
		require.Regexp(t, "None of 1 agents takes it now|No registered agent is large enough", text)
	}
	w.fine("the queue")
	require.NotEmpty(t, w.text("#lanes"))
	w.open("/ui/agents")
	require.Contains(t, w.text("#agents"), image)
	return fmt.Sprintf("/ui/jobs/naughty/runs/%d", waits[0].ID), func() {
		for _, r := range waits {
			require.NoError(t, w.api.Call(t.Context(), "POST", fmt.Sprintf("/jobs/%s/runs/%d/abort", r.Job, r.ID), nil, nil))
			_, err := w.api.Wait(t.Context(), r.Job, r.ID, 3*time.Minute)
			require.NoError(t, err)
		}
		require.NoError(t, w.api.Call(t.Context(), "DELETE", drain, nil, nil))
	}
}

// naughtyStrings are those that a job file may hold: text without control characters.
func naughtyStrings(t *testing.T) []string {
	root, err := rig.Root()
	require.NoError(t, err)
	for _, up := range []string{"..", "../.."} {
		f, err := os.ReadFile(filepath.Join(root, up, "shared/data/blns/blns.json"))
		if err != nil {
			continue
		}
		var all []string
		require.NoError(t, json.Unmarshal(f, &all))
		return slices.DeleteFunc(all, func(n string) bool {
			return n == "" || strings.ContainsFunc(n, func(c rune) bool { return c < 0x20 || (c >= 0x7f && c < 0xa0) || c >= 0xfffd || c == 0xfeff })
		})
	}
	t.Log("no list of naughty strings beside the module; a few of our own take its place")
	return []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, "\u202eevil"}
}

// accessible: everything that can be acted on has a name, pages have their landmarks, and a keyboard reaches the content first.
func (w *world) accessible(t *testing.T) {
	w.t = t
	for _, path := range []string{"/ui/", "/ui/jobs", "/ui/jobs/unit", "/ui/jobs/unit/tests", "/ui/jobs/unit/settings", "/ui/jobs/unit/runs/1", "/ui/jobs/unit/runs/1/tests/junit", "/ui/pipelines", "/ui/pipelines/release", "/ui/pipelines/release/runs/1", "/ui/queue", "/ui/agents", "/ui/tokens", "/ui/settings"} {
		w.open(path)
		nodes, err := w.tab.Tree()
		require.NoError(t, err)
		require.Empty(t, chromium.Unnamed(nodes), path)
		require.Contains(t, nodes, chromium.Node{Role: "navigation", Name: "Main"}, path)
		headings := 0
		roles := map[string]bool{}
		for _, n := range nodes {
			roles[n.Role] = true
			if n.Role == "heading" {
				headings++
				require.NotEmpty(t, n.Name, path)
			}
		}
		require.True(t, roles["main"] && roles["banner"], "%s: %v", path, roles)
		require.Positive(t, headings, path)
		require.NoError(t, w.tab.Press("\t"))
		skip, err := chromium.Eval[string](w.tab, "document.activeElement.className")
		require.NoError(t, err)
		require.Equal(t, "skip", skip, path)
	}
	w.open("/ui/jobs/unit/runs/1")
	nodes, err := w.tab.Tree()
	require.NoError(t, err)
	for _, want := range []chromium.Node{{Role: "button", Name: "Run again"}, {Role: "heading", Name: "Console"}, {Role: "region", Name: "Console output"}, {Role: "searchbox", Name: "Search the whole console"}, {Role: "heading", Name: "unit #1"}} {
		require.Contains(t, nodes, want)
	}
}
