package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func parsed(t *testing.T, args ...string) *options {
	t.Helper()
	var o options
	fs := pflag.NewFlagSet("cid", pflag.ContinueOnError)
	o.flags(fs)
	require.NoError(t, fs.Parse(args))
	return &o
}

func oidc(more ...string) []string {
	return append([]string{"--oidc-issuer", "https://id.example.com", "--oidc-client-id", "ci"}, more...)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		says string // "" means accepted
	}{
		"defaults":             {},
		"IPv6 loopback":        {args: []string{"--listen", "[::1]:0"}},
		"not an address":       {args: []string{"--listen", "8080"}, says: "HOST:PORT"},
		"clear text abroad":    {args: []string{"--listen", "0.0.0.0:8080"}, says: "clear text"},
		"all addresses":        {args: []string{"--listen", ":8080"}, says: "clear text"},
		"a name is not local":  {args: []string{"--listen", "ci.example.com:80"}, says: "clear text"},
		"clear text, wanted":   {args: []string{"--listen", "0.0.0.0:8080", "--plain-http"}},
		"half of a TLS pair":   {args: []string{"--tls-cert", "x"}, says: "go together"},
		"agent":                {args: []string{"--agent", "on"}, says: "auto nor off"},
		"a provider":           {args: oidc("--oidc-roles", "read:groups=a,admin:domain=example.com")},
		"nobody is let in":     {args: oidc(), says: "lets nobody in"},
		"a rule of no form":    {args: oidc("--oidc-roles", "everybody"), says: "ROLE:FACT=VALUE"},
		"a role of machines":   {args: oidc("--oidc-roles", "agent:email=a@example.com"), says: `gives the role "agent"`},
		"a provider by http":   {args: append(oidc("--oidc-roles", "read:groups=a"), "--oidc-issuer", "http://id.example.com"), says: "does not begin with https://"},
		"a provider of none":   {args: []string{"--oidc-client-id", "x"}, says: "give --oidc-issuer"},
		"no client id":         {args: []string{"--oidc-issuer", "https://id.example.com", "--oidc-roles", "read:groups=a"}, says: "without --oidc-client-id"},
		"a secret not there":   {args: oidc("--oidc-roles", "read:groups=a", "--oidc-client-secret-file", "/nowhere/at/all"), says: "can't be read"},
		"GitHub, no secret":    {args: []string{"--github-login-client-id", "x", "--github-login-roles", "read:org=acme"}, says: "--github-login-client-secret-file"},
		"GitHub, no rule":      {args: []string{"--github-login-client-id", "x", "--github-login-client-secret-file", "options.go"}, says: "lets nobody in"},
		"GitHub, no such fact": {args: []string{"--github-login-client-id", "x", "--github-login-client-secret-file", "options.go", "--github-login-roles", "read:email=a@example.com"}, says: "what can be asked for"},
		"GitHub, half a team":  {args: []string{"--github-login-client-id", "x", "--github-login-client-secret-file", "options.go", "--github-login-roles", "read:team=acme"}, says: "ORG/SLUG"},
		"GitHub":               {args: []string{"--github-login-client-id", "x", "--github-login-client-secret-file", "options.go", "--github-login-roles", "read:team=acme/ops"}},
		"a lease of no length": {args: []string{"--lease", "1s"}, says: "too short"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := parsed(t, c.args...).check()
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
		})
	}
}

func TestSigningKeyIsMadeOnceAndForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token.key")
	made, err := signingKey(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	read, err := signingKey(path)
	require.NoError(t, err)
	require.Equal(t, made, read)
	for name, text := range map[string]string{"not PEM": "hello", "not a key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err = signingKey(path)
		require.ErrorContains(t, err, path, name)
	}
}

func TestWrongSettingsExitWith2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--nope"}, {"--listen", "x"}, {"word"}, {"--log-level", "loud", "--data", t.TempDir(), "--listen", "127.0.0.1:0"}} {
		var out, errs bytes.Buffer
		code := Main(args, &out, &errs)
		require.NotZero(t, code)
		require.NotEmpty(t, errs.String())
	}
}
