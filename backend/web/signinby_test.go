package web_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend"
	"ci/backend/signin"
	"ci/backend/signin/idptest"
	"ci/pkg/ci"
)

type object = map[string]any

// alice is somebody whom the provider knows.
func alice(more object) object {
	claims := object{"sub": "u-1", "email": "Alice@example.com", "email_verified": true, "preferred_username": "alice"}
	for name, value := range more {
		claims[name] = value
	}
	return claims
}

func rules(t *testing.T, list ...string) []signin.Rule {
	t.Helper()
	r, err := signin.ParseRules(list)
	require.NoError(t, err)
	return r
}

func secretFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(idptest.ClientSecret+"\n"), 0o600))
	return path
}

// withOpenID is a site that people sign in to by a provider.
func withOpenID(t *testing.T) (*site, *idptest.OpenID) {
	t.Helper()
	idp := idptest.NewOpenID(t)
	s := newSiteWith(t, func(c *backend.Config, at string) {
		c.URL = at + "/"
		idp.Redirect(at + "/ui/sign-in/oidc/callback")
		c.SignIn.OIDC = &signin.OIDC{
			Issuer: idp.URL, ClientID: idptest.ClientID, SecretFile: secretFile(t), Title: "Key & Cloak", Scopes: []string{"email"},
			Rules: rules(t, "read:domain=example.com", "admin:groups=ci-admins", "maintain:email=bob@example.com", "trigger:realm_access.roles=ci", "read:https://id.example.com/kind=staff", "trigger:tenant=12345678901"),
		}
	})
	idp.SignIn(alice(nil))
	return s, idp
}

// tokenOf is what is recorded of the token of a sign-in.
func (s *site) tokenOf(prefix string) *ci.Token {
	s.t.Helper()
	for token, err := range s.admin.ListTokens(s.t.Context()) {
		require.NoError(s.t, err)
		if strings.HasPrefix(token.Name, prefix) {
			return &token
		}
	}
	return nil
}

// still is a browser that stays where redirects begin.
func (s *site) still() *browser {
	b := s.browser()
	b.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b
}

func TestSignInByOpenID(t *testing.T) {
	t.Parallel()
	s, _ := withOpenID(t)
	b := s.browser()
	p := b.get("/ui/jobs?state=failed")
	lawful(t, p)
	require.Contains(t, p.body, `href="/ui/sign-in/oidc?next=%2Fui%2Fjobs%3Fstate%3Dfailed">Sign in with Key &amp; Cloak</a>`)
	p = b.get("/ui/sign-in/oidc?next=%2Fui%2Fjobs%3Fstate%3Dfailed")
	require.Equal(t, "/ui/jobs?state=failed", p.path, p.body)
	require.Contains(t, p.body, "oidc-alice-example.com-")

	token := s.tokenOf("oidc-alice-example.com-")
	require.NotNil(t, token)
	require.Equal(t, ci.RoleRead, token.Role)
	require.WithinDuration(t, time.Now().Add(12*time.Hour), token.ExpiresAt, 10*time.Minute)
	require.Equal(t, 403, b.get("/ui/tokens").status, "the role is the token's")

	p = b.submit("/ui/", "/ui/sign-out", url.Values{})
	require.Equal(t, "/ui/sign-in", p.path)
	require.False(t, s.tokenOf("oidc-alice-example.com-").RevokedAt.IsZero(), "who signs out leaves no token behind")
	require.Equal(t, "/ui/sign-in", b.get("/ui/").path)

	// A token that was typed in is used elsewhere, too, and stays.
	b = s.signedIn(ci.RoleRead)
	b.submit("/ui/", "/ui/sign-out", url.Values{})
	s.signedIn(ci.RoleRead)
}

// What a provider says counts only where all of it is true and for this sign-in.
func TestOpenIDThatCannotBeBelieved(t *testing.T) {
	t.Parallel()
	s, idp := withOpenID(t)
	set := func(name string, value any) func(_, claims map[string]any) {
		return func(_, claims map[string]any) { claims[name] = value }
	}
	for name, twist := range map[string]func(header, claims map[string]any){
		"another nonce":         set("nonce", "x"),
		"no nonce":              func(_, c map[string]any) { delete(c, "nonce") },
		"for another client":    set("aud", "other"),
		"for several":           set("aud", []string{idptest.ClientID, "other"}),
		"given to another":      set("azp", "other"),
		"expired":               set("exp", time.Now().Add(-time.Minute).Unix()),
		"of another issuer":     set("iss", "https://evil.test"),
		"not yet":               set("nbf", time.Now().Add(time.Hour).Unix()),
		"another access token":  set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"of nobody":             set("sub", ""),
		"signed by another key": func(h, _ map[string]any) { h["kid"] = "two" },
		"not signed":            func(h, _ map[string]any) { h["alg"] = "none" },
	} {
		idp.Twist(twist)
		b := s.browser()
		p := b.get("/ui/sign-in/oidc")
		require.Equal(t, 401, p.status, "%s: %s", name, p.body)
		require.Contains(t, p.body, "can&#39;t be believed", name)
		lawful(t, p)
		require.Equal(t, "/ui/sign-in", b.get("/ui/").path, name)
	}
	require.Nil(t, s.tokenOf("oidc-"), "no token was made")
	idp.Twist(set("exp", time.Now().Add(-5*time.Second).Unix())) // clocks differ a little
	require.Equal(t, "/ui/", s.browser().get("/ui/sign-in/oidc").path)
}

