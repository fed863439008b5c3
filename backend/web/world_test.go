package web_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"ci/backend"
	"ci/pkg/api"
	"ci/pkg/ci"
)

// site is a whole backend, and an agent that a test plays over the API.
type site struct {
	t      *testing.T
	url    string
	admin  *api.Client
	tokens map[ci.Role]string
	agent  *api.Agent
	// retain removes what is kept no longer, at once.
	retain func(context.Context) error
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteAt(t, "http://ci.test")
}

// newSiteAt is a site that people are meant to reach at an address.
func newSiteAt(t *testing.T, public string) *site {
	t.Helper()
	return newSiteWith(t, func(c *backend.Config, _ string) { c.URL = public })
}

// newSiteWith is a site that is told its address before it opens.
func newSiteWith(t *testing.T, change func(c *backend.Config, at string)) *site {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	s := &site{t: t, tokens: map[ci.Role]string{}}
	server := httptest.NewUnstartedServer(nil)
	c := backend.Config{Dir: t.TempDir(), Key: key, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	change(&c, "http://"+server.Listener.Addr().String())
	b, err := backend.New(t.Context(), c)
	require.NoError(t, err)
	s.retain = b.Engine.Retain
	server.Config.Handler = b.Handler()
	server.Start()
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- b.Run(ctx) }()
	t.Cleanup(func() {
		b.Release()
		server.Close()
		stop()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		require.NoError(t, b.Close())
	})
	s.url = server.URL
	for _, role := range []ci.Role{ci.RoleAdmin, ci.RoleRead, ci.RoleTrigger, ci.RoleAgent} {
		s.tokens[role], _, err = b.Auth.Mint(t.Context(), ci.Token{Name: "the-" + string(role), Role: role})
		require.NoError(t, err)
	}
	s.admin = s.client(s.tokens[ci.RoleAdmin])
	s.agent = s.client(s.tokens[ci.RoleAgent]).Agent()
	return s
}

func (s *site) client(token string) *api.Client {
	c, err := api.New(api.Config{URL: s.url, Token: token})
	require.NoError(s.t, err)
	return c
}

// job puts a job of a script.
func (s *site) job(name string, params ...ci.Parameter) {
	s.t.Helper()
	_, _, err := s.admin.PutJob(s.t.Context(), &ci.Job{Name: name, Freestyle: []byte(`{"script": "echo <b>hi</b>"}`), Parameters: params}, 0)
	require.NoError(s.t, err)
}

// played is a run that the test's agent carries out.
type played struct {
	*site
	ci.Run
	claim ci.Claim
	at    int64
}

// start triggers a run, claims it and says that its script begins.
func (s *site) start(job string, values map[string]string) *played {
	s.t.Helper()
	run, err := s.admin.Trigger(s.t.Context(), ci.Trigger{Job: job, Parameters: values})
	require.NoError(s.t, err)
	return s.claim(*run)
}

func (s *site) claim(run ci.Run) *played {
	s.t.Helper()
	p := &played{site: s, Run: run, claim: ci.Claim{Run: run.ID, Agent: "the-agent", ID: uuid.NewString()}}
	s.heartbeat()
	require.Eventually(s.t, func() bool {
		_, err := s.agent.Claim(s.t.Context(), p.claim)
		return err == nil
	}, time.Minute, 20*time.Millisecond, "a run is claimed once it is planned")
	require.NoError(s.t, s.agent.Started(s.t.Context(), p.claim))
	return p
}

// heartbeat says which runs the agent holds.
func (s *site) heartbeat(runs ...int64) {
	s.t.Helper()
	_, err := s.agent.Heartbeat(s.t.Context(), ci.Agent{
		ID: "the-agent", CPUs: 4, FreeCPUs: 3, Memory: 8 << 30, FreeMemory: 6 << 30, CPULoad: .4, Version: "test", Runs: runs,
	})
	require.NoError(s.t, err)
}

func (p *played) print(text string) {
	p.t.Helper()
	for data := []byte(text); len(data) > 0; {
		next, err := p.agent.AppendConsole(p.t.Context(), p.claim, p.at, data)
		require.NoError(p.t, err)
		data = data[next-p.at:]
		p.at = next
	}
}

