package idptest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// GitHub is a GitHub Enterprise Server with an OAuth App, as "Authorizing OAuth
// apps" and the REST API's reference describe it.
type GitHub struct {
	// URL is where its pages are.
	URL string

	mu       sync.Mutex
	redirect string
	who      *GitHubUser
	codes    map[string]*grant
	tokens   map[string]*grant
}

// GitHubUser is a person there.
type GitHubUser struct {
	Login string
	ID    int64
	// Orgs and Teams (ORG/SLUG) are what they are a member of: "active", or only invited: "pending".
	Orgs, Teams map[string]string
}

// grant is what a person has let the app have.
type grant struct {
	user      GitHubUser
	challenge string
	scopes    []string
}

// NewGitHub starts one that ends with the test.
func NewGitHub(t testing.TB) *GitHub {
	t.Helper()
	g := &GitHub{codes: map[string]*grant{}, tokens: map[string]*grant{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", g.authorize)
	mux.HandleFunc("POST /login/oauth/access_token", g.accessToken)
	mux.HandleFunc("GET /api/v3/user", g.api("", func(r *http.Request, u *grant) (int, any) {
		return http.StatusOK, map[string]any{"login": u.user.Login, "id": u.user.ID, "type": "User", "site_admin": false, "name": nil, "email": nil}
	}))
	mux.HandleFunc("GET /api/v3/user/memberships/orgs/{org}", g.api("read:org", func(r *http.Request, u *grant) (int, any) {
		return membership(u.user.Orgs[r.PathValue("org")])
	}))
	mux.HandleFunc("GET /api/v3/orgs/{org}/teams/{team}/memberships/{user}", g.api("read:org", func(r *http.Request, u *grant) (int, any) {
		if r.PathValue("user") != u.user.Login || u.user.Orgs[r.PathValue("org")] != "active" {
			return membership("")
		}
		return membership(u.user.Teams[r.PathValue("org")+"/"+r.PathValue("team")])
	}))
	server := httptest.NewServer(mux)
	g.URL = server.URL
	t.Cleanup(server.Close)
	return g
}

// Redirect registers the app's callback URL.
func (g *GitHub) Redirect(uri string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.redirect = uri
}

// SignIn is who is signed in there.
func (g *GitHub) SignIn(u GitHubUser) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.who = &u
}

func (g *GitHub) authorize(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("redirect_uri") != g.redirect {
		http.Error(w, "the redirect_uri is not associated with this application", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}}
	if g.who == nil {
		back.Set("error", "access_denied")
	} else {
		value := rand.Text()
		g.codes[value] = &grant{*g.who, q.Get("code_challenge"), strings.Fields(q.Get("scope"))}
		back.Set("code", value)
	}
	http.Redirect(w, r, g.redirect+"?"+back.Encode(), http.StatusFound)
}

// accessToken answers with a form, as GitHub does whom nobody asks for JSON, and with 200 for errors, too.
func (g *GitHub) accessToken(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	answer := url.Values{}
	c := g.codes[r.PostFormValue("code")]
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case r.PostFormValue("client_id") != ClientID || r.PostFormValue("client_secret") != ClientSecret:
		answer.Set("error", "incorrect_client_credentials")
	case c == nil || base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge:
		answer.Set("error", "bad_verification_code")
	default:
		delete(g.codes, r.PostFormValue("code"))
		token := "gho_" + rand.Text()
		g.tokens[token] = c
		answer = url.Values{"access_token": {token}, "scope": {strings.Join(c.scopes, ",")}, "token_type": {"bearer"}}
	}
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	_, _ = w.Write([]byte(answer.Encode())) // who asked may be gone
}

// api answers who has a token with a scope.
func (g *GitHub) api(scope string, serve func(*http.Request, *grant) (int, any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		u := g.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		switch {
		case u == nil:
			writeJSON(w, http.StatusUnauthorized, map[string]any{"message": "Bad credentials"})
		case scope != "" && !slices.Contains(u.scopes, scope):
			writeJSON(w, http.StatusForbidden, map[string]any{"message": "You need at least read:org scope"})
		default:
			status, body := serve(r, u)
			writeJSON(w, status, body)
		}
	}
}

func membership(state string) (int, any) {
	if state == "" {
		return http.StatusNotFound, map[string]any{"message": "Not Found"}
	}
	return http.StatusOK, map[string]any{"state": state, "role": "member"}
}
