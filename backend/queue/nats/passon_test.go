package nats

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// heard returns whether the Pull that waits in just these lanes has news of one.
func heard(d *Driver, lanes []ci.Lane, l ci.Lane) bool {
	d.wakes.mu.Lock()
	defer d.wakes.mu.Unlock()
	for v := range d.wakes.waiting {
		if slices.Equal(v.lanes, lanes) && slices.Contains(v.news(), l) {
			return true
		}
	}
	return false
}

// waitsWithoutNews starts a Pull that waits and has heard nothing.
func waitsWithoutNews(t *testing.T, d *Driver, pulls int, lanes []ci.Lane) {
	t.Helper()
	go func() { _, _ = d.PullAfter(t.Context(), lanes, time.Hour) }()
	settled(t, d, pulls)
	for _, l := range lanes {
		require.False(t, heard(d, lanes, l))
	}
}

// unpolled is a driver that hears of work by wake-ups alone.
func unpolled(t *testing.T) *Driver {
	t.Helper()
	e := startExternal(t)
	cfg := testConfig(t)
	cfg.URL, cfg.Poll = e.srv.ClientURL(), 10*time.Minute
	return open(t, cfg)
}

func awaitNews(t *testing.T, d *Driver, lanes []ci.Lane, l ci.Lane, why string) {
	t.Helper()
	require.Eventually(t, func() bool { return heard(d, lanes, l) }, time.Minute, time.Millisecond, why)
}

// An agent that is drained, or has become full, while it lets others go first
// passes on what it was woken for.
func TestAPullThatEndsPassesItsWakeUpOn(t *testing.T) {
	t.Parallel()
	d := unpolled(t)
	l, other := ci.Lane{Class: "small", Priority: ci.PriorityNormal}, ci.Lane{Class: "large", Priority: ci.PriorityNormal}
	both, one := []ci.Lane{l, other}, []ci.Lane{l}
	ctx, drain := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.PullAfter(ctx, both, time.Hour)
		ended <- err
	}()
	settled(t, d, 1)
	d.wake(l, 0)
	awaitNews(t, d, both, l, "the only one who waits is woken")
	waitsWithoutNews(t, d, 2, one)
	drain()
	require.ErrorIs(t, <-ended, context.Canceled)
	awaitNews(t, d, one, l, "somebody else hears of it")
}

// Who takes a message of one lane, and may be full with it, passes on what it
// has heard of the lanes that it did not look at.
func TestAPullThatTakesPassesOtherLanesOn(t *testing.T) {
	t.Parallel()
	d := unpolled(t)
	l, other := ci.Lane{Class: "small", Priority: ci.PriorityNormal}, ci.Lane{Class: "large", Priority: ci.PriorityNormal}
	both, one := []ci.Lane{l, other}, []ci.Lane{other}
	got := make(chan ci.Delivery, 1)
	go func() {
		del, err := d.PullAfter(t.Context(), both, 10*time.Second)
		if err == nil {
			got <- del
		}
	}()
	settled(t, d, 1)
	d.wake(other, 0)
	awaitNews(t, d, both, other, "the only one who waits is woken")
	waitsWithoutNews(t, d, 2, one)
	require.NoError(t, d.Publish(t.Context(), []queue.Message{{Run: 1, Lane: l}}))
	del := <-got
	require.Equal(t, int64(1), del.Run)
	require.NoError(t, del.Ack(t.Context()))
	awaitNews(t, d, one, other, "somebody else hears of it")
}
