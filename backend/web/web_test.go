package web_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("hello")

	b := s.browser()
	p := b.get("/ui/jobs/hello?state=failed")
	require.Equal(t, "/ui/sign-in?next=%2Fui%2Fjobs%2Fhello%3Fstate%3Dfailed", p.path)
	lawful(t, p)
	p = b.post("/ui/sign-in", url.Values{"token": {"a.b.c"}})
	require.Equal(t, 401, p.status)
	require.Contains(t, p.body, "not one of ours")
	require.Equal(t, 401, b.post("/ui/sign-in", url.Values{"token": {""}}).status)
	p = b.post("/ui/sign-in", url.Values{"token": {s.tokens[ci.RoleAgent]}})
	require.Equal(t, 403, p.status)
	require.Contains(t, p.body, "has the role agent")

	p = b.post("/ui/sign-in", url.Values{"token": {" " + s.tokens[ci.RoleAdmin] + "\n"}, "next": {"/ui/jobs/hello?state=failed"}})
	require.Equal(t, 200, p.status)
	require.Equal(t, "/ui/jobs/hello?state=failed", p.path)
	at, err := url.Parse(s.url)
	require.NoError(t, err)
	cookies := b.http.Jar.Cookies(at)
	require.Len(t, cookies, 1)
	for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		raw, _ := enc.DecodeString(cookies[0].Value)
		require.NotContains(t, string(raw), s.tokens[ci.RoleAdmin], "the cookie is sealed")
	}
	require.Contains(t, b.get("/ui/").body, "the-admin")

	p = b.submit("/ui/", "/ui/sign-out", url.Values{})
	require.Equal(t, "/ui/sign-in", p.path)
	require.Equal(t, "/ui/sign-in", b.get("/ui/").path)
}

// A browser that comes by http to a server that is meant for https loses its cookie: it is told so.
func TestSignInOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSiteAt(t, "https://ci.example.com/")
	b := s.browser()
	b.http.Jar = nil // the jar takes this machine for safe, as browsers do, and keeps what they lose elsewhere
	p := b.post("/ui/sign-in", url.Values{"token": {s.tokens[ci.RoleRead]}, "next": {"/ui/jobs?x=1"}})
	require.Equal(t, 400, p.status)
	require.Contains(t, p.body, "may go over https alone")
	require.Contains(t, p.body, "open https://ci.example.com/ui/ instead")
	require.Contains(t, p.body, `name="next" value="/ui/jobs?x=1"`)
	require.NotContains(t, b.get("/ui/sign-in").body, "may go over https alone")

	// One that keeps the cookie is led on.
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p = b.post("/ui/sign-in", url.Values{"token": {s.tokens[ci.RoleRead]}, "next": {"/ui/jobs?x=1"}})
	require.Contains(t, p.header.Get("Set-Cookie"), "; Secure")
	r := request(t, s.url+p.header.Get("Location"))
	name, value, _ := strings.Cut(p.header.Get("Set-Cookie"), "=")
	value, _, _ = strings.Cut(value, ";")
	r.AddCookie(&http.Cookie{Name: name, Value: value})
	require.Equal(t, "/ui/jobs?x=1", b.do(r).header.Get("Location"))
}

func TestNobodyIsLedElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, next := range []string{"https://evil.test/", "//evil.test/", "/\\evil.test", "/ui/../../x\\", "javascript:alert(1)", "/uix", "/jobs", "", "/ui//evil.test\r\nX: y", "http:/ui/"} {
		b := s.browser()
		b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		p := b.post("/ui/sign-in", url.Values{"token": {s.tokens[ci.RoleRead]}, "next": {next}})
		require.Equal(t, 303, p.status)
		require.Equal(t, "/ui/", p.header.Get("Location"), "%q", next)
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	set := b.post("/ui/sign-in", url.Values{"token": {s.tokens[ci.RoleRead]}}).header.Get("Set-Cookie")
	require.Contains(t, set, "; HttpOnly; SameSite=Lax")
	value, _, _ := strings.Cut(strings.TrimPrefix(set, "ci_session="), ";")
	for name, cookie := range map[string]string{
		"cut": value[:len(value)-2], "longer": value + "AA", "other": "A" + value[1:], "empty": "", "not base64": "!!", "a bearer": s.tokens[ci.RoleRead],
	} {
		if cookie == value {
			cookie = "B" + value[1:]
		}
		r, err := http.NewRequest(http.MethodGet, s.url+"/ui/jobs", nil)
		require.NoError(t, err)
		r.AddCookie(&http.Cookie{Name: "ci_session", Value: cookie})
		resp, err := (&http.Client{CheckRedirect: b.http.CheckRedirect}).Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 303, resp.StatusCode, name)
	}
}

