package provider_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// hostKey is some server's.
const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

func TestSSHKeyIsKept(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_ssh_key")
	config := map[string]any{"name": "deploy", "hosts": []any{map[string]any{"host": "Git.example.com:22", "key": hostKey + " a comment"}}}
	has := r.apply(config)
	require.Contains(t, has["public_key"], "ssh-ed25519 AAAA")
	require.Contains(t, has["fingerprint"], "SHA256:")
	key, err := c.admin.GetSSHKey(t.Context(), "deploy")
	require.NoError(t, err)
	require.Equal(t, "git.example.com", key.Hosts[0].Host, "the server spells it its way, and that is no change")
	require.NotContains(t, r.state.String(), "PRIVATE")

	// Other hosts keep the pair.
	now := r.apply(with(config, map[string]any{"hosts": nil}))
	require.Equal(t, has["public_key"], now["public_key"])
	require.Equal(t, []any{}, now["hosts"])

	// Somebody adds a host: it is taken away again.
	_, _, err = c.admin.PutSSHKey(t.Context(), "deploy", []ci.HostKey{{Host: "evil.example.com", Key: hostKey}}, 0)
	require.NoError(t, err)
	require.True(t, r.refresh())
	require.False(t, r.plan(map[string]any{"name": "deploy"}).empty)
	r.apply(map[string]any{"name": "deploy"})

	require.Contains(t, lines(c.resource("ci_ssh_key").try(map[string]any{"name": "deploy"})), "tofu import ADDRESS deploy")
	again, said := c.imported("ci_ssh_key", "deploy")
	require.Empty(t, said)
	require.True(t, again.refresh())
	require.True(t, again.plan(map[string]any{"name": "deploy"}).empty)
	require.Equal(t, has["public_key"], again.has()["public_key"])

	require.Contains(t, lines(r.validate(map[string]any{"name": "deploy", "hosts": []any{map[string]any{"host": "a", "key": "x"}}})), `AttributeName("hosts").ElementKeyInt(0).AttributeName("key"): `)
	require.Empty(t, r.destroy())
	_, err = c.admin.GetSSHKey(t.Context(), "deploy")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
}

func TestSSHKeyThatAJobNeeds(t *testing.T) {
	t.Parallel()
	c := setup(t)
	r := c.resource("ci_ssh_key")
	r.apply(map[string]any{"name": "deploy"})
	c.resource("ci_job").apply(map[string]any{"name": "unit", "git": map[string]any{"url": "git@git.example.com:app.git", "config_path": "ci.yaml", "ssh_key": "deploy"}})
	require.Contains(t, lines(r.destroy()), "The ssh key can't be deleted")
	require.True(t, r.refresh(), "it is there, and the state still has it")
}
