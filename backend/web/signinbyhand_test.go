package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

var pasted = regexp.MustCompile(`<textarea[^>]*>([^<]*)</textarea>`)

// A program without a page of its own gets the answer by the person's hand. The
// page signs in nobody, and its answer is of no use without the flow.
func TestSignInByHand(t *testing.T) {
	t.Parallel()
	s, idp := withOpenID(t)
	c := s.client("")
	begun, err := c.BeginPastedSignIn(t.Context(), "oidc")
	require.NoError(t, err)
	b := s.browser()
	b.get("/ui/sign-in") // whatever cookies there are
	p := b.do(request(t, begun.URL))
	require.Equal(t, 200, p.status, p.body)
	lawful(t, p)
	state := mustURL(t, begun.URL).Query().Get("state")
	require.Contains(t, p.body, ci.SignInWord(state))
	require.Contains(t, p.body, "Give this to nobody")
	require.Equal(t, "/ui/sign-in", b.get("/ui/").path, "nobody is signed in by it")
	require.Nil(t, s.tokenOf("oidc-"))

	q, err := url.ParseQuery(html.UnescapeString(pasted.FindStringSubmatch(p.body)[1]))
	require.NoError(t, err)
	a := ci.SignInAnswer{State: q.Get("state"), Code: q.Get("code"), Issuer: q.Get("iss")}
	other, err := c.BeginPastedSignIn(t.Context(), "oidc")
	require.NoError(t, err)
	a.Flow = other.Flow
	_, err = c.FinishSignIn(t.Context(), "oidc", a)
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "another flow")
	a.Flow = begun.Flow
	in, err := c.FinishSignIn(t.Context(), "oidc", a)
	require.NoError(t, err)
	require.Equal(t, ci.RoleRead, in.Role)

	idp.SignIn(nil)
	p = s.browser().do(request(t, other.URL))
	require.Contains(t, p.body, "error=access_denied", "a refusal is taken on, too")
	for _, q := range []string{"?state=paste-", "?state=paste-x&code=c", "?state=paste-ABCDEFGH&code=" + strings.Repeat("x", 9<<10)} {
		require.Equal(t, 400, s.browser().get("/ui/sign-in/oidc/callback"+q).status)
	}
	p = s.browser().get("/ui/sign-in/oidc/callback?state=paste-" + url.QueryEscape("<b>AB</textarea>"))
	require.NotContains(t, p.body, "<b>AB")
	for body, want := range map[string]int{`{"paste": 1}`: 400, `{"no": true}`: 400, `{"paste": false}`: 200} {
		r, err := http.NewRequest(http.MethodPost, s.url+"/sign-in/oidc", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		require.Equal(t, want, s.browser().do(r).status, body)
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	return u
}
