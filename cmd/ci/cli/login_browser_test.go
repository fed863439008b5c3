package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const pasteState = "paste-KJ3F7QABWXYZ"

// withProviders is a server that people sign in to by somebody else.
func withProviders(t *testing.T, providers, begun string) *world {
	t.Helper()
	w := newWorld(t)
	delete(w.env, "CI_URL")
	delete(w.env, "CI_TOKEN")
	w.documents["/jobs?pageSize=1"] = `{"jobs":[]}`
	w.documents["/sign-in"] = `{"providers": [` + providers + `]}`
	w.documents["/sign-in/oidc"] = begun
	w.documents["/sign-in/oidc/token"] = `{"bearer": "its.own.token", "id": "x", "name": "oidc-alice-1", "role": "trigger", "expiresAt": "2030-01-01T12:00:00Z"}`
	return w
}

const (
	byOIDC = `{"name": "oidc", "title": "Keycloak"}`
	begun  = `{"url": "https://id.example.com/authorize?state=` + pasteState + `", "flow": "sealed"}`
)

func TestLoginByBrowser(t *testing.T) {
	t.Parallel()
	for name, pasted := range map[string]string{
		"what the page shows": "code=c%2F1&iss=https%3A%2F%2Fid.example.com&state=" + pasteState + "\n",
		"its address":         "https://ci.example.com/ui/sign-in/oidc/callback?code=c%2F1&state=" + pasteState + "&iss=https%3A%2F%2Fid.example.com",
	} {
		w := withProviders(t, byOIDC, begun)
		w.stdin = pasted
		got := w.run("login", w.server.URL, "--browser", "--name", "here")
		require.Equal(t, 0, got.code, "%s: %s", name, got.err)
		require.Empty(t, got.out)
		require.Contains(t, got.err, "https://id.example.com/authorize?state="+pasteState)
		require.Contains(t, got.err, "KJ3F-7QAB")
		require.Contains(t, got.err, "You are oidc-alice-1, of the role trigger")
		require.NotContains(t, got.err, "its.own.token")
		require.NotContains(t, got.err, "sealed")
		require.Contains(t, w.requests[len(w.requests)-1], "Bearer its.own.token", "it is tried out before it is stored")
		require.Equal(t, 0, w.run("ls", "--context", "here").code)
	}
}

func TestLoginByBrowserRefused(t *testing.T) {
	t.Parallel()
	github := `{"name": "github", "title": "GitHub"}`
	for name, tt := range map[string]struct {
		providers, begun, stdin string
		flags                   []string
		code                    int
		want                    string
	}{
		"nobody":          {"", begun, "", nil, exitUsage, "nobody signs in to this server by a browser"},
		"several":         {byOIDC + "," + github, begun, "", nil, exitUsage, "--provider oidc or github"},
		"another":         {byOIDC, begun, "", []string{"--provider", "github"}, exitUsage, "--provider oidc"},
		"nothing pasted":  {byOIDC, begun, "\n", nil, exitUsage, "not what the page shows"},
		"another sign-in": {byOIDC, begun, "state=paste-ZZZZZZZZ&code=c\n", nil, exitUsage, "answer to another sign-in"},
		"an old server":   {byOIDC, `{"url": "https://id.example.com/?state=KJ3F", "flow": "f"}`, "", nil, exitUnreachable, "is older than this"},
		"no page":         {byOIDC, `{"url": "javascript:alert(1)", "flow": "f"}`, "", nil, exitUnreachable, "leads to no page"},
	} {
		w := withProviders(t, tt.providers, tt.begun)
		w.stdin = tt.stdin
		got := w.run(append([]string{"login", w.server.URL, "--browser"}, tt.flags...)...)
		require.Equal(t, tt.code, got.code, "%s: %s", name, got.err)
		require.Contains(t, got.err, tt.want, name)
	}
}
