package forge

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
	"ci/gh/ghtest"
	"ci/pkg/api"
	"ci/pkg/ci"
)

// startCid starts a cid as people do, which ends with the test and must leave
// nothing. It knows the App as forge "github", and may read its repositories.
func startCid(t *testing.T, server *ghtest.Server, a *ghtest.App, args ...string) (*rig.Cid, *api.Client) {
	t.Helper()
	bin, err := rig.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	args = append([]string{"--git-allow", strings.TrimPrefix(server.URL, "http://")}, args...)
	cid, err := rig.NewCid(bin, filepath.Join(t.TempDir(), "data"), nil, args...)
	require.NoError(t, err)
	require.NoError(t, cid.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, cid.End(context.Background())) })
	client, err := api.New(api.Config{URL: cid.URL, Token: cid.Token})
	require.NoError(t, err)
	_, _, err = client.PutForge(t.Context(), ci.ForgeAccess{
		Forge:     ci.Forge{Name: "github", Kind: ci.ForgeGitHub, URL: server.URL, AppID: a.ID},
		ForgeKeys: ci.ForgeKeys{PrivateKey: a.PEM, WebhookSecret: a.WebhookSecret},
	}, 0)
	require.NoError(t, err)
	a.SetHook(cid.URL + "/hooks/github")
	return cid, client
}
