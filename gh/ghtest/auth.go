package ghtest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// need is who may call a route: the App itself with its JWT, or who holds a
// permission (name "checks", level "read" or "write").
type need struct {
	app        bool
	permission string
	level      string
	anyone     bool // whoever is known
	nobody     bool // needs no log-in at all
	// installed: users can't, only an App's installation.
	installed bool
}

func asApp() need                    { return need{app: true} }
func reading(permission string) need { return need{permission: permission, level: "read"} }
func writing(permission string) need { return need{permission: permission, level: "write"} }
func (n need) ofApps() need          { n.installed = true; return n }

// token is what somebody calls with: an installation's token, or a user's own.
type token struct {
	value        string
	installation *Installation // nil for a user's
	user         *User
	expires      time.Time // zero: never
	repos        []*Repo   // what it is limited to; nil is all of the installation's
	permissions  map[string]string
}

// payer is who a request is counted against.
func (c *call) payer() string {
	switch {
	case c.who != nil && c.who.installation != nil:
		return fmt.Sprintf("installation ID %d", c.who.installation.ID)
	case c.who != nil:
		return fmt.Sprintf("user ID %d", c.who.user.ID)
	case c.app != nil:
		return fmt.Sprintf("app ID %d", c.app.ID)
	}
	return "127.0.0.1"
}

// identify finds out who calls, and whether they may. s.mu is held.
func (c *call) identify() *answer {
	n := c.route.need
	scheme, value, _ := strings.Cut(c.http.Header.Get("Authorization"), " ")
	var refused *answer
	switch isToken := strings.EqualFold(scheme, "token") || strings.EqualFold(scheme, "bearer"); {
	case n.nobody:
		return nil
	case !isToken:
		refused = deny(http.StatusUnauthorized, "Requires authentication")
	case n.app:
		refused = c.readJWT(value)
	default:
		refused = c.readToken(value)
	}
	if refused != nil || n.app {
		return refused
	}
	return c.mayUse(n)
}

func deny(status int, format string, args ...any) *answer {
	a := refuse(status, format, args...)
	return &a
}