// A token that was revoked ends the session with the next page.
func TestRevokedToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	bearer, token, err := s.admin.CreateToken(t.Context(), ci.Token{Name: "short", Role: ci.RoleRead})
	require.NoError(t, err)
	s.tokens["short"] = bearer
	b := s.signedIn("short")
	require.Equal(t, "/ui/jobs", b.get("/ui/jobs").path)
	require.NoError(t, s.admin.RevokeToken(t.Context(), token.ID))
	require.Eventually(t, func() bool { return strings.HasPrefix(b.get("/ui/jobs").path, "/ui/sign-in") }, longTime, shortTime)
}

func TestFormsOfOthersDoNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("hello")
	b := s.signedIn(ci.RoleAdmin)
	p := b.post("/ui/jobs/hello/runs", url.Values{})
	require.Equal(t, 403, p.status, "a form without its value")
	p = b.post("/ui/jobs/hello/runs", url.Values{"form": {strings.Repeat("0", 32)}})
	require.Equal(t, 403, p.status)
	other := s.signedIn(ci.RoleAdmin)
	theirs := hidden.FindStringSubmatch(other.get("/ui/jobs/hello").body)[1]
	p = b.post("/ui/jobs/hello/runs", url.Values{"form": {theirs}})
	require.Equal(t, 403, p.status, "a form of another session")
	for _, origin := range []string{"https://evil.test", "null"} {
		b.origin = origin
		p = b.submit("/ui/jobs/hello", "/ui/jobs/hello/runs", url.Values{})
		require.Equal(t, 403, p.status, origin)
		require.Contains(t, p.body, "sent by another site")
	}
	for r, err := range s.admin.ListRuns(t.Context(), ci.RunFilter{}) {
		require.NoError(t, err)
		t.Errorf("run %d was triggered", r.ID)
	}
}

// Pages show what the API shows a token, and no more.
func TestRights(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("hello")
	s.job("secret-job")
	run := s.start("hello", nil)

	reader := s.signedIn(ci.RoleRead)
	require.NotContains(t, reader.get("/ui/jobs/hello").body, "Run it")
	require.NotContains(t, reader.get(run.address()).body, "Abort")
	require.NotContains(t, reader.get("/ui/").body, "/ui/tokens")
	require.Equal(t, 403, reader.get("/ui/tokens").status)
	require.Equal(t, 403, reader.submit("/ui/", "/ui/jobs/hello/runs", url.Values{}).status)
	require.Equal(t, 403, reader.submit("/ui/", run.address()+"/abort", url.Values{}).status)
	require.Equal(t, 403, reader.submit("/ui/", "/ui/settings", settingsForm()).status)
	require.Equal(t, 403, reader.submit("/ui/", "/ui/jobs/hello/keep", url.Values{"version": {"1"}, "keep.runs.count": {"1"}}).status)
	require.NotContains(t, reader.get("/ui/jobs/hello/settings").body, "Save")
	require.Equal(t, 403, reader.submit("/ui/", "/ui/agents/the-agent/drain", url.Values{}).status)

	bearer, _, err := s.admin.CreateToken(t.Context(), ci.Token{Name: "limited", Role: ci.RoleTrigger, Jobs: []string{"hello"}})
	require.NoError(t, err)
	s.tokens["limited"] = bearer
	limited := s.signedIn("limited")
	require.NotContains(t, limited.get("/ui/jobs").body, "secret-job")
	require.Equal(t, 404, limited.get("/ui/jobs/secret-job").status)
	require.Equal(t, 404, limited.get("/ui/jobs/secret-job/tests").status)
	require.Equal(t, 404, limited.get("/ui/jobs/secret-job/settings").status)
	p := limited.submit("/ui/jobs/hello", "/ui/jobs/hello/runs", url.Values{})
	require.Regexp(t, `^/ui/jobs/hello/runs/\d+$`, p.path)
}

// A browser that opens an address of the API sees the page; programs see the API as before.
func TestAddressesOfTheAPI(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("hello")
	run := s.start("hello", nil)
	b := s.signedIn(ci.RoleRead)
	for from, to := range map[string]string{"/": "/ui/", "/ui": "/ui/", "/jobs/hello": "/ui/jobs/hello", strings.TrimPrefix(run.address(), "/ui"): run.address()} {
		require.Equal(t, to, b.get(from).path)
	}
	for _, path := range []string{"/jobs/hello/runs/0", "/jobs/hello/runs", "/jobs", "/runs", "/jobs/hello/runs/1/results"} {
		require.Equal(t, 401, b.get(path).status, path)
	}
	r, err := http.NewRequest(http.MethodGet, s.url+"/jobs/hello", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.tokens[ci.RoleRead])
	r.Header.Set("Accept", "text/html, */*")
	p := s.browser().do(r)
	require.Equal(t, "application/json", p.header.Get("Content-Type"))
	require.Equal(t, 401, s.browser().do(request(t, s.url+"/jobs/hello")).status)
}

