package app

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestRegistration is a person with a browser.
func TestRegistration(t *testing.T) {
	t.Parallel()
	w := setup(t)
	shown := make(chan string, 1)
	r := &Registration{
		Setup: Setup{Name: `my "ci" <b>`, URL: "https://ci.example.org", Hook: "https://ci.example.org/hooks/github"},
		Web:   w.gh.URL, API: w.gh.API(), Organisation: "octo", Show: func(url string) { shown <- url },
	}
	var made ci.ForgeAccess
	done := make(chan error, 1)
	go func() {
		var err error
		made, err = r.Run(w.ctx)
		done <- err
	}()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get := func(address string) (int, string) {
		resp, err := browser.Get(address)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode, string(text)
	}
	first := <-shown
	home, err := url.Parse(first)
	require.NoError(t, err)
	status, form := get(first)
	require.Equal(t, 200, status)
	require.NotContains(t, form, "<b>")
	action := html.UnescapeString(regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(form)[1])
	manifest := html.UnescapeString(regexp.MustCompile(`value="([^"]*)"`).FindStringSubmatch(form)[1])
	for _, stranger := range []string{"/", "/registered", "/registered?state=x&code=y"} {
		status, _ = get("http://" + home.Host + stranger)
		require.GreaterOrEqual(t, status, 400, stranger)
	}

	resp, err := browser.PostForm(action, url.Values{"manifest": {manifest}})
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	returned, err := resp.Location()
	require.NoError(t, err)
	require.Equal(t, home.Host, returned.Host)
	w.gh.Down(503)
	status, _ = get(returned.String())
	require.Equal(t, http.StatusBadGateway, status, "it can be tried again")
	w.gh.Down(0)
	status, text := get(returned.String())
	require.Equal(t, 200, status)
	require.Contains(t, text, "/installations/new")
	require.NoError(t, <-done)

	made.Name, made.Version = "github", 9
	require.NoError(t, made.Validate())
	w.forges.change("github", func(f *ci.ForgeAccess) { *f = made })
	w.install = w.gh.App(`my "ci" <b>`).Install("octo")
	require.NoError(t, w.read(t), "the keys are the App's")
}
