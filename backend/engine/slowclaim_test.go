package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

// A claim that waits for somebody who is frozen in the middle of a write is given
// up before its lease is old, and comes again when it is asked for again.
func TestAClaimIsGivenUpBeforeItsLeaseIsOld(t *testing.T) {
	const lease = 8 * time.Second
	w := setup(t, func(c *engine.Config) { c.Lease = lease })
	w.freestyle()
	w.loops()
	r, _, err := w.Trigger(w.ctx, hello)
	require.NoError(t, err)
	planned := w.wait(r.ID, ci.UntilPlanned)
	frozen, thaw, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		over <- w.Store.Write(w.ctx, func(context.Context, *store.Tx) error {
			close(frozen)
			<-thaw
			return nil
		})
	}()
	<-frozen
	take := ci.Take{Agent: "a", ID: uuid.NewString(), Lanes: []ci.Lane{{Class: planned.Class, Priority: planned.Priority}}, Wait: time.Minute}
	may := func(context.Context) error { return nil }
	began := time.Now()
	taken, err := w.Take(w.ctx, take, may)
	took := time.Since(began)
	close(thaw)
	require.NoError(t, <-over)
	require.Error(t, err)
	require.Nil(t, taken)
	require.Less(t, took, lease*3/4, "agents kill runs at three quarters")
	for taken == nil {
		require.Less(t, time.Since(began), time.Minute)
		began := time.Now()
		taken, err = w.Take(w.ctx, take, may)
		require.NoError(t, err)
		if taken != nil {
			require.Equal(t, r.ID, taken.Claim.Run)
			require.False(t, taken.Since.Before(began))
		}
	}
}