// readJWT takes an App's own token, by the rules that GitHub documents: RS256,
// the App's id (or client id) as issuer, ten minutes at the most.
func (c *call) readJWT(value string) *answer {
	s, claims := c.s, jwt.RegisteredClaims{}
	var app *App
	_, err := jwt.ParseWithClaims(value, &claims, func(*jwt.Token) (any, error) {
		for _, a := range s.apps {
			if claims.Issuer == strconv.FormatInt(a.ID, 10) || claims.Issuer == a.ClientID {
				app = a
				return &a.key.PublicKey, nil
			}
		}
		return nil, fmt.Errorf("no such app")
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithoutClaimsValidation())
	switch now := s.now(); {
	case err != nil && app == nil && claims.Issuer != "":
		return deny(http.StatusNotFound, "Integration not found")
	case err != nil:
		return deny(http.StatusUnauthorized, "A JSON web token could not be decoded")
	case claims.IssuedAt == nil || claims.IssuedAt.After(now.Add(time.Minute)):
		return deny(http.StatusUnauthorized, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
	case claims.ExpiresAt == nil || !claims.ExpiresAt.After(now):
		return deny(http.StatusUnauthorized, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires")
	case claims.ExpiresAt.After(now.Add(10*time.Minute + 5*time.Second)):
		return deny(http.StatusUnauthorized, "'Expiration time' claim ('exp') is too far in the future")
	}
	c.app = app
	return nil
}

func (c *call) readToken(value string) *answer {
	t := c.s.tokens[value]
	if t == nil || (!t.expires.IsZero() && !c.s.now().Before(t.expires)) {
		return deny(http.StatusUnauthorized, "Bad credentials")
	}
	c.who = t
	if i := t.installation; i != nil && i.suspended {
		return deny(http.StatusForbidden, "This installation has been suspended")
	}
	return nil
}

// mayUse decides about the repository in the path and the permission that the
// route needs. What the caller can't see does not exist for them.
func (c *call) mayUse(n need) *answer {
	if owner := c.vars["owner"]; owner != "" {
		c.repo = c.s.repos[strings.ToLower(owner+"/"+c.vars["repo"])]
		if c.repo == nil || !c.who.sees(c.repo) {
			return deny(http.StatusNotFound, "Not Found")
		}
	}
	switch {
	case n.anyone && !n.installed:
		return nil
	case n.installed && c.who.installation == nil:
		return deny(http.StatusForbidden, "You must authenticate via a GitHub App.")
	case n.anyone:
		return nil
	case !c.who.may(c.repo, n.permission, n.level):
		if c.who.installation == nil {
			return deny(http.StatusForbidden, "Must have push access to Repository")
		}
		return deny(http.StatusForbidden, "Resource not accessible by integration")
	}
	return nil
}

// reaches says whether the token was made for the repository.
func (t *token) reaches(r *Repo) bool {
	if t.installation == nil {
		return r.roleOf(t.user) != ""
	}
	return t.installation.covers(r) && (t.repos == nil || slices.Contains(t.repos, r))
}

func (t *token) sees(r *Repo) bool { return !r.Private || t.reaches(r) }

// may says whether the token has a permission on a repository. Everybody may
// read what is public.
func (t *token) may(r *Repo, permission, level string) bool {
	if r != nil && !t.reaches(r) {
		return level == "read" && !r.Private
	}
	if t.installation == nil {
		role := r.roleOf(t.user)
		return level == "read" || role == "write" || role == "maintain" || role == "admin"
	}
	has := t.permissions[permission]
	return has == level || has == "write" || (permission == "metadata" && level == "read")
}

// createToken answers POST /app/installations/{installation_id}/access_tokens.
func createToken(c *call) answer {
	i := c.app.installations[c.number("installation_id")]
	if i == nil {
		return notFound()
	}
	if i.suspended {
		return refuse(http.StatusForbidden, "This installation has been suspended")
	}
	var asked struct {
		Repositories  []string          `json:"repositories"`
		RepositoryIDs []int64           `json:"repository_ids"`
		Permissions   map[string]string `json:"permissions"`
	}
	if bad := c.decode(&asked); bad != nil {
		return *bad
	}
	t := &token{value: "ghs_" + random(18), installation: i, expires: c.s.now().Add(time.Hour), permissions: maps.Clone(i.permissions)}
	if asked.Permissions != nil {
		t.permissions = asked.Permissions
		for name, level := range asked.Permissions {
			if has := i.permissions[name]; has != level && has != "write" {
				return refuse422("The permissions requested are not granted to this installation.")
			}
		}
	}
	for _, r := range i.Repos() {
		if slices.Contains(asked.RepositoryIDs, r.ID) || slices.Contains(asked.Repositories, r.Name) {
			t.repos = append(t.repos, r)
		}
	}
	if wanted := len(asked.Repositories) + len(asked.RepositoryIDs); wanted != len(t.repos) {
		return refuse422("There is at least one repository that does not exist or is not accessible to the parent installation.")
	}
	c.s.tokens[t.value] = t
	return created(t.describe())
}

func refuse422(message string) answer {
	return answer{status: http.StatusUnprocessableEntity, body: fields{"message": message, "documentation_url": docsURL}}
}

func (t *token) describe() fields {
	f := fields{
		"token": t.value, "expires_at": stamp(t.expires), "permissions": t.permissions, "repository_selection": t.installation.selection(),
	}
	if t.repos != nil {
		f["repository_selection"] = "selected"
		list := []fields{}
		for _, r := range t.repos {
			list = append(list, r.describe())
		}
		f["repositories"] = list
	}
	return f
}

// revokeToken answers DELETE /installation/token.
func revokeToken(c *call) answer {
	delete(c.s.tokens, c.who.value)
	return answer{status: http.StatusNoContent}
}

// Tokens returns the living installation tokens, each as repository names
// ("*" for all) to permissions; for tests of how far tokens reach.
func (s *Server) Tokens() []map[string]map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []map[string]map[string]string
	for _, t := range s.tokens {
		if t.installation == nil || !s.now().Before(t.expires) {
			continue
		}
		reach := map[string]map[string]string{}
		for _, r := range t.repos {
			reach[r.FullName()] = t.permissions
		}
		if t.repos == nil {
			reach["*"] = t.permissions
		}
		list = append(list, reach)
	}
	return list
}

// UserToken makes a personal access token of a user, which never ends.
func (s *Server) UserToken(login string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &token{value: "ghp_" + random(18), user: s.user(login)}
	s.tokens[t.value] = t
	return t.value
}

// Revoke ends every installation token.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.tokens, func(_ string, t *token) bool { return t.installation != nil })
}