func TestRolesOfOpenID(t *testing.T) {
	t.Parallel()
	s, idp := withOpenID(t)
	for name, c := range map[string]struct {
		who  object
		role ci.Role // "" is nobody
		says string
	}{
		"by domain":           {alice(nil), ci.RoleRead, ""},
		"the strongest":       {alice(object{"groups": []string{"x", "ci-admins"}}), ci.RoleAdmin, ""},
		"by a text":           {alice(object{"groups": "ci-admins", "email": "a@other.test"}), ci.RoleAdmin, ""},
		"by address":          {object{"sub": "u-2", "email": "BOB@example.com", "email_verified": "true"}, ci.RoleMaintain, ""},
		"by a path":           {object{"sub": "u-3", "realm_access": object{"roles": []string{"ci"}}}, ci.RoleTrigger, ""},
		"by an address":       {object{"sub": "u-4", "https://id.example.com/kind": "staff"}, ci.RoleRead, ""},
		"by a number":         {object{"sub": "u-8", "tenant": 12345678901}, ci.RoleTrigger, ""},
		"by one of numbers":   {object{"sub": "u-9", "tenant": []int{1, 12345678901}}, ci.RoleTrigger, ""},
		"not verified":        {alice(object{"email_verified": false}), "", "has not verified that it is yours"},
		"not said":            {object{"sub": "u-5", "email": "bob@example.com"}, "", "has not verified"},
		"nobody":              {object{"sub": "u-6", "name": "ci-admins", "preferred_username": "<b>mallory"}, "", "user-&lt;b&gt;mallory, and nothing here gives you a role; ask an administrator"},
		"another domain":      {alice(object{"email": "alice@notexample.com"}), "", "--oidc-roles"},
		"below the domain":    {alice(object{"email": "alice@example.com.evil.test"}), "", "--oidc-roles"},
		"a group by its part": {object{"sub": "u-7", "groups": []string{"ci-admins-not"}}, "", "--oidc-roles"},
	} {
		idp.SignIn(c.who)
		p := s.browser().get("/ui/sign-in/oidc")
		if c.role == "" {
			require.Equal(t, 403, p.status, "%s: %s", name, p.body)
			require.Contains(t, p.body, c.says, name)
			lawful(t, p)
			continue
		}
		require.Equal(t, "/ui/", p.path, "%s: %s", name, p.body)
		require.Contains(t, p.body, "<small>"+string(c.role)+"</small>", name)
	}
}

