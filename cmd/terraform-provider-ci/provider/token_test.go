package provider_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/stretchr/testify/require"

	"ci/pkg/api"
	"ci/pkg/ci"
)

// whoami asks the server whom a bearer token stands for.
func (c *core) whoami(bearer any) (*ci.Caller, error) {
	c.t.Helper()
	text, _ := bearer.(string)
	require.NotEmpty(c.t, text)
	client, err := api.New(api.Config{URL: c.url, Token: text})
	require.NoError(c.t, err)
	return client.WhoAmI(c.t.Context())
}

func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_token")
	config := map[string]any{"name": "deployer", "role": "trigger", "jobs": []any{"deploy"}, "expires_at": time.Now().Add(time.Hour).Format("2006-01-02T15:04:05") + "+00:00"}
	has := r.apply(config)
	who, err := c.whoami(has["bearer"])
	require.NoError(t, err)
	require.Equal(t, ci.RoleTrigger, who.Role)
	require.Equal(t, []string{"deploy"}, who.Jobs)

	for name, change := range map[string]any{"role": "read", "jobs": nil, "expires_at": "", "name": "other"} {
		require.True(t, r.plan(with(config, map[string]any{name: change})).replace, name)
	}
	now := r.apply(with(config, map[string]any{"role": "read"}))
	require.NotEqual(t, has["bearer"], now["bearer"])
	_, err = c.whoami(has["bearer"])
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err), "the old one is revoked")

	// An import has all but the bearer, which nobody can tell any more.
	id, _ := now["id"].(string)
	imported, said := c.imported("ci_token", id)
	require.Empty(t, said)
	require.True(t, imported.refresh())
	require.Nil(t, imported.has()["bearer"])
	utc := with(config, map[string]any{"role": "read", "expires_at": imported.has()["expires_at"]})
	require.True(t, imported.plan(utc).empty)

	// Somebody revokes it: it is made anew.
	require.NoError(t, c.admin.RevokeToken(t.Context(), id))
	require.False(t, r.refresh())
	now = r.apply(config)
	require.Empty(t, r.destroy())
	_, err = c.whoami(now["bearer"])
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err))
}

func TestTokenFaults(t *testing.T) {
	t.Parallel()
	r := setup(t).resource("ci_token")
	require.Contains(t, lines(r.validate(map[string]any{"name": "a", "role": "root"})), `AttributeName("role"): `)
	require.Contains(t, lines(r.validate(map[string]any{"name": "a", "role": "read", "expires_at": "tomorrow"})), `AttributeName("expires_at"): `)
	past := map[string]any{"name": "a", "role": "read", "expires_at": "2020-01-01T00:00:00Z"}
	require.Empty(t, r.validate(past), "a configuration does not become wrong by itself")
	require.Contains(t, lines(r.try(past)), "in the past", "but no token is made that ended before it began")
}

func TestTokenOfAnApply(t *testing.T) {
	t.Parallel()
	c := setup(t)
	typ := c.schemas.EphemeralResourceSchemas["ci_token"].ValueType()
	open := func(config map[string]any) *tfprotov6.OpenEphemeralResourceResponse {
		resp, err := c.server.OpenEphemeralResource(t.Context(), &tfprotov6.OpenEphemeralResourceRequest{TypeName: "ci_token", Config: wire(t, valueOf(t, typ, config))})
		require.NoError(t, err)
		return resp
	}
	resp := open(map[string]any{"name": "upload", "role": "read", "lifetime": "10m"})
	require.Empty(t, said(resp.Diagnostics))
	result, err := resp.Result.Unmarshal(typ)
	require.NoError(t, err)
	bearer := plain(t, fieldsOf(t, result)["bearer"])
	who, err := c.whoami(bearer)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), who.ExpiresAt, 5*time.Minute)
	text, _ := bearer.(string)
	require.NotContains(t, string(resp.Private), text)

	closed, err := c.server.CloseEphemeralResource(t.Context(), &tfprotov6.CloseEphemeralResourceRequest{TypeName: "ci_token", Private: resp.Private})
	require.NoError(t, err)
	require.Empty(t, said(closed.Diagnostics))
	_, err = c.whoami(bearer)
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err), "it ends with the apply")

	require.NotEmpty(t, said(open(map[string]any{"name": "upload", "role": "root"}).Diagnostics))
}

// A refresh of many tokens reads each alone, and no list of all.
func TestTokensAreReadOneByOne(t *testing.T) {
	t.Parallel()
	var asked struct {
		sync.Mutex
		paths []string
	}
	c := setup(t)
	to, err := url.Parse(c.url)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	heard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Lock()
		asked.paths = append(asked.paths, r.URL.Path)
		asked.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(heard.Close)
	require.Empty(t, c.configure(map[string]any{"url": heard.URL, "token": c.token}))
	const many = 5
	for i := range many {
		r := c.resource("ci_token")
		r.apply(map[string]any{"name": fmt.Sprintf("bot-%d", i), "role": "read"})
		require.True(t, r.refresh())
	}
	asked.Lock()
	defer asked.Unlock()
	lists, reads := 0, 0
	for _, path := range asked.paths {
		switch {
		case strings.HasSuffix(path, "/ListTokens"):
			lists++
		case strings.HasSuffix(path, "/GetToken"):
			reads++
		}
	}
	require.Zero(t, lists, asked.paths)
	require.GreaterOrEqual(t, reads, many)
}
