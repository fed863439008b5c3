package ci

import (
	"net/url"
	"strings"
	"time"
)

// ForgeKind says which program a forge runs.
type ForgeKind string

// The kinds of forges.
const (
	ForgeGitHub ForgeKind = "github" // github.com or GitHub Enterprise Server
	ForgeGitLab ForgeKind = "gitlab"
	ForgeGitea  ForgeKind = "gitea" // and Forgejo
)

// ForgeKinds lists all kinds.
var ForgeKinds = []ForgeKind{ForgeGitHub, ForgeGitLab, ForgeGitea}

// Forge is a server that hosts repositories, as it is known here. Its webhooks
// come to /hooks/NAME. What opens it is never shown; see ForgeAccess.
type Forge struct {
	// Name is how event triggers name it; "github" is the usual one.
	Name string
	Kind ForgeKind
	// URL is where people and git reach it: https://github.com.
	URL string
	// API is where its REST API lies; "" is the usual place, see APIURL.
	API string
	// AppID is the GitHub App's number; 0 works with a token, without an App.
	AppID int64
	// Slug is the App's name in addresses; "" when nobody said.
	Slug string
	// Version grows with each change. The first is 1.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// ForgeAccess is a Forge with what opens it. It is kept in memory only.
type ForgeAccess struct {
	Forge
	ForgeKeys
}

// ForgeKeys is what is confidential of a forge. An empty one is not there.
type ForgeKeys struct {
	// PrivateKey is the GitHub App's, in PEM.
	PrivateKey string
	// WebhookSecret is what the forge signs its webhooks with, or shows with them.
	WebhookSecret string
	// Token is an access token, for forges without an App.
	Token string
}

// APIURL is where the forge's REST API lies, without a slash at its end.
func (f *Forge) APIURL() string {
	web := strings.TrimRight(f.URL, "/")
	switch {
	case f.API != "":
		return strings.TrimRight(f.API, "/")
	case f.Kind == ForgeGitLab:
		return web + "/api/v4"
	case f.Kind == ForgeGitea:
		return web + "/api/v1"
	case web == "https://github.com":
		return "https://api.github.com"
	}
	return web + "/api/v3" // GitHub Enterprise Server
}

// Hosts says whether a git URL is of a repository of this forge, and returns
// the repository's full name, "owner/name", as the URL has it. Only such URLs
// may ever be given what opens the forge.
func (f *Forge) Hosts(gitURL string) (fullName string, ok bool) {
	home, err := url.Parse(f.URL)
	if err != nil {
		return "", false
	}
	u, err := url.Parse(gitURL)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" ||
		!strings.EqualFold(u.Scheme, home.Scheme) || !strings.EqualFold(u.Host, home.Host) {
		return "", false
	}
	base := strings.TrimRight(home.Path, "/") + "/"
	if !strings.HasPrefix(u.Path, base) {
		return "", false
	}
	fullName = strings.TrimSuffix(strings.TrimSuffix(u.Path[len(base):], "/"), ".git")
	return fullName, ValidFullName(fullName)
}

// Limits of a forge's keys, in bytes.
const (
	minWebhookSecret = 16
	maxForgeKey      = 32 << 10
)

// Validate checks a forge before it is kept. What is confidential is not quoted.
func (a *ForgeAccess) Validate() error {
	var f faults
	checkName(&f, "name", a.Name)
	known := false
	for _, k := range ForgeKinds {
		known = known || k == a.Kind
	}
	if !known {
		f.add("kind", "%q is not one of %v", a.Kind, ForgeKinds)
	}
	checkForgeURL(&f, "url", a.URL)
	if a.API != "" {
		checkForgeURL(&f, "apiUrl", a.API)
	}
	checkApp(&f, a)
	switch {
	case a.WebhookSecret == "":
		f.add("webhookSecret", "is missing; without it nobody could tell the forge's webhooks from anybody's")
	case len(a.WebhookSecret) < minWebhookSecret || len(a.WebhookSecret) > maxForgeKey || !clean(a.WebhookSecret):
		f.add("webhookSecret", "must have %d to %d bytes of printable text", minWebhookSecret, maxForgeKey)
	}
	if len(a.Token) > maxForgeKey || !clean(a.Token) || strings.ContainsAny(a.Token, " \t") {
		f.add("token", "must have at most %d bytes and hold no spaces and no control characters", maxForgeKey)
	}
	return f.err("the forge")
}

// checkApp checks what is said of a GitHub App.
func checkApp(f *faults, a *ForgeAccess) {
	checkText(f, "slug", a.Slug, MaxNameLen)
	switch {
	case a.AppID < 0:
		f.add("appId", "%d is not an App's number", a.AppID)
	case a.AppID != 0 && a.Kind != ForgeGitHub:
		f.add("appId", "only GitHub has Apps; %s works with a token", a.Kind)
	case a.AppID != 0 && a.PrivateKey == "":
		f.add("privateKey", "is missing; an App proves with it who it is")
	case a.AppID == 0 && a.PrivateKey != "":
		f.add("appId", "is missing; privateKey is a GitHub App's")
	case a.PrivateKey != "" && (len(a.PrivateKey) > maxForgeKey || !strings.Contains(a.PrivateKey, "PRIVATE KEY-----")):
		f.add("privateKey", "is no private key in PEM: the file that GitHub gives out begins with -----BEGIN RSA PRIVATE KEY-----")
	}
}

func checkForgeURL(f *faults, path, text string) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		f.add(path, "is missing; an example is https://github.com")
	case err != nil || len(text) > 2<<10 || !clean(text) || u.Host == "":
		f.add(path, "%q is not an address such as https://git.example.com", text)
	case u.Scheme != "https" && u.Scheme != "http":
		f.add(path, "%q must begin with https://", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		f.add(path, "must hold no user, no query and no fragment")
	}
}

// ValidFullName says whether name has the form of a repository's full name:
// "owner/name", on GitLab with groups within groups.
func ValidFullName(name string) bool {
	parts := strings.Split(name, "/")
	if len(parts) < 2 || len(name) > 500 {
		return false
	}
	for _, p := range parts {
		if !jobName.MatchString(strings.TrimLeft(p, "._-")) || strings.Trim(p, ".") == "" {
			return false
		}
	}
	return true
}
