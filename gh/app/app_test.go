package app

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"

	"ci/gh/ghtest"
	"ci/pkg/ci"
)

// forges is what a backend knows.
type forges struct {
	mu   sync.Mutex
	list map[string]ci.ForgeAccess
}

func (f *forges) Forge(_ context.Context, name string) (*ci.ForgeAccess, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a, ok := f.list[name]; ok {
		return &a, nil
	}
	return nil, ci.Errorf(ci.CodeNotFound, "there is no forge %q", name)
}

func (f *forges) List(context.Context) ([]ci.Forge, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []ci.Forge
	for _, name := range slices.Sorted(maps.Keys(f.list)) {
		list = append(list, f.list[name].Forge)
	}
	return list, nil
}

func (f *forges) change(name string, do func(*ci.ForgeAccess)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.list[name]
	do(&a)
	a.Version++
	f.list[name] = a
}

// world is a GitHub with an App on one private repository, and our clients of it.
type world struct {
	*Apps
	gh      *ghtest.Server
	app     *ghtest.App
	repo    *ghtest.Repo
	install *ghtest.Installation
	forges  *forges
	ctx     context.Context
	sha     string

	mu    sync.Mutex
	ahead time.Duration // of our clock, at the machine's
}

func setup(t *testing.T) *world {
	t.Helper()
	gh := ghtest.New(t)
	w := &world{gh: gh, app: gh.NewApp("my-ci"), repo: gh.NewPrivateRepo("octo/hello"), ctx: t.Context()}
	w.sha = w.repo.Commit("octo", "main", map[string]string{"a": "1"})
	w.install = w.app.Install("octo")
	w.forges = &forges{list: map[string]ci.ForgeAccess{"github": {
		Forge:     ci.Forge{Name: "github", Kind: ci.ForgeGitHub, URL: gh.URL, AppID: w.app.ID, Slug: "my-ci", Version: 1},
		ForgeKeys: ci.ForgeKeys{PrivateKey: w.app.PEM, WebhookSecret: w.app.WebhookSecret},
	}}}
	w.Apps = New(Config{Forges: w.forges, Now: w.now})
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

// later moves both clocks on.
func (w *world) later(d time.Duration) {
	w.gh.Advance(d)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += d
}

// read asks something as an installation.
func (w *world) read(t *testing.T) error {
	t.Helper()
	c, err := w.Client(w.ctx, "github", w.install.ID)
	require.NoError(t, err)
	_, _, err = c.Repositories.Get(w.ctx, "octo", "hello")
	return Explain(err, "read the repository")
}

func (w *world) minted() int { return len(w.gh.Requests("POST", "/access_tokens")) }

func TestTokensAreKeptAndRenewed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if err := w.read(t); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	require.Equal(t, 1, w.minted(), "one token for all who ask at once")
	w.later(54 * time.Minute)
	require.NoError(t, w.read(t))
	require.Equal(t, 1, w.minted())
	w.later(2 * time.Minute) // less than the margin is left
	require.NoError(t, w.read(t))
	require.Equal(t, 2, w.minted())
	w.gh.Revoke()
	require.NoError(t, w.read(t), "a token that was revoked is replaced, and the call made again")
	require.Equal(t, 3, w.minted())
}

// TestTokensReachNoFurther looks at the tokens that GitHub has given out.
func TestTokensReachNoFurther(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.gh.NewPrivateRepo("octo/other")
	w.install.Permit("administration", "write") // somebody granted too much
	require.NotNil(t, w.access(t, w.repo.CloneURL()))
	require.Equal(t, []map[string]map[string]string{{"octo/hello": {"contents": "read"}}}, w.gh.Tokens())
	w.gh.Revoke()
	require.NoError(t, w.read(t))
	require.Equal(t, []map[string]map[string]string{{"*": {
		"checks": "write", "contents": "read", "metadata": "read", "pull_requests": "read", "statuses": "write",
	}}}, w.gh.Tokens(), "what we use, and no administration")
}

func TestAppThatMayLess(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.install.Permit("pull_requests", "")
	w.install.Permit("checks", "read")
	require.NoError(t, w.read(t))
	require.Equal(t, "read", w.gh.Tokens()[0]["*"]["checks"])
	c, err := w.Client(w.ctx, "github", w.install.ID)
	require.NoError(t, err)
	_, _, err = c.Checks.CreateCheckRun(w.ctx, "octo", "hello", github.CreateCheckRunOptions{Name: "x", HeadSHA: w.sha})
	err = Explain(err, "make the check")
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(err))
	require.Regexp(t, `^could not make the check: 127\.0\.0\.1:\d+ answers 403 "Resource not accessible by integration"$`, err.Error())
}

