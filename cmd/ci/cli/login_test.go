package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.documents["/jobs?pageSize=1"] = `{"jobs":[]}`
	delete(w.env, "CI_URL")
	delete(w.env, "CI_TOKEN")
	got := w.run("ls")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "no server is known; run `ci login URL`, or set CI_URL and CI_TOKEN")

	w.stdin = "abc.def.ghi\n"
	got = w.run("login", w.server.URL+"/", "--name", "here")
	require.Equal(t, 0, got.code, got.err)
	require.Empty(t, got.out)
	require.NotContains(t, got.err, "abc.def.ghi")
	path := filepath.Join(w.env["XDG_CONFIG_HOME"], "ci", "config.json")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, 0, w.run("ls").code)

	// A terminal asks; the prompt doesn't show what was typed.
	got = w.terminal().run("login", w.server.URL)
	require.Equal(t, 0, got.code, got.err)
	require.Contains(t, got.err, "Token: \n")
	require.NotContains(t, got.err, "secret")
	require.Contains(t, w.requests[len(w.requests)-1], "Bearer secret")
	w.tty = false

	host := w.server.Listener.Addr().String()
	require.Equal(t, host+"\t"+w.server.URL+"\tcurrent\nhere\t"+w.server.URL+"\t\n", w.run("context", "ls").out)
	require.Equal(t, "here is the current context\n", w.run("context", "use", "here").err)
	require.Equal(t, "here\n", w.run("context", "ls", "--jq", ".contexts[] | select(.current).name").out)
	require.NotContains(t, w.run("context", "ls", "--json").out, "abc.def.ghi")
	require.Equal(t, exitUsage, w.run("ls", "--context", "nope").code)
	require.Equal(t, 0, w.run("ls", "--context", host).code)
	require.Equal(t, 0, w.run("context", "rm", "here").code)
	require.Equal(t, exitUsage, w.run("ls").code, "the current context is gone")
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, tt := range map[string]struct {
		url, stdin string
		code       int
		want       string
	}{
		"no url":       {"example", "t", exitUsage, "is not a server's address"},
		"ftp":          {"ftp://x", "t", exitUsage, "is not a server's address"},
		"password":     {"https://a:b@x", "t", exitUsage, "without"},
		"query":        {"https://x/?a", "t", exitUsage, "? or #"},
		"empty token":  {w.server.URL, "\n", exitUsage, "the token is empty"},
		"odd token":    {w.server.URL, "a b\n", exitUsage, "not a token"},
		"wrong token":  {w.server.URL, "wrong\n", exitNotFound, "the token is not valid"},
		"not a server": {w.server.URL, "t\n", exitNotFound, "such thing"},
		"nobody there": {"http://127.0.0.1:1", "t\n", exitUnreachable, "can't be reached"},
	} {
		w.stdin = tt.stdin
		got := w.run("login", tt.url)
		require.Equal(t, tt.code, got.code, name)
		require.Contains(t, got.err, tt.want, name)
	}
	require.NoFileExists(t, filepath.Join(w.env["XDG_CONFIG_HOME"], "ci", "config.json"))
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "ci"), 0o700))
	path := filepath.Join(dir, "ci", "config.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"current":"a","contexts":{"a":{"url":"https://a","token":"ta"},"b":{"url":"https://b","token":"tb"}}}`), 0o600))
	for name, tt := range map[string]struct {
		env     map[string]string
		context string
		want    endpoint
	}{
		"current":                 {nil, "", endpoint{URL: "https://a", Token: "ta"}},
		"named":                   {nil, "b", endpoint{URL: "https://b", Token: "tb"}},
		"environment first":       {map[string]string{"CI_URL": "https://e/", "CI_TOKEN": "te"}, "", endpoint{URL: "https://e", Token: "te"}},
		"before --context":        {map[string]string{"CI_URL": "https://e", "CI_TOKEN": "te"}, "b", endpoint{URL: "https://e", Token: "te"}},
		"no stored token leaks":   {map[string]string{"CI_URL": "https://e"}, "", endpoint{URL: "https://e", Token: ""}},
		"a token for the context": {map[string]string{"CI_TOKEN": "te"}, "", endpoint{URL: "https://a", Token: "te"}},
	} {
		w := newWorld(t)
		w.env = map[string]string{"XDG_CONFIG_HOME": dir}
		for k, v := range tt.env {
			w.env[k] = v
		}
		a := &app{IOStreams: IOStreams{Err: os.Stderr, Env: func(k string) string { return w.env[k] }}, context: tt.context}
		got, err := a.endpoint()
		require.NoError(t, err, name)
		require.Equal(t, tt.want, got, name)
	}
	require.NoError(t, os.WriteFile(path, []byte(`{`), 0o600))
	a := &app{IOStreams: IOStreams{Err: os.Stderr, Env: func(k string) string { return map[string]string{"XDG_CONFIG_HOME": dir}[k] }}}
	_, err := a.endpoint()
	require.ErrorContains(t, err, "correct or remove")
	require.Equal(t, exitUsage, exitCode(err))
}