func request(t *testing.T, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	return r
}

func TestMissingPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(ci.RoleAdmin)
	for _, path := range []string{"/ui/nothing", "/ui/jobs/none", "/ui/jobs/none/tests", "/ui/jobs/none/runs/1", "/ui/jobs/none/runs/x", "/ui/jobs/none/runs/-1", "/ui/jobs/none/runs/99999999999999999999", "/ui/jobs/a%2fb", "/ui/jobs/a%00b", "/ui/static/x", "/ui/jobs/none/runs/1/results/x", "/ui/jobs/none/runs/1/live", "/ui/jobs/none/runs/1/console"} {
		p := b.get(path)
		require.Equal(t, 404, p.status, "%s: %s", path, p.body)
	}
}

// Every page keeps the rules, whatever people and programs have written into every field.
func TestNaughtyStrings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	naughty := naughtyStrings(t)
	all := strings.Join(naughty, "\n")
	s.job("naughty", ci.Parameter{Name: "TEXT", Default: naughty[0], Description: `"><script>alert(1)</script>`})
	run := s.start("naughty", map[string]string{"TEXT": strings.ReplaceAll(all, "\x00", "")[:min(len(all), 20_000)]})
	run.print(all + "\n\x1b]0;title\x07\x1b[2J\x1b[31m<script>alert(1)</script>\n")
	var cases strings.Builder
	for _, n := range naughty {
		text := new(strings.Builder)
		for _, c := range n {
			if c >= 0x20 && c != 0xfffe && c != 0xffff {
				fmt.Fprintf(text, "&#%d;", c)
			}
		}
		fmt.Fprintf(&cases, "<testcase classname=\"%s\" name=\"%s\"><failure message=\"%s\">%s</failure></testcase>", text, text, text, text)
	}
	run.save("junit", "a.xml", "<testsuite name=\"&lt;script&gt;alert(1)&lt;/script&gt;\">"+cases.String()+"</testsuite>")
	run.end(ci.OutcomeFailed, `<img src=x onerror=alert(1)> `+naughty[len(naughty)/2])

	b := s.signedIn(ci.RoleAdmin)
	for _, path := range []string{
		"/ui/", "/ui/jobs", "/ui/jobs/naughty", "/ui/jobs/naughty/tests", "/ui/jobs/naughty/settings", run.address(), run.address() + "/tests/junit", "/ui/queue", "/ui/agents", "/ui/tokens", "/ui/settings",
		run.address() + "?q=" + url.QueryEscape(`"><script>alert(1)</script>`), "/ui/jobs/naughty?branch=" + url.QueryEscape(`"><img src=x>`) + "&commit=%00&state=x&skip=-1",
		run.address() + "?page=999999999999&line=x", run.address() + "?done=" + url.QueryEscape("<b>"), "/ui/nothing<script>",
	} {
		p := b.get(path)
		require.Less(t, p.status, 500, path)
		lawful(t, p)
		require.NotContains(t, p.body, "<script>alert", path)
	}
	for _, n := range naughty {
		p := b.submit("/ui/jobs/naughty", "/ui/jobs/naughty/runs", url.Values{"p.TEXT": {n}})
		require.Less(t, p.status, 500, "%q", n)
		lawful(t, p)
	}
}

func naughtyStrings(t *testing.T) []string {
	t.Helper()
	for _, up := range []string{"../../../shared/data/", "../../../../shared/data/"} {
		f, err := os.ReadFile(up + "blns/blns.json")
		if err != nil {
			continue
		}
		var all, some []string
		require.NoError(t, json.Unmarshal(f, &all))
		for i, n := range all {
			if n != "" && (strings.ContainsAny(n, "<>\"'&\x00\x1b") || i%5 == 0) {
				some = append(some, n)
			}
		}
		return some
	}
	t.Log("no list of naughty strings beside the module; a few of our own take its place")
	return []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, "\u202eevil", "{{.}}", "%s%n", "&lt;b&gt;"}
}

// events reads server-sent events.
func (b *browser) events(path string, each func(name, data string) (more bool)) {
	b.t.Helper()
	b.read(b.open(path), each)
}

// open returns a stream once the server has begun it.
func (b *browser) open(path string) *http.Response {
	b.t.Helper()
	r := request(b.t, b.url+path)
	r.Header.Set("Accept", "text/event-stream")
	resp, err := b.http.Do(r)
	require.NoError(b.t, err)
	require.Equal(b.t, "text/event-stream", resp.Header.Get("Content-Type"))
	return resp
}

func (b *browser) read(resp *http.Response, each func(name, data string) (more bool)) {
	b.t.Helper()
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 4<<20)
	name := ""
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		if key == "event" {
			name = value
		}
		if key == "data" && !each(name, value) {
			return
		}
	}
	b.t.Errorf("the events of %s ended: %v", resp.Request.URL, lines.Err())
}
