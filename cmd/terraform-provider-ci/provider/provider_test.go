package provider_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestProviderIsConfigured(t *testing.T) {
	c := setup(t) // not parallel: it changes the environment
	for _, f := range []struct {
		name     string
		settings map[string]any
		want     string
	}{
		{"no URL", map[string]any{"token": c.token}, `AttributeName("url"): `},
		{"no token", map[string]any{"url": c.url}, `AttributeName("token"): There is no token`},
		{"no address", map[string]any{"url": "ci.example.com", "token": c.token}, `http://127.0.0.1:8080`},
		{"not known", map[string]any{"url": unknown{}, "token": c.token}, `not known yet`},
	} {
		require.Contains(t, lines(c.configure(f.settings)), f.want, f.name)
	}
	t.Setenv("CI_URL", c.url)
	t.Setenv("CI_TOKEN", c.token)
	require.Empty(t, c.configure(map[string]any{}), "the environment is enough")
	c.resource("ci_job").apply(map[string]any{"name": "unit", "freestyle": `{"script":"true"}`})
	_, err := c.admin.GetJob(t.Context(), "unit")
	require.NoError(t, err)
}

func TestTokenThatMayNot(t *testing.T) {
	t.Parallel()
	c := setup(t)
	bearer, _, err := c.admin.CreateToken(t.Context(), ci.Token{Name: "reader", Role: ci.RoleRead})
	require.NoError(t, err)
	require.Empty(t, c.configure(map[string]any{"url": c.url, "token": bearer}))
	said := lines(c.resource("ci_job").try(map[string]any{"name": "unit", "freestyle": `{"script":"true"}`}))
	require.Contains(t, said, "The job can't be created")
	require.NotContains(t, said, bearer)
}
