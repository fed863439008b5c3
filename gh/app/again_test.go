package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/gh/ghtest"
	"ci/pkg/ci"
)

// Where GitHub does not say how long to wait, it wants to be asked less and less often.
func TestGuessedPausesDouble(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.read(t))
	stop := w.gh.Fail(ghtest.Fault{Part: "/repos/octo/hello", Status: 403, Secondary: true})
	limited := func(wait time.Duration) {
		at, said := RetryAt(w.read(t))
		require.True(t, said)
		require.WithinDuration(t, w.now().Add(wait), at, 15*time.Second)
		w.later(wait + time.Second)
	}
	limited(time.Minute)
	limited(2 * time.Minute)
	limited(4 * time.Minute)
	stop()
	require.NoError(t, w.read(t))
	w.gh.Fail(ghtest.Fault{Part: "/repos/octo/hello", Status: 403, Secondary: true})
	limited(time.Minute)
}

// A forge that is deleted and made again has the same name and version, and nothing else of the old one.
func TestForgeThatIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.read(t))
	old := w.access(t, w.gh.URL+"/octo/hello")
	other := w.gh.NewApp("other-ci")
	other.Install("octo")
	w.forges.change("github", func(f *ci.ForgeAccess) {
		f.AppID, f.PrivateKey, f.Version = other.ID, other.PEM, 0 // change makes it 1 again
	})
	c, err := w.AppClient(w.ctx, "github")
	require.NoError(t, err)
	mine, _, err := c.Apps.Get(w.ctx, "")
	require.NoError(t, err)
	require.Equal(t, "other-ci", mine.GetSlug())
	require.NotEqual(t, old, w.access(t, w.gh.URL+"/octo/hello"))
	require.Error(t, w.read(t), "the old App's installation is not the new one's")
}
