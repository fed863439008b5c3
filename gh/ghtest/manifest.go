package ghtest

import (
	"cmp"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// manifest is what an App is made of without anybody filling in a form
// (https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest).
type manifest struct {
	Name           string `json:"name"`
	URL            string `json:"url"`
	HookAttributes struct {
		URL    string `json:"url"`
		Active *bool  `json:"active"`
	} `json:"hook_attributes"`
	RedirectURL        string            `json:"redirect_url"`
	CallbackURLs       []string          `json:"callback_urls"`
	SetupURL           string            `json:"setup_url"`
	SetupOnUpdate      bool              `json:"setup_on_update"`
	Description        string            `json:"description"`
	Public             bool              `json:"public"`
	DefaultEvents      []string          `json:"default_events"`
	DefaultPermissions map[string]string `json:"default_permissions"`
	OAuthOnInstall     bool              `json:"request_oauth_on_install"`
}

// registerApp is the page that a browser posts a manifest to. Whoever is
// logged in presses the button at once, so the answer leads back with a code.
func (s *Server) registerApp(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<h1>Register new GitHub App</h1>")
		return
	}
	var m manifest
	d := json.NewDecoder(strings.NewReader(r.PostFormValue("manifest")))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		s.violate("manifest: %v", err)
	}
	back, err := url.Parse(m.RedirectURL)
	switch {
	case m.URL == "" || m.RedirectURL == "" || err != nil:
		http.Error(w, "the manifest needs url and redirect_url: "+html.EscapeString(m.RedirectURL), http.StatusUnprocessableEntity)
		return
	case m.HookAttributes.URL == "":
		http.Error(w, "Hook url cannot be blank", http.StatusUnprocessableEntity)
		return
	}
	s.mu.Lock()
	a := s.makeApp(cmp.Or(m.Name, "app"), "octo", m.DefaultPermissions, m.DefaultEvents)
	a.hookURL = m.HookAttributes.URL
	code := random(20)
	s.pending[code] = a
	s.mu.Unlock()
	q := back.Query()
	q.Set("code", code)
	if state := r.URL.Query().Get("state"); state != "" {
		q.Set("state", state)
	}
	back.RawQuery = q.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// convertManifest hands out the App's keys, once.
func convertManifest(c *call) answer {
	a := c.s.pending[c.vars["code"]]
	if a == nil {
		return notFound()
	}
	delete(c.s.pending, c.vars["code"])
	f := a.describe()
	f["client_secret"], f["webhook_secret"], f["pem"] = a.clientSecret, a.WebhookSecret, a.PEM
	return created(f)
}
