package provider_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestSecretIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	_, _, err := c.admin.PutJob(t.Context(), &ci.Job{Name: "deploy", Freestyle: []byte(`{"script": "make"}`)}, 0)
	require.NoError(t, err)
	version := func() int64 {
		list, err := c.admin.ListSecrets(t.Context(), "deploy")
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0].Version
	}
	r := c.resource("ci_secret")
	config := map[string]any{"job": "deploy", "name": "API_KEY", "value": "hunter2-hunter2"}
	require.NotContains(t, r.plan(config).state.String(), "hunter2", "a value is in no plan")
	r.apply(config)
	require.NotContains(t, r.state.String(), "hunter2", "and in no state")
	require.NotContains(t, string(r.private), "hunter2")
	require.EqualValues(t, 1, version())

	require.True(t, r.plan(with(config, map[string]any{"value": "another-one"})).empty, "a value alone can't be compared")
	r.apply(with(config, map[string]any{"value": "another-one", "value_version": 2}))
	require.EqualValues(t, 2, version())

	// Somebody else sets it: the next plan sets it again.
	_, err = c.admin.PutSecret(t.Context(), "deploy", "API_KEY", "somebody-else's")
	require.NoError(t, err)
	config = with(config, map[string]any{"value": "another-one", "value_version": 2})
	require.True(t, r.refresh())
	require.False(t, r.plan(config).empty)
	r.apply(config)
	require.EqualValues(t, 4, version())

	require.Empty(t, r.destroy())
	list, err := c.admin.ListSecrets(t.Context(), "deploy")
	require.NoError(t, err)
	require.Empty(t, list)
	require.False(t, r.state.IsKnown() && !r.state.IsNull())
}

func TestSecretIsImported(t *testing.T) {
	t.Parallel()
	c := setup(t)
	_, _, err := c.admin.PutJob(t.Context(), &ci.Job{Name: "deploy", Freestyle: []byte(`{"script": "make"}`)}, 0)
	require.NoError(t, err)
	_, err = c.admin.PutSecret(t.Context(), "deploy", "API_KEY", "set-by-hand")
	require.NoError(t, err)
	config := map[string]any{"job": "deploy", "name": "API_KEY", "value": "declared"}
	require.Contains(t, lines(c.resource("ci_secret").try(config)), "tofu import ADDRESS deploy/API_KEY")

	r, said := c.imported("ci_secret", "deploy/API_KEY")
	require.Empty(t, said)
	require.True(t, r.refresh())
	require.False(t, r.plan(config).empty, "nobody can know whether the value is the declared one, so it is set")
	r.apply(config)
	_, said = c.imported("ci_secret", "API_KEY")
	require.Contains(t, lines(said), "JOB/NAME")
}

func TestSecretFaults(t *testing.T) {
	t.Parallel()
	r := setup(t).resource("ci_secret")
	require.Contains(t, lines(r.validate(map[string]any{"job": "a", "name": "CI_X", "value": "x"})), `AttributeName("name"): `)
	require.Contains(t, lines(r.validate(map[string]any{"job": "a", "name": "KEY", "value": ""})), `AttributeName("value"): `)
	require.Contains(t, lines(r.try(map[string]any{"job": "nobody", "name": "KEY", "value": "long-enough"})), `nobody`)
}
