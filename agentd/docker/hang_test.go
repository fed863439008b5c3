package docker

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/volume"
	"github.com/stretchr/testify/require"
)

// hang makes the engine answer nothing any more, until the test calls wake.
func (f *flaky) hang() (wake func()) {
	woken := make(chan struct{})
	f.before.Store(&hook{func(r *http.Request) { hold(r, woken) }})
	return func() {
		f.before.Store(nil)
		close(woken)
	}
}

// hold keeps a call back until woken is closed or its caller gives up.
func hold(r *http.Request, woken chan struct{}) {
	readBody(r) // before that the server does not see its caller go
	_ = awaitSignal(r.Context(), woken)
}

// An agent that ends is not held up by an engine that hangs, and what it could
// not remove goes with the next look.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	c := config("test-close-hangs")
	c.Host = host
	d, err := New(c)
	require.NoError(t, err)
	require.NoError(t, d.Open(t.Context()))
	wake := f.hang()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	began := time.Now()
	err = d.Close(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 30*time.Second)
	wake()
	require.NoError(t, d.Close(t.Context()))
	eventually(t, func() bool { return len(objects(t, d)) == 0 }, "what hung is removed")
}

// An engine that does not answer in time says so in the chain of its error, by
// which an agent tells it from one that is gone.
func TestReadySaysThatTheEngineIsSlow(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	c := config("test-ready-hangs")
	c.Host = host
	d, err := New(c)
	require.NoError(t, err)
	wake := f.hang()
	defer wake()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // more than Ready gives itself
	defer cancel()
	require.ErrorIs(t, d.Ready(ctx), context.DeadlineExceeded)
	require.NoError(t, ctx.Err())
	c.Host = "unix://" + t.TempDir() + "/none.sock"
	d, err = New(c)
	require.NoError(t, err)
	err = d.Ready(ctx)
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

// A sweep is not held up by an engine that removes nothing, nor longer by more
// of what is to go.
func TestSweepIsBounded(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	c := config("test-sweep-hangs")
	c.Host = host
	d, err := New(c)
	require.NoError(t, err)
	require.NoError(t, d.Open(t.Context()))
	for _, name := range []string{"one", "two", "three"} {
		_, err := d.api.VolumeCreate(t.Context(), volume.CreateOptions{Name: d.cfg.Agent + "-" + name, Labels: d.labels("lost")})
		require.NoError(t, err)
	}
	woken := make(chan struct{})
	f.before.Store(&hook{func(r *http.Request) {
		if r.Method == http.MethodDelete {
			hold(r, woken)
		}
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // enough for the lists
	defer cancel()
	began := time.Now()
	left, err := d.Sweep(ctx, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, 3, left)
	require.Less(t, time.Since(began), time.Minute)
	f.before.Store(nil)
	close(woken)
	eventually(t, func() bool { left, err := d.Sweep(t.Context(), nil); return left == 0 && err == nil }, "what hung is removed")
	require.NoError(t, d.Close(t.Context()))
}

// Who gives up an agent's start waits for no engine that hangs, whatever it was
// asked for last.
func TestOpenIsGivenUpThoughTheEngineHangs(t *testing.T) {
	t.Parallel()
	f, host := newFlaky(t)
	c := config("test-open-hangs")
	c.Host = host
	c.grace = 200 * time.Millisecond
	d, err := New(c)
	require.NoError(t, err)
	for n := int64(1); ; n++ {
		ctx, giveUp := context.WithCancel(t.Context())
		woken := make(chan struct{})
		var calls atomic.Int64
		var given atomic.Pointer[time.Time] // when it was given up
		f.before.Store(&hook{func(r *http.Request) {
			if r.Method != http.MethodPost || calls.Add(1) < n {
				return
			}
			now := time.Now()
			given.CompareAndSwap(nil, &now)
			giveUp()
			hold(r, woken)
		}})
		err := d.Open(ctx)
		ended := time.Now()
		giveUp()
		f.before.Store(nil)
		close(woken)
		// What the engine was at when it was given up, it may make after the first look.
		eventually(t, func() bool { return d.Close(t.Context()) == nil && len(objects(t, d)) == 0 }, "nothing stays")
		if err == nil {
			require.Greater(t, n, int64(5), "Open makes more than that")
			return
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, ended.Sub(*given.Load()), 30*time.Second, "call %d", n)
	}
}
