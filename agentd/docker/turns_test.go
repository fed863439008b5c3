package docker

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// The end of a call's context ends its waiting for a turn at once, but not the call.
func TestWaitingForATurnMayBeGivenUp(t *testing.T) {
	t.Parallel()
	turn := newTurns(1)
	under, hold := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		first <- turn.do(ctx, func(ctx context.Context) error {
			close(under)
			<-hold
			return ctx.Err()
		})
	}()
	<-under
	second := make(chan error, 1)
	go func() { second <- turn.do(ctx, func(context.Context) error { return nil }) }()
	giveUp()
	require.ErrorIs(t, <-second, context.Canceled)
	close(hold)
	require.NoError(t, <-first)
	require.ErrorIs(t, turn.do(ctx, func(context.Context) error { return nil }), context.Canceled)
}

// Who waits for an engine that ends no call gives up in time, and who waits for
// a slow one does not.
func TestWaitingForATurnIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, waitingForATurn)
}

func waitingForATurn(t *testing.T) {
	turn := newTurns(1)
	turn.idle = 2 * time.Second
	var slow errgroup.Group
	for range 6 {
		slow.Go(func() error {
			return turn.do(t.Context(), func(ctx context.Context) error { return pause(ctx, time.Second) })
		})
	}
	require.NoError(t, slow.Wait(), "the last waited longer than an idle engine is waited for")

	under, hold := make(chan struct{}), make(chan struct{})
	defer close(hold)
	go func() {
		_ = turn.do(t.Context(), func(context.Context) error { close(under); <-hold; return nil })
	}()
	<-under
	var behind errgroup.Group
	for range 40 {
		behind.Go(func() error {
			if err := turn.do(t.Context(), func(context.Context) error { return nil }); err == nil {
				return fmt.Errorf("a call had the turn of one that hangs")
			} else if explained := common.explain(err, "a network can't be made").Error(); !strings.Contains(explained, "does not answer in time") {
				return err
			}
			return nil
		})
	}
	began := time.Now()
	require.NoError(t, behind.Wait())
	require.Less(t, time.Since(began), time.Minute)
}

// An engine that makes one network after the other is never asked for many at once.
func TestNetworksHaveTurns(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	c := config("test-turns")
	c.Host = host
	d, err := New(c)
	require.NoError(t, err)
	var now, most, all atomic.Int64
	f.before.Store(&hook{func(r *http.Request) {
		if r.Method == http.MethodGet || !strings.Contains(r.URL.Path, "/networks/") {
			return
		}
		all.Add(1)
		for n := now.Add(1); n > most.Load(); n = now.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		_ = pause(r.Context(), 100*time.Millisecond)
	}})
	nets := make([]runNet, 10)
	both := func(do func(n *runNet) error) {
		var g errgroup.Group
		for i := range nets {
			g.Go(func() error { return do(&nets[i]) })
		}
		require.NoError(t, g.Wait())
	}
	both(func(n *runNet) error {
		return d.makeRunNetwork(t.Context(), &shared{}, 2, d.runLabels("network", lastRun.Add(1), "job"), n)
	})
	both(func(n *runNet) error { return d.removeRunNetwork(t.Context(), n) })
	require.GreaterOrEqual(t, all.Load(), int64(2*len(nets)))
	require.LessOrEqual(t, most.Load(), int64(networkTurns))
	requireNothing(t, d)
}

// A network that the engine makes when nobody waits for it any more is swept,
// and its subnet is used again.
func TestLateNetworkIsSwept(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	c := config("test-late-network")
	c.Host = host
	d, err := New(c)
	require.NoError(t, err)
	late := make(chan struct{})
	f.before.Store(&hook{func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/networks/create") {
			readBody(r)
			<-late
			// A context that never ends would make the proxy watch its caller instead, who has gone.
			*r = *r.WithContext(t.Context())
		}
	}})
	ctx, cancel := within(t.Context(), time.Second)
	defer cancel()
	var n runNet
	free := d.FreeNetworks()
	err = d.makeRunNetwork(ctx, &shared{}, 2, d.runLabels("network", lastRun.Add(1), "job"), &n)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, d.removeRunNetwork(t.Context(), &n), "there is none yet")
	require.Equal(t, free, d.FreeNetworks())
	f.before.Store(nil)
	close(late)
	eventually(t, func() bool { return len(objects(t, d)) > 0 }, "the engine makes the network")
	left, err := d.Sweep(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, left)
	requireNothing(t, d)
}
