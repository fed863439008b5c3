package daemon

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// However many cids start in one folder at once, all sign with the same key.
func TestSigningKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := t.TempDir()
		path := filepath.Join(dir, "token.key")
		keys := make([]ed25519.PrivateKey, 16)
		start := make(chan struct{})
		var cids errgroup.Group
		for i := range keys {
			cids.Go(func() (err error) {
				<-start
				keys[i], err = signingKey(path)
				return err
			})
		}
		close(start)
		require.NoError(t, cids.Wait())
		for _, key := range keys {
			require.True(t, key.Equal(keys[0]))
		}
		later, err := signingKey(path)
		require.NoError(t, err)
		require.True(t, later.Equal(keys[0]))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, files, 1, "nothing is left of those that were not first")
	}
}
