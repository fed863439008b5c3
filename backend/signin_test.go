package backend

import (
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/signin"
	"ci/backend/signin/idptest"
	"ci/backend/store/storetest/postgres"
	"ci/pkg/api"
	"ci/pkg/ci"
)

// answerTo opens where a sign-in leads, and returns what the provider answers.
func answerTo(t *testing.T, begun *ci.SignIn) ci.SignInAnswer {
	t.Helper()
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(begun.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	back, err := url.Parse(resp.Header.Get("Location"))
	require.NoError(t, err)
	q := back.Query()
	require.NotEmpty(t, q.Get("code"))
	return ci.SignInAnswer{Flow: begun.Flow, State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss")}
}

// TestSignInIsFinishedOnce has two cids on one database finish the same sign-in,
// with answers of the provider that are all good: it gives one token, whoever comes first, and none after that.
func TestSignInIsFinishedOnce(t *testing.T) {
	t.Parallel()
	database := postgres.Start(t).Database(t)
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	dir := t.TempDir()
	secretKey, secret := filepath.Join(dir, "secret.key"), filepath.Join(dir, "client")
	require.NoError(t, MakeSecretKey(secretKey))
	require.NoError(t, os.WriteFile(secret, []byte(idptest.ClientSecret), 0o600))
	idp := idptest.NewOpenID(t)
	idp.Redirect("http://ci.test/ui/sign-in/oidc/callback")
	idp.SignIn(map[string]any{"sub": "u-1", "email": "alice@example.com", "email_verified": true})
	rules, err := signin.ParseRules([]string{"read:domain=example.com"})
	require.NoError(t, err)
	cids, urls := make([]*api.Client, 2), make([]string, 2)
	for i := range cids {
		b := openCid(t, Config{
			Database: database, Key: key, Secrets: SecretsConfig{Key: secretKey}, URL: "http://ci.test",
			SignIn: SignInConfig{OIDC: &signin.OIDC{Issuer: idp.URL, ClientID: idptest.ClientID, SecretFile: secret, Rules: rules}},
		})
		server := httptest.NewServer(b.Handler())
		t.Cleanup(server.Close)
		urls[i] = server.URL
		cids[i], err = api.New(api.Config{URL: server.URL})
		require.NoError(t, err)
	}

	begun, err := cids[0].BeginSignIn(t.Context(), "oidc")
	require.NoError(t, err)
	const tries = 6
	given := make(chan *ci.SignedIn, tries)
	var all sync.WaitGroup
	for i := range tries {
		a := answerTo(t, begun)
		all.Go(func() {
			in, err := cids[i%2].FinishSignIn(t.Context(), "oidc", a)
			switch ci.CodeOf(err) {
			case "":
				given <- in
			case ci.CodeConflict:
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Len(t, given, 1, "one sign-in is one token")
	in := <-given

	// Nor does it give one when that token has ended.
	mine, err := api.New(api.Config{URL: urls[1], Token: in.Bearer})
	require.NoError(t, err)
	require.NoError(t, mine.SignOut(t.Context()))
	for _, c := range cids {
		_, err := c.FinishSignIn(t.Context(), "oidc", answerTo(t, begun))
		require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
		require.ErrorContains(t, err, "is finished already")
	}
	begun, err = cids[1].BeginSignIn(t.Context(), "oidc")
	require.NoError(t, err)
	_, err = cids[0].FinishSignIn(t.Context(), "oidc", answerTo(t, begun))
	require.NoError(t, err, "the next sign-in is another one")
}
