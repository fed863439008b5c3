package app

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/gh/ghtest"
	"ci/pkg/ci"
)

// One of two Apps at a host is broken: the other one opens what it is installed for.
func TestBrokenAppHidesNoOther(t *testing.T) {
	t.Parallel()
	w := setup(t)
	broken := w.forges.list["github"]
	broken.Name, broken.PrivateKey = "a-broken", "none"
	w.forges.list["a-broken"] = broken
	require.NotNil(t, w.access(t, w.repo.CloneURL()))
	_, err := w.HTTPAccess(w.ctx, w.gh.URL+"/else/where")
	require.ErrorContains(t, err, "the private key of forge a-broken's App", "none opens it, and that may be why")
}

// Nobody waits for a forge that hangs longer than he has time, and who has a
// token to give back does not wait at all.
func TestHungForgeHoldsNobody(t *testing.T) {
	t.Parallel()
	w := setup(t)
	old := w.access(t, w.repo.CloneURL())
	hold, hung := make(chan struct{}), make(chan struct{})
	w.gh.Fail(ghtest.Fault{Part: "/repos/else/where/installation", Hold: hold, Done: hung})
	w.app.Install("else")
	w.gh.NewPrivateRepo("else/where")
	first := make(chan *ci.HTTPAccess, 1)
	go func() {
		access, _ := w.HTTPAccess(w.ctx, w.gh.URL+"/else/where") // nil fails below
		first <- access
	}()
	<-hung
	free := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(w.ctx, time.Millisecond)
		defer cancel()
		_, err := w.HTTPAccess(ctx, w.gh.URL+"/else/where")
		w.Refused(old)
		free <- err
	}()
	select {
	case err := <-free:
		require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	case <-time.After(15 * time.Second):
		require.Fail(t, "they wait for the forge")
	}
	close(hold)
	require.NotNil(t, <-first)
	require.NotNil(t, w.access(t, w.gh.URL+"/else/where"), "who had no time has spoilt nothing for others")
}

// A forge that is away is not asked again at once by everybody who waits for it.
func TestForgeThatIsAwayIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stop := w.gh.Fail(ghtest.Fault{Part: "/installation", Status: http.StatusBadGateway})
	asked := func() int { return len(w.gh.Requests("GET", "/installation")) }
	for range 3 {
		_, err := w.HTTPAccess(w.ctx, w.repo.CloneURL())
		require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
		require.Equal(t, 1, asked())
	}
	stop()
	w.later(awayFor + time.Second)
	require.NotNil(t, w.access(t, w.repo.CloneURL()))
}