// save stores a zip of one file as a result.
func (p *played) save(name, file, text string) {
	p.t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(file)
	require.NoError(p.t, err)
	_, err = io.WriteString(w, text)
	require.NoError(p.t, errors.Join(err, z.Close()))
	_, err = p.agent.PutResult(p.t.Context(), p.claim, ci.Result{Run: p.ID, Name: name, ContentType: "application/zip", Filename: name + ".zip", Files: 1}, &b)
	require.NoError(p.t, err)
}

func (p *played) end(o ci.Outcome, reason string) {
	p.t.Helper()
	code := map[ci.Outcome]int{ci.OutcomeFailed: 1}[o]
	require.NoError(p.t, p.agent.Collecting(p.t.Context(), p.claim, &code))
	require.NoError(p.t, p.agent.Finish(p.t.Context(), p.claim, ci.End{Outcome: o, Reason: reason, ExitCode: &code, ScriptStarted: true, Console: ci.Console{Bytes: p.at}}))
}

// address is the run's page.
func (p *played) address() string { return fmt.Sprintf("/ui/jobs/%s/runs/%d", p.Job, p.ID) }

// browser is one without scripts.
type browser struct {
	*site
	http *http.Client
	// origin is sent with forms, as browsers do; "" for the site's own.
	origin string
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &browser{site: s, http: &http.Client{Jar: jar, Timeout: 3 * time.Minute}}
}

// signedIn is a browser of somebody with a role.
func (s *site) signedIn(role ci.Role) *browser {
	s.t.Helper()
	b := s.browser()
	p := b.post("/ui/sign-in", url.Values{"token": {s.tokens[role]}})
	require.Equal(s.t, "/ui/", p.path, "%s", p.body)
	return b
}

// answer is a page as it arrived.
type answer struct {
	status int
	path   string // where redirects have led, with its query
	header http.Header
	body   string
}

func (b *browser) do(r *http.Request) answer {
	b.t.Helper()
	resp, err := b.http.Do(r)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	return answer{resp.StatusCode, resp.Request.URL.RequestURI(), resp.Header, string(body)}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	require.NoError(b.t, err)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	return b.do(r)
}

func (b *browser) post(path string, form url.Values) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if r.Header.Set("Origin", b.url); b.origin != "" {
		r.Header.Set("Origin", b.origin)
	}
	return b.do(r)
}

var hidden = regexp.MustCompile(`name="form" value="([0-9a-f]+)"`)

// submit sends a form of a page, as a person does who has it open.
func (b *browser) submit(page, path string, form url.Values) answer {
	b.t.Helper()
	m := hidden.FindStringSubmatch(b.get(page).body)
	require.NotNil(b.t, m, "%s has no form", page)
	form.Set("form", m[1])
	return b.post(path, form)
}

// lawful fails when a page holds what its policy forbids: scripts and styles of
// its own, or addresses elsewhere. Foreign text could only get there by breaking out of its place.
func lawful(t *testing.T, p answer) {
	t.Helper()
	require.Contains(t, p.header.Get("Content-Security-Policy"), "default-src 'none'")
	z := html.NewTokenizer(strings.NewReader(p.body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.StartTagToken, html.SelfClosingTagToken:
		default:
			continue
		}
		tag := z.Token()
		require.NotContains(t, []string{"style", "iframe", "object", "embed", "base"}, tag.Data)
		for _, a := range tag.Attr {
			require.False(t, a.Key == "style" || strings.HasPrefix(a.Key, "on"), "<%s %s=%q>", tag.Data, a.Key, a.Val)
			if a.Key == "src" || a.Key == "href" || a.Key == "action" {
				require.Regexp(t, `^(/ui/|#|\?)`, a.Val, "<%s %s>", tag.Data, a.Key)
			}
			if tag.Data == "script" && a.Key == "src" {
				require.Regexp(t, `^/ui/static/app\.js\?v=`, a.Val)
			}
		}
	}
}
