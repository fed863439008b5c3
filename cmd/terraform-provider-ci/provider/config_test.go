package provider_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestConfigIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	before, err := c.admin.GetConfig(t.Context())
	require.NoError(t, err)
	r := c.resource("ci_config")
	config := map[string]any{"global_timeout": "90m", "max_result_files": 500}
	has := r.apply(config)
	require.Equal(t, "90m", has["global_timeout"], "as people wrote it")
	now, err := c.admin.GetConfig(t.Context())
	require.NoError(t, err)
	require.Equal(t, ci.Duration(90*time.Minute), now.GlobalTimeout)
	require.Equal(t, 500, now.MaxResultFiles)
	require.Equal(t, before.Classes, now.Classes, "what is not said stays")
	require.Equal(t, before.AgentRetention, now.AgentRetention)

	full := with(config, map[string]any{
		"keep":        map[string]any{"runs": map[string]any{"count": 100}, "console": map[string]any{"age": "48h"}},
		"keep_total":  map[string]any{"results": map[string]any{"bytes": 1 << 30}},
		"abort_grace": "5s", "retention": "720h", "agent_retention": "48h", "max_console": 1000, "max_result": 2000,
		"classes": []any{map[string]any{"name": "one", "cpus": .5, "memory": 1 << 29}, map[string]any{"name": "two", "cpus": 2, "memory": 1 << 31}},
	})
	r.apply(full)
	now, err = c.admin.GetConfig(t.Context())
	require.NoError(t, err)
	require.Equal(t, []ci.Quota{{Name: "one", CPUs: .5, Memory: 1 << 29}, {Name: "two", CPUs: 2, Memory: 1 << 31}}, now.Classes)
	require.Equal(t, int64(2000), now.MaxResult)

	require.Equal(t, &ci.Keep{Runs: &ci.Limits{Count: 100}, Console: &ci.Limits{Age: ci.Duration(48 * time.Hour)}}, now.Keep)
	require.Equal(t, &ci.Keep{Results: &ci.Limits{Bytes: 1 << 30}}, now.KeepTotal)
	r.apply(with(full, map[string]any{"keep_total": nil}))
	same, err := c.admin.GetConfig(t.Context())
	require.NoError(t, err)
	require.Equal(t, now.KeepTotal, same.KeepTotal, "what is not said any more stays")

	// Somebody changes what is said, and what is not.
	r.apply(config)
	now.GlobalTimeout, now.Retention = ci.Duration(time.Hour), 0
	_, err = c.admin.PutConfig(t.Context(), now, 0)
	require.NoError(t, err)
	require.True(t, r.refresh())
	require.False(t, r.plan(config).empty)
	has = r.apply(config)
	require.Equal(t, "90m", has["global_timeout"])
	require.Equal(t, "0s", has["retention"], "what is not said is anybody's")

	again, said := c.imported("ci_config", "config")
	require.Empty(t, said)
	require.True(t, again.refresh())
	require.True(t, again.plan(config).empty, "1h30m0s is 90m")

	require.Contains(t, lines(r.try(map[string]any{"max_console": 0})), `AttributeName("max_console"): The config can't be changed`)
	require.Contains(t, lines(r.destroy()), "stays as it is")
	now, err = c.admin.GetConfig(t.Context())
	require.NoError(t, err)
	require.Equal(t, ci.Duration(90*time.Minute), now.GlobalTimeout)
}
