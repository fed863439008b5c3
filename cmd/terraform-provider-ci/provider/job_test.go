package provider_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestJobIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_job")
	config := map[string]any{
		"name": "unit", "freestyle": `{ "script": "make test", "timeout": "5m" }`,
		"parameters": []any{map[string]any{"name": "LEVEL", "default": "1"}, map[string]any{"name": "WHO", "required": true, "description": "whom to greet"}},
		"triggers":   []any{"deploy"}, "owner": "terraform",
	}
	has := r.apply(config)
	require.Equal(t, config["freestyle"], has["freestyle"], "text that means the same stays as people wrote it")
	stored, err := c.admin.GetJob(t.Context(), "unit")
	require.NoError(t, err)
	require.JSONEq(t, `{"script": "make test", "timeout": "5m"}`, string(stored.Freestyle))
	require.Equal(t, []ci.Parameter{{Name: "LEVEL", Default: "1"}, {Name: "WHO", Required: true, Description: "whom to greet"}}, stored.Parameters)
	require.Equal(t, []string{"deploy"}, stored.Triggers)
	require.Equal(t, "terraform", stored.Owner)

	// A change is an update; another name is another job.
	config = map[string]any{"name": "unit", "git": map[string]any{"url": "https://git.example.com/app.git", "config_path": "ci/unit.yaml"}}
	require.False(t, r.plan(config).replace)
	require.EqualValues(t, 2, r.apply(config)["version"])
	require.True(t, r.plan(with(config, map[string]any{"name": "other"})).replace)
	r.apply(with(config, map[string]any{"name": "other"}))
	_, err = c.admin.GetJob(t.Context(), "unit")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))

	require.Empty(t, r.destroy())
	_, err = c.admin.GetJob(t.Context(), "other")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
}

func TestJobKeeps(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_job")
	config := map[string]any{"name": "unit", "freestyle": `{"script":"make test"}`, "keep": map[string]any{
		"runs": map[string]any{"age": "720h", "count": 0}, "console": map[string]any{"bytes": 1 << 20}, "results": map[string]any{},
	}}
	r.apply(config)
	stored, err := c.admin.GetJob(t.Context(), "unit")
	require.NoError(t, err)
	require.Equal(t, &ci.Keep{Runs: &ci.Limits{Age: ci.Duration(720 * time.Hour)}, Console: &ci.Limits{Bytes: 1 << 20}, Results: &ci.Limits{}}, stored.Keep)

	stored.Keep.Runs.Count = 3
	_, _, err = c.admin.PutJob(t.Context(), stored, 0)
	require.NoError(t, err)
	require.True(t, r.refresh())
	require.False(t, r.plan(config).empty)
	r.apply(config)
	config["keep"] = map[string]any{"runs": map[string]any{"age": "720h"}}
	r.apply(config)
	imported, said := c.imported("ci_job", "unit")
	require.Empty(t, said)
	require.True(t, imported.refresh())
	require.True(t, imported.plan(config).empty, "720h0m0s is 720h")
	require.Contains(t, lines(r.validate(with(config, map[string]any{"keep": map[string]any{"runs": map[string]any{"age": "-1h"}}}))),
		`AttributeName("keep").AttributeName("runs").AttributeName("age"): `)
	delete(config, "keep")
	r.apply(config)
	stored, err = c.admin.GetJob(t.Context(), "unit")
	require.NoError(t, err)
	require.Nil(t, stored.Keep)
}

func TestJobDrifts(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_job")
	config := map[string]any{"name": "unit", "freestyle": `{"script":"make test"}`}
	r.apply(config)
	before := *r

	// Somebody changes it: the next plan shows it, and its apply takes it back.
	_, _, err := c.admin.PutJob(t.Context(), &ci.Job{Name: "unit", Freestyle: []byte(`{"script": "rm -rf build"}`)}, 0)
	require.NoError(t, err)
	require.Contains(t, lines(before.try(with(config, map[string]any{"owner": "me"}))), "version 2", "what was planned before the change is refused")
	require.True(t, r.refresh())
	require.False(t, r.plan(config).empty)
	r.apply(config)
	stored, err := c.admin.GetJob(t.Context(), "unit")
	require.NoError(t, err)
	require.JSONEq(t, `{"script": "make test"}`, string(stored.Freestyle))

	// Somebody deletes it: it is made again.
	require.NoError(t, c.admin.DeleteJob(t.Context(), "unit"))
	require.False(t, r.refresh())
	r.apply(config)
}

func TestJobIsImported(t *testing.T) {
	t.Parallel()
	c := setup(t)
	_, _, err := c.admin.PutJob(t.Context(), &ci.Job{Name: "unit", Freestyle: []byte(`{"script": "make"}`), Parameters: []ci.Parameter{{Name: "LEVEL"}}}, 0)
	require.NoError(t, err)
	config := map[string]any{"name": "unit", "freestyle": `{"script": "make"}`, "parameters": []any{map[string]any{"name": "LEVEL"}}}
	require.Contains(t, lines(c.resource("ci_job").try(config)), "tofu import ADDRESS unit", "one that is there is never overwritten")

	r, said := c.imported("ci_job", "unit")
	require.Empty(t, said)
	require.True(t, r.refresh())
	require.True(t, r.plan(config).empty, "after an import there is nothing to do, when all is said as it is")
	require.False(t, r.plan(with(config, map[string]any{"owner": unknown{}})).empty, "what is not known yet may be a change")

	r, said = c.imported("ci_job", "nobody")
	require.Empty(t, said)
	require.False(t, r.refresh(), "OpenTofu says then that there is none")
	_, said = c.imported("ci_job", "a/b")
	require.Contains(t, lines(said), "NAME")
}

func TestJobFaultsNameTheirAttribute(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_job")
	for _, f := range []struct {
		name   string
		config map[string]any
		want   string
	}{
		{"neither", map[string]any{"name": "a"}, `AttributeName("git"): The job is not valid: git: exactly one of git and freestyle`},
		{"a name", map[string]any{"name": "a b", "freestyle": "{}"}, `AttributeName("name"): `},
		{"deep", map[string]any{"name": "a", "git": map[string]any{"url": "https://h/p.git", "config_path": "/etc"}}, `AttributeName("git").AttributeName("config_path"): `},
		{"in a list", map[string]any{"name": "a", "freestyle": "{}", "parameters": []any{map[string]any{"name": "CI_X"}}}, `AttributeName("parameters").ElementKeyInt(0).AttributeName("name"): `},
		{"no JSON", map[string]any{"name": "a", "freestyle": "script: x"}, `AttributeName("freestyle"): `},
	} {
		require.Contains(t, lines(r.validate(f.config)), f.want, f.name)
	}
	require.Empty(t, r.validate(map[string]any{"name": unknown{}}), "what is not known yet can't be wrong yet")
	said := r.try(map[string]any{"name": "a", "freestyle": `{"scirpt": "x"}`})
	require.Contains(t, lines(said), `AttributeName("freestyle"): The job can't be created: `, "what the server says is at its attribute too")
	require.Contains(t, lines(said), "scirpt")
}
