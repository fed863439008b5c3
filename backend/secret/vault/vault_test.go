package vault_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/secret"
	"ci/backend/secret/secrettest"
	"ci/backend/secret/secrettest/vaultserver"
	"ci/backend/secret/vault"
	"ci/pkg/ci"
)

// file writes a file that somebody logs in with.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
	return path
}

func serve(t *testing.T) *vaultserver.Server {
	t.Helper()
	s := vaultserver.New()
	t.Cleanup(s.Close)
	return s
}

// byRole is a configuration that logs in by AppRole.
func byRole(t *testing.T, s *vaultserver.Server) vault.Config {
	return vault.Config{Address: s.URL, RoleID: vaultserver.RoleID, SecretIDFile: file(t, vaultserver.SecretID), Timeout: 20 * time.Second}
}

func open(t *testing.T, c vault.Config) *vault.Vault {
	t.Helper()
	v, err := vault.Open(c)
	require.NoError(t, err)
	return v
}

// opened closes what it opens.
func opened(t *testing.T, c vault.Config) *vault.Vault {
	t.Helper()
	v := open(t, c)
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func put(t *testing.T, v *vault.Vault, name, value string) {
	t.Helper()
	_, err := v.Put(t.Context(), ci.Secret{Job: "a", Name: name, UpdatedBy: "me"}, value)
	require.NoError(t, err)
}

func TestSuite(t *testing.T) {
	t.Parallel()
	secrettest.Run(t, func(t *testing.T) secret.Store { return opened(t, byRole(t, serve(t))) })
}

func TestTokenAndNamespace(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Namespace = "team/ci"
	v := opened(t, vault.Config{Address: s.URL, Namespace: "team/ci", TokenFile: file(t, vaultserver.Root), Path: "builds/{job}/env/{name}"})
	put(t, v, "X", "one")
	got, err := v.Values(t.Context(), "a", []string{"X"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"X": "one"}, got)
	require.NoError(t, v.Close())
	require.Zero(t, s.Count("revoke"), "a token that others made is not ours to revoke")
}

// A new value that somebody sets in Vault itself is used, and is nobody's of ours.
func TestSetInVault(t *testing.T) {
	t.Parallel()
	s := serve(t)
	v := opened(t, byRole(t, s))
	put(t, v, "X", "one")
	s.Put("ci/a/X", map[string]any{"value": "two"})
	s.Put("ci/a/Y", map[string]any{"password": "three"})
	s.Put("ci/a/folder/Z", map[string]any{"value": "three"})
	got, err := v.Values(t.Context(), "a", []string{"X"})
	require.NoError(t, err)
	require.Equal(t, "two", got["X"])
	list, err := v.List(t.Context(), "a")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, int64(2), list[0].Version)
	require.Empty(t, list[0].UpdatedBy)
	_, err = v.Values(t.Context(), "a", []string{"Y"})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
	require.NotContains(t, err.Error(), "three")
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(*vaultserver.Server)
		code  ci.Code
		says  string
	}{
		"sealed":       {func(s *vaultserver.Server) { s.Seal(true) }, ci.CodeUnavailable, "Vault is sealed"},
		"denied":       {func(s *vaultserver.Server) { s.Deny("secret/data/") }, ci.CodeForbidden, "permission denied"},
		"not in time":  {func(s *vaultserver.Server) { s.Stall(true) }, ci.CodeUnavailable, "no answer in time"},
		"away":         {func(s *vaultserver.Server) { s.Close() }, ci.CodeUnavailable, "refused"},
		"no namespace": {func(s *vaultserver.Server) { s.Namespace = "other" }, ci.CodeForbidden, "route"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			config := byRole(t, s)
			if name == "not in time" {
				config.Timeout = time.Second
			}
			v := opened(t, config)
			if name != "no namespace" {
				put(t, v, "X", "hunter2")
			}
			c.fault(s)
			_, err := v.Values(t.Context(), "a", []string{"X"})
			if name == "no namespace" && err == nil { // a 404 is a secret that is not there
				t.Fatal("a namespace that is not there must not look like a missing secret")
			}
			require.Equal(t, c.code, ci.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, c.says)
			_, err = v.Put(t.Context(), ci.Secret{Job: "a", Name: "X"}, "hunter2")
			require.Equal(t, c.code, ci.CodeOf(err), "%v", err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

// What was away is there again without a restart.
func TestBack(t *testing.T) {
	t.Parallel()
	s := serve(t)
	v := opened(t, byRole(t, s))
	s.Seal(true)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(v.Check(t.Context())))
	s.Seal(false)
	require.NoError(t, v.Check(t.Context()))
	put(t, v, "X", "one")
}

func TestSlow(t *testing.T) {
	t.Parallel()
	s := serve(t)
	v := opened(t, byRole(t, s))
	put(t, v, "X", "one")
	s.Stall(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := v.Values(ctx, "a", []string{"X"})
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	s.Stall(false)
	got, err := v.Values(t.Context(), "a", []string{"X"})
	require.NoError(t, err)
	require.Equal(t, "one", got["X"])
}

// A token that ended is replaced by a log-in, once for all that wait.
func TestExpired(t *testing.T) {
	t.Parallel()
	s := serve(t)
	v := opened(t, byRole(t, s))
	put(t, v, "X", "one")
	put(t, v, "Y", "two")
	require.Equal(t, 1, s.Count("login"))
	s.Expire()
	got, err := v.Values(t.Context(), "a", []string{"X", "Y"})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, 2, s.Count("login"))
}

func TestRenewedAndRevoked(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Lease(10, true)
	v := open(t, byRole(t, s))
	put(t, v, "X", "one")
	require.Eventually(t, func() bool { return s.Count("renew") >= 3 }, time.Minute, 20*time.Millisecond, "a short lease is renewed over and over")
	require.Equal(t, 1, s.Count("login"))
	require.NoError(t, v.Close())
	require.Equal(t, 1, s.Count("revoke"))
	require.Zero(t, s.Tokens(), "nothing that we got is left")
}

func TestNotRenewable(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Lease(3600, false)
	v := open(t, byRole(t, s))
	put(t, v, "X", "one")
	require.NoError(t, v.Close())
	require.Zero(t, s.Count("renew"))
	require.Equal(t, 1, s.Count("revoke"))
}

// A secret id that was replaced is read anew, a wrong one is said, and neither is shown.
func TestSecretID(t *testing.T) {
	t.Parallel()
	s := serve(t)
	var log bytes.Buffer
	c := byRole(t, s)
	c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	require.NoError(t, os.WriteFile(c.SecretIDFile, []byte("wrong-id"), 0o600))
	v := opened(t, c)
	err := v.Check(t.Context())
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(err))
	require.ErrorContains(t, err, "invalid role or secret ID")
	require.NotContains(t, err.Error()+log.String(), "wrong-id")
	require.NoError(t, os.WriteFile(c.SecretIDFile, []byte(vaultserver.SecretID), 0o600))
	require.NoError(t, v.Check(t.Context()))
	require.NotContains(t, log.String(), vaultserver.SecretID)
	require.NoError(t, os.Remove(c.SecretIDFile))
	s.Expire()
	_, err = v.List(t.Context(), "a")
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(err))
}

