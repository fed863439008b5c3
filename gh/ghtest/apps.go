package ghtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// App is a GitHub App.
type App struct {
	ID       int64
	Slug     string
	ClientID string
	// PEM is its private key, as GitHub hands it out: PKCS #1.
	PEM string
	// WebhookSecret signs what is delivered to HookURL.
	WebhookSecret string
	// Owner is whose App it is.
	Owner string

	server        *Server
	name          string
	key           *rsa.PrivateKey
	clientSecret  string
	hookURL       string
	hookPaused    bool
	permissions   map[string]string
	events        []string
	installations map[int64]*Installation
	deliveries    []*delivery
	created       time.Time
}

// Installation is an App on an account.
type Installation struct {
	ID      int64
	Account string

	app         *App
	repos       []*Repo // nil: all of the account's
	permissions map[string]string
	suspended   bool
	created     time.Time
}

// Permissions are what an App for checks asks for.
func Permissions() map[string]string {
	return map[string]string{"checks": "write", "contents": "read", "metadata": "read", "pull_requests": "read", "statuses": "write", "issues": "read"}
}

// Events are what an App for checks subscribes to.
func Events() []string {
	return []string{"check_run", "check_suite", "create", "delete", "issue_comment", "pull_request", "push", "release"}
}

// NewApp registers an App that asks for Permissions and hears of Events.
func (s *Server) NewApp(slug string) *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.makeApp(slug, "octo", Permissions(), Events())
}

// makeApp registers an App. s.mu is held.
func (s *Server) makeApp(slug, owner string, permissions map[string]string, events []string) *App {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Errorf("a key of an App: %v", err)
	}
	s.user(owner)
	a := &App{
		ID: s.id(), Slug: slug, ClientID: "Iv1." + random(8), Owner: owner, WebhookSecret: random(20),
		PEM:    string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		server: s, name: slug, key: key, clientSecret: random(20), permissions: permissions, events: events,
		installations: map[int64]*Installation{}, created: s.now(),
	}
	s.apps[a.ID] = a
	return a
}

// App returns the App of that slug, or nil.
func (s *Server) App(slug string) *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.apps {
		if a.Slug == slug {
			return a
		}
	}
	return nil
}

// SetHook says where the App's deliveries go; "" goes nowhere.
func (a *App) SetHook(url string) {
	a.server.mu.Lock()
	defer a.server.mu.Unlock()
	a.hookURL = url
}

// Install puts the App on an account, for these repositories, or for all when
// none is named, and tells the App.
func (a *App) Install(account string, repos ...*Repo) *Installation {
	s := a.server
	s.mu.Lock()
	s.user(account)
	i := &Installation{ID: s.id(), Account: account, app: a, repos: repos, permissions: maps.Clone(a.permissions), created: s.now()}
	a.installations[i.ID] = i
	e := event{name: "installation", action: "created", app: a, installation: i, sender: account}
	told := i.describe()
	told["created_at"], told["updated_at"] = i.created.Unix(), i.created.Unix() // so it is, in events alone
	e.body = fields{"installation": told, "repositories": shorts(i.Repos())}
	s.mu.Unlock()
	s.emit(e)
	return i
}

// Suspend stops the installation, or lets it go on.
func (i *Installation) Suspend(on bool) {
	i.app.server.mu.Lock()
	defer i.app.server.mu.Unlock()
	i.suspended = on
}

// Remove uninstalls the App.
func (i *Installation) Remove() {
	s := i.app.server
	s.mu.Lock()
	delete(i.app.installations, i.ID)
	maps.DeleteFunc(s.tokens, func(_ string, t *token) bool { return t.installation == i })
	s.mu.Unlock()
}

// Permit changes what the installation may: level "" takes a permission away.
func (i *Installation) Permit(permission, level string) {
	i.app.server.mu.Lock()
	defer i.app.server.mu.Unlock()
	if i.permissions[permission] = level; level == "" {
		delete(i.permissions, permission)
	}
}

