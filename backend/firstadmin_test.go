package backend

import (
	"crypto/ed25519"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"ci/backend/store/storetest/postgres"
	"ci/pkg/ci"
)

// TestFirstAdminOfMany starts several cids on one new database, at once: one of
// them makes the first token, and each believes it.
func TestFirstAdminOfMany(t *testing.T) {
	t.Parallel()
	database := postgres.Start(t).Database(t)
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	secretKey := filepath.Join(t.TempDir(), "secret.key")
	require.NoError(t, MakeSecretKey(secretKey))
	cids := make([]*Backend, 3)
	for i := range cids {
		cids[i] = openCid(t, Config{Database: database, Key: key, Secrets: SecretsConfig{Key: secretKey}})
	}
	bearers := make(chan string, len(cids))
	var wg sync.WaitGroup
	for _, b := range cids {
		wg.Go(func() {
			bearer, err := b.FirstAdmin(t.Context())
			if err != nil {
				t.Error(err)
			}
			bearers <- bearer
		})
	}
	wg.Wait()
	first := <-bearers + <-bearers + <-bearers // two are empty
	for _, b := range cids {
		p, err := b.Auth.Verify(t.Context(), first)
		require.NoError(t, err)
		require.Equal(t, ci.RoleAdmin, p.Role)
		require.Equal(t, firstAdmin, p.Name)
	}

	// One that was revoked was so on purpose: the next start makes no other.
	p, err := cids[0].Auth.Verify(t.Context(), first)
	require.NoError(t, err)
	require.NoError(t, cids[0].Store.RevokeToken(t.Context(), p.TokenID, cids[0].Store.Now()))
	again, err := cids[1].FirstAdmin(t.Context())
	require.NoError(t, err)
	require.Empty(t, again)

	// Whoever has the signing key gets in all the same.
	rescue, err := MakeToken(t.Context(), database, key, ci.Token{}, time.Hour, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p, err = cids[2].Auth.Verify(t.Context(), rescue)
	require.NoError(t, err)
	require.Equal(t, ci.RoleAdmin, p.Role)
	require.WithinDuration(t, cids[2].Store.Now().Add(time.Hour), p.ExpiresAt, 10*time.Minute)
}

// TestFirstAdminOfOne is a cid with a database of its own: it makes one whenever
// it is asked, since the file that held the earlier one is gone.
func TestFirstAdminOfOne(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	b := openCid(t, Config{Key: key})
	one, err := b.FirstAdmin(t.Context())
	require.NoError(t, err)
	two, err := b.FirstAdmin(t.Context())
	require.NoError(t, err)
	for _, bearer := range []string{one, two} {
		_, err := b.Auth.Verify(t.Context(), bearer)
		require.NoError(t, err)
	}
	require.NotEqual(t, one, two)
}

// openCid is what a cid opens, in a folder of its own.
func openCid(t *testing.T, c Config) *Backend {
	t.Helper()
	c.Dir, c.URL, c.Log, c.Metrics = t.TempDir(), "http://ci.test", slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	b, err := New(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}