// Something between us and Vault that answers in its own way.
func TestNotVault(t *testing.T) {
	t.Parallel()
	for status, code := range map[int]ci.Code{200: ci.CodeUnavailable, 502: ci.CodeUnavailable, 404: ci.CodeUnavailable, 302: ci.CodeUnavailable} {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>canary</html>"))
		}))
		v := opened(t, vault.Config{Address: proxy.URL, RoleID: vaultserver.RoleID, SecretIDFile: file(t, vaultserver.SecretID)})
		err := v.Check(t.Context())
		require.Equal(t, code, ci.CodeOf(err), "%d: %v", status, err)
		require.NotContains(t, err.Error(), "canary")
		proxy.Close()
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	c := vault.Config{Address: server.URL, TokenFile: file(t, vaultserver.Root)}
	require.ErrorContains(t, opened(t, c).Check(t.Context()), "certificate")
	c.CA = file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	require.ErrorContains(t, opened(t, c).Check(t.Context()), "404", "the certificate is believed")
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := vault.Config{Address: "https://vault.test:8200", TokenFile: "x"}
	for name, c := range map[string]struct {
		change func(*vault.Config)
		says   string
	}{
		"fine":            {func(*vault.Config) {}, ""},
		"no address":      {func(c *vault.Config) { c.Address = "" }, "not a URL"},
		"no scheme":       {func(c *vault.Config) { c.Address = "vault.test" }, "not a URL"},
		"a password":      {func(c *vault.Config) { c.Address = "https://u:hunter2@vault.test" }, "not a URL"},
		"clear text":      {func(c *vault.Config) { c.Address = "http://vault.test:8200" }, "not encrypted"},
		"loopback":        {func(c *vault.Config) { c.Address = "http://127.0.0.1:8200" }, ""},
		"no log-in":       {func(c *vault.Config) { c.TokenFile = "" }, "either an AppRole"},
		"two log-ins":     {func(c *vault.Config) { c.RoleID, c.SecretIDFile = "r", "f" }, "either an AppRole"},
		"half an AppRole": {func(c *vault.Config) { c.RoleID = "r" }, "both"},
		"no name":         {func(c *vault.Config) { c.Path = "ci/{job}" }, "end with {name}"},
		"no job":          {func(c *vault.Config) { c.Path = "ci/{name}" }, "{job}"},
		"part of a part":  {func(c *vault.Config) { c.Path = "ci-{job}/{name}" }, "has a part"},
		"climbs":          {func(c *vault.Config) { c.Path = "../{job}/{name}" }, "has a part"},
		"begins with /":   {func(c *vault.Config) { c.Path = "/ci/{job}/{name}" }, "has a part"},
		"no CA":           {func(c *vault.Config) { c.CA = "/nonexistent" }, "can't be read"},
		"no certificates": {func(c *vault.Config) { c.CA = file(t, "x") }, "no certificate"},
	} {
		config := good
		c.change(&config)
		v, err := vault.Open(config)
		if c.says == "" {
			require.NoError(t, err, name)
			require.NoError(t, v.Close(), name)
			continue
		}
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), name)
		require.ErrorContains(t, err, c.says, name)
		require.NotContains(t, err.Error(), "hunter2", name)
	}
}