// Only the browser that has begun a sign-in ends it, once, with the answer to it.
func TestSignInIsBoundToItsBrowser(t *testing.T) {
	t.Parallel()
	s, idp := withOpenID(t)
	b := s.still()
	begin := func() (back string, cookie *http.Cookie) {
		p := b.get("/ui/sign-in/oidc?next=/ui/jobs")
		require.Equal(t, 303, p.status, p.body)
		set, err := http.ParseSetCookie(p.header.Get("Set-Cookie"))
		require.NoError(t, err)
		require.True(t, set.HttpOnly && set.SameSite == http.SameSiteLaxMode && set.MaxAge > 0 && set.Domain == "")
		p = b.do(request(t, p.header.Get("Location")))
		require.Equal(t, 302, p.status, p.body)
		return strings.TrimPrefix(p.header.Get("Location"), s.url), set
	}
	back, cookie := begin()
	p := s.browser().get(back)
	require.Equal(t, 400, p.status, "another browser")
	require.Contains(t, p.body, "was not begun in this browser")

	at, err := url.Parse(back)
	require.NoError(t, err)
	with := func(name, value string) string {
		q := at.Query()
		q.Set(name, value)
		return at.Path + "?" + q.Encode()
	}
	again := func(path string) answer { // with the cookie that the answer before has ended
		r := request(t, s.url+path)
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
		return (&browser{site: s, http: &http.Client{CheckRedirect: b.http.CheckRedirect}}).do(r)
	}
	require.Equal(t, 400, again(with("state", "x")).status, "another sign-in's answer")
	require.Equal(t, 401, again(with("iss", "https://evil.test")).status, "another provider's answer")
	require.Equal(t, 401, again(with("iss", "")).status, "an answer of nobody")
	require.Equal(t, 401, again(with("code", "x")).status, "another code")
	require.Equal(t, 400, again(strings.Replace(back, "/oidc/", "/github/", 1)).status, "at another provider's address")
	p = again(with("state", "x") + "&error=x&error_description=words+in+our+mouth")
	require.NotContains(t, p.body, "in our mouth")
	require.Equal(t, 303, again(back).status)
	p = again(back)
	require.Equal(t, 401, p.status, "the code was used")
	require.Contains(t, p.body, "used before")
	forged := request(t, s.url+back)
	forged.AddCookie(&http.Cookie{Name: cookie.Name, Value: "A" + cookie.Value})
	require.Equal(t, 400, (&browser{site: s, http: new(http.Client)}).do(forged).status)

	// The code of somebody else's sign-in is none for one's own.
	theirs, _ := begin()
	_, cookie = begin()
	code, err := url.Parse(theirs)
	require.NoError(t, err)
	require.NotEqual(t, 303, again(theirs).status)
	require.Equal(t, 400, again(with("code", code.Query().Get("code"))).status)

	idp.SignIn(nil)
	p = s.browser().get("/ui/sign-in/oidc")
	require.Equal(t, 403, p.status)
	require.Contains(t, p.body, "access_denied &lt;b&gt;no&lt;/b&gt;")
	require.Equal(t, 404, s.browser().get("/ui/sign-in/nobody").status)
}

// A provider that is away, or answers slowly or with nonsense, keeps nobody with a token out, and holds nobody up for long.
func TestProviderAway(t *testing.T) {
	t.Parallel()
	s, idp := withOpenID(t)
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"fails":    func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true },
		"nonsense": func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("<html>")); return true },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return true
		},
		"hangs up":  func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"is silent": func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
		"an imposter": func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte(`{"issuer": "https://evil.test", "authorization_endpoint": "https://evil.test/", "token_endpoint": "https://evil.test/"}`))
			return true
		},
	} {
		idp.Fault(fault)
		p := s.browser().get("/ui/sign-in/oidc")
		require.Equal(t, 503, p.status, name)
		require.Contains(t, p.body, "Key &amp; Cloak does not answer as it should", name)
		require.Contains(t, p.body, `name="token"`, name)
		lawful(t, p)
		s.signedIn(ci.RoleRead)
	}
	idp.Fault(nil)
	require.Equal(t, "/ui/", s.browser().get("/ui/sign-in/oidc").path)
	idp.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			w.WriteHeader(http.StatusBadGateway)
		}
		return r.URL.Path == "/token"
	})
	require.Equal(t, 503, s.browser().get("/ui/sign-in/oidc").status, "it went away in between")
}

func TestNobodyIsLedElsewhereByAProvider(t *testing.T) {
	t.Parallel()
	s, _ := withOpenID(t)
	for _, next := range []string{"https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)", "/uix", "/jobs", "/ui/" + strings.Repeat("x", 2000), "http:/ui/"} {
		require.Equal(t, "/ui/", s.browser().get("/ui/sign-in/oidc?next="+url.QueryEscape(next)).path, "%q", next)
	}
}