func TestHTTPAccess(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.access(t, w.gh.URL+"/octo/hello.git")
	require.Equal(t, "x-access-token", first.Username)
	require.Equal(t, first, w.access(t, w.gh.URL+"/Octo/Hello"))
	w.later(31 * time.Minute)
	require.NotEqual(t, first, w.access(t, w.gh.URL+"/octo/hello"), "a clone that begins now may take half an hour")

	w.forges.change("github", func(f *ci.ForgeAccess) { f.Token = "plain" })
	elsewhere := w.gh.URL + "/else/where"
	require.Nil(t, w.access(t, elsewhere), "the App is not installed, and the plain token may reach anything")
	asked := len(w.gh.Requests("GET", "/installation"))
	require.Nil(t, w.access(t, elsewhere))
	require.Len(t, w.gh.Requests("GET", "/installation"), asked, "that is known for a while")
	w.app.Install("else")
	w.gh.NewPrivateRepo("else/where")
	w.later(noneFor + time.Second)
	require.NotNil(t, w.access(t, elsewhere), "now it is installed")
	for _, url := range []string{
		"https://github.com/octo/hello", "ssh://git@" + strings.TrimPrefix(w.gh.URL, "http://") + "/octo/hello", w.gh.URL + "/a/b/c/../hello", w.gh.URL + ".example.org/octo/hello",
	} {
		require.Nil(t, w.access(t, url), url)
	}
	revoked := w.access(t, w.repo.CloneURL())
	w.Refused(revoked)
	require.Equal(t, revoked, w.access(t, w.repo.CloneURL()), "a new token is not to blame")
	w.later(2 * time.Minute)
	w.Refused(revoked)
	require.NotEqual(t, revoked, w.access(t, w.repo.CloneURL()))
	w.gh.Down(http.StatusBadGateway)
	w.later(time.Hour)
	_, err := w.HTTPAccess(w.ctx, w.gh.URL+"/octo/hello")
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
}

// access is what a repository is read with.
func (w *world) access(t *testing.T, url string) *ci.HTTPAccess {
	t.Helper()
	access, err := w.HTTPAccess(w.ctx, url)
	require.NoError(t, err)
	return access
}

// TestTokenMode works without an App.
func TestTokenMode(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.forges.change("github", func(f *ci.ForgeAccess) { f.AppID, f.PrivateKey = 0, "" })
	_, err := w.Client(w.ctx, "github", 0)
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	_, err = w.Client(w.ctx, "github", w.install.ID)
	require.ErrorContains(t, err, "has no App any more")
	_, err = w.AppClient(w.ctx, "github")
	require.Error(t, err)
	w.forges.change("github", func(f *ci.ForgeAccess) { f.Token = w.gh.UserToken("octo") })
	c, err := w.Client(w.ctx, "github", 0)
	require.NoError(t, err)
	_, _, err = c.Repositories.CreateStatus(w.ctx, "octo", "hello", w.sha, &github.RepoStatus{State: github.String("success"), TargetURL: github.String("https://ci.example.org")})
	require.NoError(t, err)
}

// TestClocks has our clock go wrong by hours in both directions: GitHub refuses
// tokens from the future and from the past.
func TestClocks(t *testing.T) {
	t.Parallel()
	for _, wrong := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		t.Run(wrong.String(), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.ahead = wrong
			c, err := w.AppClient(w.ctx, "github")
			require.NoError(t, err)
			for range 2 {
				_, _, err = c.Apps.Get(w.ctx, "")
				require.NoError(t, err)
			}
			refused := 0
			for _, r := range w.gh.Requests("GET", "/app") {
				if r.Status == http.StatusUnauthorized {
					refused++
				}
			}
			require.Equal(t, 1, refused, "it has learnt")
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault ghtest.Fault
		wait  time.Duration
		why   string
	}{
		{"secondary", ghtest.Fault{Status: 403, Secondary: true, RetryAfter: 90 * time.Second}, 90 * time.Second, "secondary rate limit"},
		{"429", ghtest.Fault{Status: 429, RetryAfter: 20 * time.Second}, 20 * time.Second, "secondary rate limit"},
		{"secondary that says nothing", ghtest.Fault{Status: 403, Secondary: true}, time.Minute, "secondary rate limit"},
		{"429 that says nothing", ghtest.Fault{Status: 429}, time.Minute, "rate limit"},
		{"overload", ghtest.Fault{Status: 503, RetryAfter: 30 * time.Second}, 30 * time.Second, "it is overloaded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			require.NoError(t, w.read(t))
			c.fault.Part, c.fault.Times = "/repos/octo/hello", 1
			w.gh.Fail(c.fault)
			err := w.read(t)
			require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
			at, said := RetryAt(err)
			require.True(t, said)
			require.WithinDuration(t, time.Now().Add(c.wait), at, 15*time.Second)
			before := len(w.gh.Requests("", ""))
			err = w.read(t)
			require.ErrorContains(t, err, c.why)
			require.ErrorContains(t, err, "no request is made before")
			require.Len(t, w.gh.Requests("", ""), before, "nothing is sent while GitHub asks to wait")
			w.later(c.wait + time.Second)
			require.NoError(t, w.read(t))
		})
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.read(t))
	w.gh.Quota(0, time.Now().Add(25*time.Minute))
	err := w.read(t)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	at, said := RetryAt(err)
	require.True(t, said)
	require.WithinDuration(t, time.Now().Add(25*time.Minute), at, time.Minute)
	before := len(w.gh.Requests("", ""))
	require.Error(t, w.read(t))
	require.Len(t, w.gh.Requests("", ""), before)
}