// Repos are those that the installation covers, by id.
func (i *Installation) Repos() []*Repo {
	if i.repos != nil {
		return i.repos
	}
	var list []*Repo
	for _, r := range i.app.server.repos {
		if strings.EqualFold(r.Owner, i.Account) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *Repo) int { return int(a.ID - b.ID) })
	return list
}

func (i *Installation) covers(r *Repo) bool { return slices.Contains(i.Repos(), r) }

func (i *Installation) selection() string {
	if i.repos == nil {
		return "all"
	}
	return "selected"
}

// stamp writes a time as the API does; nil for zero.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *App) describe() fields {
	s := a.server
	return fields{
		"id": a.ID, "slug": a.Slug, "node_id": node("App", a.ID), "owner": s.user(a.Owner).describe(), "name": a.name,
		"description": "", "external_url": "https://ci.example.org", "html_url": s.URL + "/apps/" + a.Slug,
		"created_at": stamp(a.created), "updated_at": stamp(a.created), "permissions": a.permissions, "events": a.events,
		"client_id": a.ClientID,
	}
}

func (i *Installation) describe() fields {
	s, base := i.app.server, i.app.server.URL+apiPath
	return fields{
		"id": i.ID, "account": s.user(i.Account).describe(), "repository_selection": i.selection(),
		"access_tokens_url": path(base, "app/installations", i.ID, "access_tokens"), "repositories_url": base + "/installation/repositories",
		"html_url": path(s.URL, "settings/installations", i.ID), "app_id": i.app.ID, "app_slug": i.app.Slug,
		"target_id": s.user(i.Account).ID, "target_type": s.user(i.Account).kind(), "permissions": i.permissions, "events": i.app.events,
		"created_at": stamp(i.created), "updated_at": stamp(i.created), "single_file_name": nil,
		"suspended_by": nil, "suspended_at": i.suspendedAt(),
	}
}

func (i *Installation) suspendedAt() any {
	if i.suspended {
		return stamp(i.created)
	}
	return nil
}

func getApp(c *call) answer { return ok(c.app.describe()) }

func hookConfig(c *call) answer {
	if c.http.Method == http.MethodPatch {
		var asked struct{ URL, Secret *string }
		if bad := c.decode(&asked); bad != nil {
			return *bad
		}
		if asked.URL != nil {
			c.app.hookURL = *asked.URL
		}
		if asked.Secret != nil {
			c.app.WebhookSecret = *asked.Secret
		}
	}
	return ok(fields{"url": c.app.hookURL, "content_type": "json", "secret": "********", "insecure_ssl": "0"})
}

func (a *App) sorted() []*Installation {
	list := slices.Collect(maps.Values(a.installations))
	slices.SortFunc(list, func(x, y *Installation) int { return int(x.ID - y.ID) })
	return list
}

func listInstallations(c *call) answer {
	list, header := page(c, c.app.sorted())
	out := []fields{}
	for _, i := range list {
		out = append(out, i.describe())
	}
	return answer{status: http.StatusOK, body: out, header: header}
}

func getInstallation(c *call) answer {
	if i := c.app.installations[c.number("installation_id")]; i != nil {
		return ok(i.describe())
	}
	return notFound()
}

// findInstallation answers for a repository, an organisation or a user.
func findInstallation(c *call) answer {
	for _, i := range c.app.sorted() {
		account := c.vars["org"] + c.vars["username"]
		if account != "" && strings.EqualFold(i.Account, account) {
			return ok(i.describe())
		}
		if r := c.s.repos[strings.ToLower(c.vars["owner"]+"/"+c.vars["repo"])]; r != nil && account == "" && i.covers(r) {
			return ok(i.describe())
		}
	}
	return notFound()
}

func listInstalled(c *call) answer {
	all := c.who.repos
	if all == nil {
		all = c.who.installation.Repos()
	}
	list, header := page(c, all)
	out := []fields{}
	for _, r := range list {
		out = append(out, r.describe())
	}
	return answer{status: http.StatusOK, header: header, body: fields{"total_count": len(all), "repositories": out}}
}