func TestSignInByGitHub(t *testing.T) {
	t.Parallel()
	hub := idptest.NewGitHub(t)
	secret := secretFile(t)
	s := newSiteWith(t, func(c *backend.Config, at string) {
		c.URL = at
		hub.Redirect(at + "/ui/sign-in/github/callback")
		c.SignIn.GitHub = &signin.GitHub{URL: hub.URL + "/", ClientID: idptest.ClientID, SecretFile: secret, Rules: rules(t, "read:org=acme", "admin:team=acme/ops", "trigger:login=Octocat", "maintain:id=7")}
	})
	require.Contains(t, s.browser().get("/ui/sign-in").body, "Sign in with GitHub")
	active, pending := map[string]string{"acme": "active"}, map[string]string{"acme": "pending"}
	for name, c := range map[string]struct {
		who  idptest.GitHubUser
		role ci.Role
	}{
		"a member":               {idptest.GitHubUser{Login: "mona", ID: 1, Orgs: active}, ci.RoleRead},
		"of the team":            {idptest.GitHubUser{Login: "hubot", ID: 2, Orgs: active, Teams: map[string]string{"acme/ops": "active"}}, ci.RoleAdmin},
		"invited to the team":    {idptest.GitHubUser{Login: "new", ID: 3, Orgs: active, Teams: map[string]string{"acme/ops": "pending"}}, ci.RoleRead},
		"invited":                {idptest.GitHubUser{Login: "newer", ID: 4, Orgs: pending}, ""},
		"by login":               {idptest.GitHubUser{Login: "octocat", ID: 5}, ci.RoleTrigger},
		"by number":              {idptest.GitHubUser{Login: "renamed", ID: 7, Orgs: active}, ci.RoleMaintain},
		"of another org":         {idptest.GitHubUser{Login: "eve", ID: 8, Orgs: map[string]string{"acme2": "active"}}, ""},
		"a login like a number":  {idptest.GitHubUser{Login: "7", ID: 9}, ""},
		"a team of another name": {idptest.GitHubUser{Login: "mal", ID: 10, Teams: map[string]string{"evil/ops": "active"}}, ""},
	} {
		hub.SignIn(c.who)
		p := s.browser().get("/ui/sign-in/github?next=/ui/jobs")
		if c.role == "" {
			require.Equal(t, 403, p.status, "%s: %s", name, p.body)
			require.Contains(t, p.body, "--github-login-roles", name)
			continue
		}
		require.Equal(t, "/ui/jobs", p.path, "%s: %s", name, p.body)
		require.Contains(t, p.body, "github-"+c.who.Login+"-", name)
		require.Contains(t, p.body, "<small>"+string(c.role)+"</small>", name)
	}
	require.NoError(t, os.WriteFile(secret, []byte("old"), 0o600))
	p := s.browser().get("/ui/sign-in/github")
	require.Equal(t, 503, p.status)
	require.Contains(t, p.body, "by its client id and secret")
}

// Where people come by https, the cookie of a sign-in goes over nothing else and is for this host alone.
func TestSignInUnderWayIsKeptByHTTPS(t *testing.T) {
	t.Parallel()
	hub := idptest.NewGitHub(t)
	s := newSiteWith(t, func(c *backend.Config, _ string) {
		c.URL = "https://ci.example.com"
		c.SignIn.GitHub = &signin.GitHub{URL: hub.URL, ClientID: idptest.ClientID, SecretFile: secretFile(t), Rules: rules(t, "read:login=x")}
	})
	p := s.still().get("/ui/sign-in/github")
	require.Equal(t, 303, p.status)
	require.Regexp(t, `^__Host-ci_sign_in=[^;]+; Path=/; Max-Age=900; HttpOnly; Secure; SameSite=Lax$`, p.header.Get("Set-Cookie"))
	require.Contains(t, p.header.Get("Location"), url.QueryEscape("https://ci.example.com/ui/sign-in/github/callback"))
}

// What the pages do is done by the API, which anybody may call.
func TestSignInByTheAPI(t *testing.T) {
	t.Parallel()
	s, _ := withOpenID(t)
	c := s.client("")
	list, err := c.SignInProviders(t.Context())
	require.NoError(t, err)
	require.Equal(t, []ci.SignInProvider{{Name: "oidc", Title: "Key & Cloak"}}, list)
	begun, err := c.BeginSignIn(t.Context(), "oidc")
	require.NoError(t, err)
	p := s.still().do(request(t, begun.URL))
	back, err := url.Parse(p.header.Get("Location"))
	require.NoError(t, err)
	q := back.Query()
	a := ci.SignInAnswer{Flow: begun.Flow, State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss")}
	_, err = c.FinishSignIn(t.Context(), "github", a)
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	in, err := c.FinishSignIn(t.Context(), "oidc", a)
	require.NoError(t, err)
	mine := s.client(in.Bearer)
	who, err := mine.WhoAmI(t.Context())
	require.NoError(t, err)
	require.Equal(t, in.ID, who.TokenID)
	require.NoError(t, mine.SignOut(t.Context()))
	_, err = mine.WhoAmI(t.Context())
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err))
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(s.client(s.tokens[ci.RoleAgent]).SignOut(t.Context())), "an agent's token is an administrator's matter")
	for _, role := range []ci.Role{ci.RoleAdmin, ci.RoleRead, ci.RoleTrigger} {
		other := s.client(s.tokens[role])
		require.Equal(t, ci.CodeForbidden, ci.CodeOf(other.SignOut(t.Context())), "a token that no sign-in has made is used elsewhere, too")
		_, err = other.WhoAmI(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(c.SignOut(t.Context())))
	for body, want := range map[string]int{`{"flow": "x"}`: 400, `{"flow": 1}`: 400, `{"no": 1}`: 400, `{}{}`: 400, ``: 400, `{"flow":"` + strings.Repeat("x", 40<<10) + `"}`: 413} {
		r, err := http.NewRequest(http.MethodPost, s.url+"/sign-in/oidc/token", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		got := s.browser().do(r)
		require.Equal(t, want, got.status, "%.50s: %s", body, got.body)
		require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	}
}
