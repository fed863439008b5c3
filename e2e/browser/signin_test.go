package browser

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/signin/idptest"
	"ci/e2e/rig"
	"ci/e2e/rig/chromium"
)

// Somebody signs in by an OpenID provider at another site, and out again: the browser keeps and sends the
// cookies on its way there and back, and the pages' policy lets it go.
func TestSignInByOpenID(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser and a real server are started")
	}
	bin, err := rig.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	cid, err := rig.NewCid(bin, filepath.Join(t.TempDir(), "data"), os.Environ())
	require.NoError(t, err)
	public := strings.Replace(cid.URL, "127.0.0.1", "localhost", 1) // the provider is at 127.0.0.1, another site
	idp := idptest.NewOpenID(t)
	idp.Redirect(public + "/ui/sign-in/oidc/callback")
	idp.SignIn(map[string]any{"sub": "1", "email": "alice@example.com", "email_verified": true})
	idp.Ask()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(idptest.ClientSecret), 0o600))
	require.NoError(t, cid.Start(t.Context(), "--agent", "off", "--url", public, "--oidc-issuer", idp.URL, "--oidc-client-id", idptest.ClientID,
		"--oidc-client-secret-file", secret, "--oidc-title", "Keycloak", "--oidc-roles", "trigger:domain=example.com"))
	t.Cleanup(func() { require.NoError(t, cid.End(context.Background())) })
	browser, err := chromium.Open(t.Context())
	require.NoError(t, err)
	t.Cleanup(browser.Close)
	tab, err := browser.Tab(true)
	require.NoError(t, err)
	t.Cleanup(tab.Close)
	w := &world{t, cid, nil, cid.Client(), tab}
	require.NoError(t, tab.Look(390, 780, true))

	require.NoError(t, tab.Go(public+"/ui/jobs?state=failed"))
	w.await("document.querySelector('.providers a')")
	w.fine("the page to sign in")
	nodes, err := tab.Tree()
	require.NoError(t, err)
	require.Empty(t, chromium.Unnamed(nodes))
	require.Contains(t, nodes, chromium.Node{Role: "link", Name: "Sign in with Keycloak"})
	require.NoError(t, tab.Click(".providers a"))
	w.await("document.querySelector('#go')")
	require.NoError(t, tab.Click("#go"))
	w.await("location.pathname === '/ui/jobs' && location.search === '?state=failed'")
	w.await("document.querySelector('.who')")
	w.fine("the page that was asked for, on a phone")
	require.NoError(t, tab.Look(1120, 760, false)) // a phone has no room for the name
	require.Contains(t, w.text(".who"), "oidc-alice-example.com-")
	w.fine("the page that was asked for")
	require.NoError(t, tab.Click(".who button"))
	w.await("document.querySelector('.providers a')")
	require.NoError(t, tab.Go(public+"/ui/"))
	w.await("location.pathname === '/ui/sign-in'")
	w.fine("after the sign-out")
}
