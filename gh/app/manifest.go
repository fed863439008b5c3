package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"ci/pkg/ci"
)

// Setup is what a new App is registered with. GitHub makes it of a manifest
// that the browser of whoever sets it up posts there
// (https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest).
type Setup struct {
	// Name is the App's; it has to be new in all of GitHub.
	Name string
	// URL is our own address, Hook where webhooks go, and Back where GitHub
	// sends the browser with a code for Convert.
	URL, Hook, Back string
}

// Events are the webhooks that the App asks for. Those of its own checks'
// buttons and of its installations come unasked.
func Events() []string {
	return []string{"push", "pull_request", "create", "delete", "release", "issue_comment"}
}

// Manifest returns the App's description in the form that GitHub takes.
func (s Setup) Manifest() ([]byte, error) {
	return json.Marshal(map[string]any{
		"name": s.Name, "url": s.URL, "redirect_url": s.Back, "public": false,
		"hook_attributes":     map[string]any{"url": s.Hook, "active": true},
		"default_permissions": map[string]string{"checks": "write", "contents": "read", "metadata": "read", "pull_requests": "read", "issues": "read", "statuses": "write"},
		"default_events":      Events(),
	})
}

// RegisterURL is the page that the browser posts the form field "manifest" to.
// organisation "" registers the App for the person; state comes back with the code.
func RegisterURL(web, organisation, state string) string {
	place := "/settings/apps/new"
	if organisation != "" {
		place = "/organizations/" + url.PathEscape(organisation) + place
	}
	return strings.TrimRight(web, "/") + place + "?state=" + url.QueryEscape(state)
}

var manifestCode = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)

// Convert exchanges the code that GitHub sent the browser back with for the
// App's keys. A code is good once, and for an hour. The forge that is returned
// has AppID, Slug and its keys; its name and addresses are the caller's to fill in.
func Convert(ctx context.Context, web *http.Client, apiURL, code string) (ci.ForgeAccess, error) {
	if !manifestCode.MatchString(code) {
		return ci.ForgeAccess{}, ci.Errorf(ci.CodeInvalid, "the code that GitHub sent back has a form that it never has; begin the set-up again")
	}
	if web == nil {
		web = &http.Client{Timeout: requestLimit}
	}
	c, err := newClient(Config{HTTP: web, Now: time.Now}, strings.TrimRight(apiURL, "/"), fixed(""))
	if err != nil {
		return ci.ForgeAccess{}, err
	}
	made, resp, err := c.Apps.CompleteAppManifest(ctx, code)
	if resp != nil && resp.StatusCode == http.StatusNotFound {
		return ci.ForgeAccess{}, ci.Errorf(ci.CodeNotFound, "GitHub does not know the code: it is good once, and for an hour; begin the set-up again")
	}
	if err != nil {
		return ci.ForgeAccess{}, Explain(err, "get the keys of the new App")
	}
	return access(made)
}

func access(made *github.AppConfig) (ci.ForgeAccess, error) {
	f := ci.ForgeAccess{
		Forge:     ci.Forge{Kind: ci.ForgeGitHub, AppID: made.GetID(), Slug: made.GetSlug()},
		ForgeKeys: ci.ForgeKeys{PrivateKey: made.GetPEM(), WebhookSecret: made.GetWebhookSecret()},
	}
	if f.AppID == 0 || f.PrivateKey == "" || f.WebhookSecret == "" {
		return f, ci.Errorf(ci.CodeUnavailable, "GitHub answered without the App's keys; make a private key and a webhook secret on the App's page, and set them by hand")
	}
	return f, nil
}