func TestDown(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, how := range []int{ghtest.Cut, 502} {
		w.gh.Down(how)
		err := w.read(t)
		require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	}
	w.gh.Down(0)
	require.NoError(t, w.read(t))
	w.install.Suspend(true)
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(w.read(t)))
	_, err := w.Client(w.ctx, "gone", 1)
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
}

func TestKeyThatIsNone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.forges.change("github", func(f *ci.ForgeAccess) {
		f.PrivateKey = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----\n"
	})
	_, err := w.AppClient(w.ctx, "github")
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	require.NotContains(t, err.Error(), "c2VjcmV0")
	w.forges.change("github", func(f *ci.ForgeAccess) { f.PrivateKey = w.app.PEM })
	require.NoError(t, w.read(t), "a changed forge is used at once")
}

// TestTokensStayAtHome redirects to another host, which must see no token, and
// answers without an end.
func TestTokensStayAtHome(t *testing.T) {
	t.Parallel()
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Get("Authorization")) }))
	defer other.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/large") {
			for range 2 * maxAnswer / (1 << 20) {
				_, _ = w.Write(make([]byte, 1<<20))
			}
			return
		}
		require.Equal(t, "Bearer plain", r.Header.Get("Authorization"))
		http.Redirect(w, r, other.URL+"/file", http.StatusFound)
	}))
	defer api.Close()
	c, err := newClient(Config{HTTP: &http.Client{}, Now: time.Now}, api.URL, fixed("plain"))
	require.NoError(t, err)
	get := func(path string) error {
		req, err := c.NewRequest("GET", path, nil)
		require.NoError(t, err)
		_, err = c.Do(t.Context(), req, discard{})
		return err
	}
	require.NoError(t, get("x"))
	require.Equal(t, []string{""}, seen)
	require.ErrorContains(t, get("large"), "the answer has more than")
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestManifest goes the whole way of a new App: from the form to a working client.
func TestManifest(t *testing.T) {
	t.Parallel()
	w := setup(t)
	m, err := Setup{Name: "new-ci", URL: "https://ci.example.org", Hook: "https://ci.example.org/hooks/github", Back: "https://ci.example.org/back"}.Manifest()
	require.NoError(t, err)
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(RegisterURL(w.gh.URL+"/", "", "st/ate"), url.Values{"manifest": {string(m)}})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	back, err := resp.Location()
	require.NoError(t, err)
	require.Equal(t, "st/ate", back.Query().Get("state"))
	made, err := Convert(w.ctx, nil, w.gh.API(), back.Query().Get("code"))
	require.NoError(t, err)
	require.Equal(t, "new-ci", made.Slug)
	_, err = Convert(w.ctx, nil, w.gh.API(), back.Query().Get("code"))
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	_, err = Convert(w.ctx, nil, w.gh.API(), "../../user")
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))

	made.Name, made.URL, made.Version = "github", w.gh.URL, 9
	require.NoError(t, made.Validate())
	w.forges.change("github", func(f *ci.ForgeAccess) { *f = made })
	w.install = w.gh.App("new-ci").Install("octo")
	require.NoError(t, w.read(t))
	require.Equal(t, w.gh.URL+"/organizations/my%20org/settings/apps/new?state=s", RegisterURL(w.gh.URL, "my org", "s"))
}
