package provider_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestEventTriggerIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	_, _, err := c.admin.PutJob(t.Context(), &ci.Job{Name: "unit", Freestyle: []byte(`{"script": "make"}`), Parameters: []ci.Parameter{{Name: "SHA"}}}, 0)
	require.NoError(t, err)
	c.resource("ci_forge").apply(map[string]any{"name": "github", "kind": "gitea", "url": "https://git.example.com", "webhook_secret": "a-long-enough-secret"})
	r := c.resource("ci_event_trigger")
	config := map[string]any{"name": "unit-test", "job": "unit", "repository": "example/app"}
	has := r.apply(config)
	require.Equal(t, []any{"push", "pull_request", "check_rerun", "comment"}, has["events"])
	require.Equal(t, "base", has["forks"])
	require.Equal(t, "normal", has["priority"])

	full := with(config, map[string]any{
		"events": []any{"push"}, "branches": []any{"main", "!main/*"}, "tags": []any{"v*"}, "paths": []any{"src/**"},
		"parameters": map[string]any{"SHA": "${sha}"}, "priority": "urgent", "forks": "never", "supersede": true,
	})
	r.apply(full)
	stored, err := c.admin.GetEventTrigger(t.Context(), "unit-test")
	require.NoError(t, err)
	require.Equal(t, []ci.EventKind{ci.EventPush}, stored.Events)
	require.Equal(t, []string{"main", "!main/*"}, stored.Branches)
	require.Equal(t, map[string]string{"SHA": "${sha}"}, stored.Parameters)
	require.Equal(t, ci.ForksNever, stored.Forks)
	require.True(t, stored.Supersede)

	// What the forge has told of the repository is not forgotten by a change.
	stored.RepositoryID = 77
	_, _, err = c.admin.PutEventTrigger(t.Context(), stored, 0)
	require.NoError(t, err)
	require.True(t, r.refresh())
	require.EqualValues(t, 77, r.apply(with(full, map[string]any{"supersede": false}))["repository_id"])
	require.EqualValues(t, 0, r.apply(with(full, map[string]any{"repository": "example/other"}))["repository_id"])

	require.Contains(t, lines(c.resource("ci_event_trigger").try(config)), "tofu import ADDRESS unit-test")
	again, said := c.imported("ci_event_trigger", "unit-test")
	require.Empty(t, said)
	require.True(t, again.refresh())
	require.True(t, again.plan(with(full, map[string]any{"repository": "example/other"})).empty)

	require.Contains(t, lines(r.validate(with(config, map[string]any{"forks": "yes"}))), `AttributeName("forks"): `)
	require.Contains(t, lines(r.validate(with(config, map[string]any{"events": []any{"push", "shove"}}))), `AttributeName("events").ElementKeyInt(1): `)
	require.Empty(t, r.destroy())
	_, err = c.admin.GetEventTrigger(t.Context(), "unit-test")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
}
