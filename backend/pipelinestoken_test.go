package backend

import (
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/auth"
	"ci/backend/secret/keyfile"
	"ci/backend/store"
	"ci/pkg/ci"
)

// The token of pipelines outlives a restart, ends by itself where it is left
// behind, and is replaced in time where it is not.
func TestPipelinesToken(t *testing.T) {
	t.Parallel()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "ci.db"), log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	at := time.Now()
	now := func() time.Time { return at }
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	a, err := auth.New(db, key, now)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "pipelines.token")
	open := func(path string) *pipelinesToken {
		token, err := openPipelinesToken(ctx, a, path, now, log)
		require.NoError(t, err)
		return token
	}
	first := open(path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	require.Equal(t, first.String(), open(path).String(), "a restart makes no other")
	fresh := open(filepath.Join(t.TempDir(), "pipelines.token"))
	require.NotEqual(t, first.String(), fresh.String(), "a fresh disk does, at the same moment, too")

	old := first.String()
	at = at.Add(pipelinesLife/2 + time.Hour)
	require.NoError(t, first.renew(ctx))
	require.NotEqual(t, old, first.String())
	for _, bearer := range []string{old, first.String()} {
		p, err := a.Verify(ctx, bearer)
		require.NoError(t, err, "who has the old one goes on")
		require.Equal(t, ci.RoleTrigger, p.Role)
	}
	require.Equal(t, first.String(), open(path).String())
	at = at.Add(pipelinesLife / 2)
	_, err = a.Verify(ctx, fresh.String())
	require.Equal(t, ci.CodeUnauthorized, ci.CodeOf(err), "what was left behind opens nothing any more")

	revoke := func(bearer string) {
		p, err := a.Verify(ctx, bearer)
		require.NoError(t, err)
		require.NoError(t, db.RevokeToken(ctx, p.TokenID, at))
		a.Forget(p.TokenID)
	}
	one, two := open(path), open(path)
	before := one.String()
	require.NoError(t, one.look(ctx))
	require.Equal(t, before, one.String(), "one that is good stays")
	revoke(before)
	require.NoError(t, one.look(ctx))
	require.NotEqual(t, before, one.String())
	_, err = a.Verify(ctx, one.String())
	require.NoError(t, err, "in place of a revoked one comes a new one")
	require.NoError(t, two.look(ctx))
	require.Equal(t, one.String(), two.String(), "which others take from the file")

	endless, _, err := a.Mint(ctx, ci.Token{Name: "pipelines-of-an-earlier-release", Role: ci.RoleTrigger})
	require.NoError(t, err)
	require.NoError(t, keyfile.Replace(path, []byte(endless+"\n")))
	p, err := a.Verify(ctx, open(path).String())
	require.NoError(t, err)
	require.Equal(t, at.Add(pipelinesLife).UTC().Truncate(time.Microsecond), p.ExpiresAt.UTC().Truncate(time.Microsecond))
}
