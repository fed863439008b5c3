package provider_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// unseen checks what is the same of all that can't be read back: it is in no
// plan and no state, another value is set by its version, and what somebody else
// has set is set again.
func (r *thing) unseen(config map[string]any, version string, values ...string) {
	r.t.Helper()
	plan := r.plan(config)
	r.apply(config)
	for _, v := range values {
		require.NotContains(r.t, plan.state.String()+string(plan.private), v)
		require.NotContains(r.t, r.state.String()+string(r.private), v)
	}
	before := r.has()
	require.False(r.t, r.plan(with(config, map[string]any{version: 2})).empty)
	after := r.apply(with(config, map[string]any{version: 2}))
	require.NotEqual(r.t, before, after, "the server has been asked")
}

func TestRegistryIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_registry")
	config := map[string]any{"host": "docker.io", "username": "puller", "password": "hunter2-hunter2"}
	r.unseen(config, "password_version", "hunter2")
	again := with(config, map[string]any{"password_version": 2})

	_, err := c.admin.PutRegistry(t.Context(), ci.RegistryAccess{Host: "docker.io", Username: "puller", Password: "somebody-else's"})
	require.NoError(t, err)
	require.True(t, r.refresh())
	require.False(t, r.plan(again).empty)
	r.apply(again)

	require.Contains(t, lines(c.resource("ci_registry").try(config)), "tofu import ADDRESS docker.io")
	imported, said := c.imported("ci_registry", "docker.io")
	require.Empty(t, said)
	require.True(t, imported.refresh())
	require.Equal(t, "puller", imported.has()["username"])
	imported.apply(config)

	require.Contains(t, lines(r.validate(with(config, map[string]any{"host": "https://docker.io"}))), `AttributeName("host"): `)
	require.Empty(t, r.destroy())
	list, err := c.admin.ListRegistries(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestForgeIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_forge")
	config := map[string]any{"name": "home", "kind": "gitea", "url": "https://git.example.com", "webhook_secret": "a-long-enough-secret", "token": "of-the-forge"}
	r.unseen(config, "keys_version", "a-long-enough", "of-the-forge")
	moved := with(config, map[string]any{"keys_version": 2, "api_url": "https://api.git.example.com"})
	require.EqualValues(t, 3, r.apply(moved)["version"])

	_, _, err := c.admin.PutForge(t.Context(), ci.ForgeAccess{
		Forge:     ci.Forge{Name: "home", Kind: ci.ForgeGitea, URL: "https://git.example.com", API: "https://api.git.example.com"},
		ForgeKeys: ci.ForgeKeys{WebhookSecret: "somebody-else's-one"},
	}, 0)
	require.NoError(t, err)
	require.True(t, r.refresh())
	require.False(t, r.plan(moved).empty, "only its keys may differ, and nobody can see that")
	r.apply(moved)

	require.Contains(t, lines(c.resource("ci_forge").try(config)), "tofu import ADDRESS home")
	imported, said := c.imported("ci_forge", "home")
	require.Empty(t, said)
	require.True(t, imported.refresh())
	imported.apply(moved)

	require.Contains(t, lines(r.validate(with(config, map[string]any{"api_url": "nowhere"}))), `AttributeName("api_url"): `)
	require.Contains(t, lines(r.validate(with(config, map[string]any{"webhook_secret": "short"}))), `AttributeName("webhook_secret"): `)
	require.Empty(t, r.validate(with(config, map[string]any{"webhook_secret": unknown{}})))
	imported.apply(with(moved, map[string]any{"api_url": ""}))
	require.Contains(t, lines(r.try(with(moved, map[string]any{"slug": "x"}))), "which is not what If-Match names", "the older may not")
	require.True(t, r.refresh())
	require.Empty(t, r.destroy())
}
