package rest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	put := s.do("PUT", "/jobs/mine/secrets/TOKEN", `{"value":"hunter2"}`)
	require.Equal(t, 200, put.status, put.body)
	require.Contains(t, put.body, `"name":"TOKEN"`)
	require.Contains(t, put.body, `"version":1`)
	require.Contains(t, put.body, `"updatedBy":"admin"`)
	require.Contains(t, s.do("PUT", "/jobs/mine/secrets/TOKEN", `{"value":"hunter3"}`).body, `"version":2`)
	list := s.do("GET", "/jobs/mine/secrets", "")
	require.Equal(t, 200, list.status)
	require.Contains(t, list.body, `"name":"TOKEN"`)
	require.NotContains(t, put.body+list.body, "hunter")
	require.Equal(t, 204, s.do("DELETE", "/jobs/mine/secrets/TOKEN", "").status)
	require.Equal(t, 404, s.do("DELETE", "/jobs/mine/secrets/TOKEN", "").status)

	// A job that is deleted takes its secrets along.
	s.do("PUT", "/jobs/mine/secrets/TOKEN", `{"value":"hunter2"}`)
	require.Equal(t, 204, s.do("DELETE", "/jobs/mine", "").status)
	require.Empty(t, s.secrets)
	require.Equal(t, 404, s.do("GET", "/jobs/mine/secrets", "").status)
	require.Equal(t, 404, s.do("PUT", "/jobs/mine/secrets/TOKEN", `{"value":"hunter2"}`).status)
	require.NotContains(t, s.logged(), "hunter")
}

// What is refused quotes nothing of a value, neither to the caller nor in the log.
func TestSecretsThatCannotBe(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	_, err := s.PutJob(t.Context(), &ci.Job{Name: "with", Freestyle: []byte(`{"script":"true"}`), Parameters: []ci.Parameter{{Name: "LEVEL"}}}, 0)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		path, body string
		status     int
	}{
		"empty":              {"/jobs/mine/secrets/A", `{"value":""}`, 400},
		"no value":           {"/jobs/mine/secrets/A", `{}`, 400},
		"NUL":                {"/jobs/mine/secrets/A", `{"value":"can\u0000ary"}`, 400},
		"too long":           {"/jobs/mine/secrets/A", `{"value":"canary` + strings.Repeat("x", ci.MaxSecret) + `"}`, 400},
		"far too long":       {"/jobs/mine/secrets/A", `{"value":"canary` + strings.Repeat("x", 5<<20) + `"}`, 413},
		"an object":          {"/jobs/mine/secrets/A", `{"value":{"canary":1}}`, 400},
		"a list":             {"/jobs/mine/secrets/A", `{"value":["canary"]}`, 400},
		"an unknown field":   {"/jobs/mine/secrets/A", `{"value":"canary","x":"canary"}`, 400},
		"twice":              {"/jobs/mine/secrets/A", `{"value":"canary","value":"canary"}`, 400},
		"broken":             {"/jobs/mine/secrets/A", `{"value":"canary`, 400},
		"broken escape":      {"/jobs/mine/secrets/A", `{"value":"canary\q"}`, 400},
		"not UTF-8":          {"/jobs/mine/secrets/A", "{\"value\":\"canary\xff\"}", 400},
		"trailing":           {"/jobs/mine/secrets/A", `{"value":"canary"} canary`, 400},
		"bare":               {"/jobs/mine/secrets/A", `"canary"`, 400},
		"reserved":           {"/jobs/mine/secrets/CI_A", `{"value":"canary"}`, 400},
		"no variable":        {"/jobs/mine/secrets/a-b", `{"value":"canary"}`, 400},
		"a parameter":        {"/jobs/with/secrets/LEVEL", `{"value":"canary"}`, 400},
		"no job":             {"/jobs/none/secrets/A", `{"value":"canary"}`, 404},
		"a registry's path":  {"/registries/https:%2f%2fx", `{"username":"u","password":"canary"}`, 404},
		"upper case":         {"/registries/Docker.io", `{"username":"u","password":"canary"}`, 400},
		"no username":        {"/registries/docker.io", `{"password":"canary"}`, 400},
		"password, no text":  {"/registries/docker.io", `{"username":"u","password":"canary\n"}`, 400},
		"password, a number": {"/registries/docker.io", `{"username":"u","password":{"canary":1}}`, 400},
	} {
		got := s.do("PUT", c.path, c.body)
		require.Equal(t, c.status, got.status, "%s: %s", name, got.body)
		require.Equal(t, "application/problem+json", got.header.Get("Content-Type"), name)
		// The name of an unknown field is shown, values never.
		require.NotContains(t, strings.ReplaceAll(got.body, "value.canary", ""), "canary", name)
	}
	require.NotContains(t, s.logged(), "canary")
	require.Empty(t, s.secrets)
}

func TestRegistries(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	put := s.do("PUT", "/registries/registry.example.com:5000", `{"username":"ci","password":"hunter2"}`)
	require.Equal(t, 200, put.status, put.body)
	require.Contains(t, put.body, `"host":"registry.example.com:5000"`)
	list := s.do("GET", "/registries", "")
	require.Contains(t, list.body, `"username":"ci"`)
	require.NotContains(t, put.body+list.body+s.logged(), "hunter")
	require.Equal(t, 403, s.do("GET", "/registries", "", s.as(ci.RoleMaintain)).status)
	require.Equal(t, 204, s.do("DELETE", "/registries/registry.example.com:5000", "").status)
	require.Equal(t, 404, s.do("DELETE", "/registries/registry.example.com:5000", "").status)
}

// TestSecretsClient goes through the client's methods against the real handler.
func TestSecretsClient(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	ctx, c := t.Context(), s.client(ci.RoleAdmin)
	made, err := c.PutSecret(ctx, "mine", "A", "hunter2")
	require.NoError(t, err)
	require.Equal(t, ci.Secret{Job: "mine", Name: "A", Version: 1, UpdatedAt: made.UpdatedAt, UpdatedBy: "admin"}, made)
	list, err := c.ListSecrets(ctx, "mine")
	require.NoError(t, err)
	require.Equal(t, []ci.Secret{made}, list)
	require.NoError(t, c.DeleteSecret(ctx, "mine", "A"))
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(c.DeleteSecret(ctx, "mine", "A")))

	account, err := c.PutRegistry(ctx, ci.RegistryAccess{Host: "docker.io", Username: "ci", Password: "hunter2"})
	require.NoError(t, err)
	accounts, err := c.ListRegistries(ctx)
	require.NoError(t, err)
	require.Equal(t, []ci.Registry{account}, accounts)
	require.NoError(t, c.DeleteRegistry(ctx, "docker.io"))
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(c.DeleteRegistry(ctx, "docker.io")))
}
