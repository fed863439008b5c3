package signin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/oauth2"

	"ci/pkg/ci"
)

const githubName = "github"

// GitHubFacts are what rules about people at GitHub may name: a number that stays
// theirs, a login (which another one may take once it is given up), an organization ORG that they are a
// member of, and a team ORG/SLUG of one.
var GitHubFacts = []string{"id", "login", "org", "team"}

// GitHub is an OAuth App, or a GitHub App, of GitHub or a GitHub Enterprise Server.
type GitHub struct {
	// URL is where its pages are; "" is https://github.com.
	URL        string
	ClientID   string
	SecretFile string
	Rules      []Rule
}

// hub is GitHub at work.
type hub struct {
	GitHub
	client *http.Client
	api    string
}

func newHub(c GitHub, client *http.Client) (*hub, error) {
	c.URL = strings.TrimRight(cmp.Or(c.URL, "https://github.com"), "/")
	u, err := checkURL("the address of GitHub", c.URL)
	if err != nil {
		return nil, err
	}
	if c.ClientID == "" || c.SecretFile == "" {
		return nil, errors.New("signing in by GitHub needs --github-login-client-id and --github-login-client-secret-file")
	}
	if _, err := secret(c.SecretFile); err != nil {
		return nil, err
	}
	for _, r := range c.Rules {
		if org, team, ok := strings.Cut(r.Value, "/"); r.Fact == "team" && (!ok || org == "" || team == "" || strings.Contains(team, "/")) {
			return nil, fmt.Errorf("the team %q is not of the form ORG/SLUG", r.Value)
		}
	}
	c.Rules = byStrength(c.Rules)
	api := c.URL + "/api/v3"
	if u.Host == "github.com" {
		api = "https://api.github.com"
	}
	return &hub{GitHub: c, client: client, api: api}, nil
}

func (h *hub) title() string { return "GitHub" }

func (h *hub) setting() string { return "--github-login-roles" }

func (h *hub) oauth(back string) (*oauth2.Config, error) {
	key, err := secret(h.SecretFile)
	if err != nil {
		return nil, &ci.Error{Code: ci.CodeUnavailable, Message: "this server can't read what GitHub knows it by; its log says more", Cause: err}
	}
	c := &oauth2.Config{ClientID: h.ClientID, ClientSecret: key, RedirectURL: back, Endpoint: oauth2.Endpoint{
		AuthURL: h.URL + "/login/oauth/authorize", TokenURL: h.URL + "/login/oauth/access_token", AuthStyle: oauth2.AuthStyleInParams,
	}}
	for _, r := range h.Rules {
		if r.Fact == "org" || r.Fact == "team" {
			c.Scopes = []string{"read:org"} // all else that is asked is public
		}
	}
	return c, nil
}

func (h *hub) begin(_ context.Context, f flow, back string) (string, error) {
	c, err := h.oauth(back)
	if err != nil {
		return "", err
	}
	return c.AuthCodeURL(f.State, oauth2.S256ChallengeOption(f.Verifier)), nil
}

func (h *hub) finish(ctx context.Context, f flow, back string, a ci.SignInAnswer) (*person, error) {
	c, err := h.oauth(back)
	if err != nil {
		return nil, err
	}
	t, err := exchange(ctx, h.client, c, h.title(), f, a.Code)
	if err != nil {
		return nil, err
	}
	var user struct {
		Login string `json:"login"`
		ID    int64  `json:"id"`
	}
	there, err := h.get(ctx, t.AccessToken, "/user", &user)
	if err != nil {
		return nil, err
	}
	if !there || user.ID == 0 || user.Login == "" {
		return nil, away(h.title(), errors.New("GET /user names nobody"))
	}
	p := &person{Subject: strconv.FormatInt(user.ID, 10), Name: user.Login}
	for _, r := range h.Rules {
		holds, err := h.holds(ctx, t.AccessToken, r, p)
		if err != nil {
			return nil, err
		}
		if holds {
			p.Role = r.Role
			break
		}
	}
	return p, nil
}

// holds says whether a rule is about the person.
func (h *hub) holds(ctx context.Context, token string, r Rule, p *person) (bool, error) {
	switch r.Fact {
	case "id":
		return p.Subject == r.Value, nil
	case "login":
		return strings.EqualFold(p.Name, r.Value), nil
	case "org":
		return h.member(ctx, token, "/user/memberships/orgs/"+url.PathEscape(r.Value))
	case "team":
		org, team, _ := strings.Cut(r.Value, "/")
		return h.member(ctx, token, "/orgs/"+url.PathEscape(org)+"/teams/"+url.PathEscape(team)+"/memberships/"+url.PathEscape(p.Name))
	}
	return false, nil
}

// member asks for a membership. One who was only invited is none.
func (h *hub) member(ctx context.Context, token, path string) (bool, error) {
	var m struct {
		State string `json:"state"`
	}
	there, err := h.get(ctx, token, path, &m)
	return there && m.State == "active", err
}

// get asks the API with the person's token; false says that GitHub does not show it to them.
func (h *hub) get(ctx context.Context, token, path string, into any) (bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.api+path, nil)
	if err != nil {
		return false, away(h.title(), err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	resp, err := h.client.Do(r)
	if err != nil {
		return false, away(h.title(), err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusForbidden && resp.Header.Get("X-RateLimit-Remaining") != "0":
		return false, nil
	case resp.StatusCode != http.StatusOK:
		return false, away(h.title(), fmt.Errorf("GET %s: %s", path, resp.Status))
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return false, away(h.title(), fmt.Errorf("GET %s: %w", path, err))
	}
	return true, nil
}
