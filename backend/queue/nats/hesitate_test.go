package nats

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// Whoever holds back for less gets the message, again and again, although the
// other waited first; and the other gets what comes beyond.
func TestBusiestFirst(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	cfg := testConfig(t)
	cfg.URL = e.srv.ClientURL()
	cfg.Poll, cfg.AckWait = time.Minute, time.Minute // wake-ups alone bring messages here
	publisher, eager, idle := open(t, cfg), open(t, cfg), open(t, cfg)
	l := ci.Lane{Class: "small", Priority: ci.PriorityNormal}
	require.NoError(t, publisher.Publish(t.Context(), nil))
	pull := func(d *Driver, hesitation time.Duration, got chan ci.Delivery) {
		del, err := d.PullAfter(t.Context(), []ci.Lane{l}, hesitation)
		if err == nil {
			got <- del
		}
	}
	busy, other := make(chan ci.Delivery), make(chan ci.Delivery)
	go pull(idle, 5*time.Second, other)
	// Each Pull looks by itself when it begins, and once more after a moment.
	settled := time.Now().Add(30 * again)
	require.Eventually(t, func() bool { return waiters(idle) == 1 && time.Now().After(settled) }, time.Minute, 10*time.Millisecond)
	for i := range int64(5) {
		go pull(eager, 0, busy)
		require.Eventually(t, func() bool { return waiters(eager) == 1 && waiters(idle) == 1 }, time.Minute, time.Millisecond)
		require.NoError(t, publisher.Publish(t.Context(), []queue.Message{{Run: i + 1, Lane: l}}))
		select {
		case d := <-busy:
			require.Equal(t, i+1, d.Run)
			require.NoError(t, d.Ack(t.Context()))
		case d := <-other:
			require.Fail(t, "the one who holds back was first", "run %d", d.Run)
		}
	}
	require.NoError(t, publisher.Publish(t.Context(), []queue.Message{{Run: 6, Lane: l}}))
	d := <-other
	require.Equal(t, int64(6), d.Run, "nobody else wants it")
	require.NoError(t, d.Ack(t.Context()))
}

func waiters(d *Driver) int {
	d.wakes.mu.Lock()
	defer d.wakes.mu.Unlock()
	return len(d.wakes.waiting)
}

// News of a taken message ends the wait for it and for none that is newer, in
// whichever order the news comes.
func TestNewsInAnyOrder(t *testing.T) {
	t.Parallel()
	l := ci.Lane{Class: "small", Priority: ci.PriorityNormal}
	woke, took := "woke", "took"
	for i, c := range []struct {
		news []string
		want bool // still worth asking
	}{
		{[]string{woke + " 5", took + " 5"}, false},
		{[]string{took + " 5", woke + " 5"}, true}, // one look too many
		{[]string{woke + " 5", woke + " 6", took + " 5"}, true},
		{[]string{woke + " 6", took + " 5", woke + " 5"}, true},
		{[]string{woke + " 5", woke + " 6", took + " 6"}, false},
		{[]string{woke + " ", took + " 9"}, true}, // it was given back
		{[]string{woke + " 5", woke + " ", took + " 5"}, true},
	} {
		v := newWaiter([]ci.Lane{l})
		for _, n := range c.news {
			var kind, seq string
			_, _ = fmt.Sscan(n+" -", &kind, &seq)
			subject := map[string]string{woke: wakePrefix, took: tookPrefix}[kind]
			lane, number, ok := news(subject, &nats.Msg{Subject: newsSubject(subject, l), Data: []byte(seq)})
			require.True(t, ok)
			require.Equal(t, l, lane)
			if kind == woke {
				v.wake(lane, number)
			} else {
				v.empty(lane, number)
			}
		}
		require.Equal(t, c.want, len(v.take()) > 0, "case %d", i)
	}
}

// A Pull that holds back still ends with its context.
func TestHesitationEnds(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	cfg := testConfig(t)
	cfg.URL = e.srv.ClientURL()
	d := open(t, cfg)
	l := ci.Lane{Class: "small", Priority: ci.PriorityNormal}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.PullAfter(ctx, []ci.Lane{l}, time.Hour)
		ended <- err
	}()
	require.Eventually(t, func() bool { return waiters(d) == 1 }, time.Minute, time.Millisecond)
	d.wake(l, 0)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

// Who is always too late holds back for longer, up to a bound.
func TestAskingInVain(t *testing.T) {
	t.Parallel()
	h := holdback{base: 10 * time.Millisecond}
	for _, want := range []time.Duration{10, 20, 40, 40, 40} {
		require.Equal(t, want*time.Millisecond, h.wait())
		h.inVain()
	}
	var none holdback
	none.inVain()
	require.Zero(t, none.wait(), "who does not hold back never does")
}

// settled waits until so many Pulls wait, and none looks by itself any more.
func settled(t *testing.T, d *Driver, pulls int) {
	t.Helper()
	at := time.Now().Add(30 * again)
	require.Eventually(t, func() bool { return waiters(d) == pulls && time.Now().After(at) }, time.Minute, 10*time.Millisecond)
}

// However many wait, a wake-up reaches one of each group, and somebody.
func TestAWakeUpReachesAFew(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	cfg := testConfig(t)
	cfg.URL = e.srv.ClientURL()
	cfg.Poll = time.Minute
	d := open(t, cfg)
	l := ci.Lane{Class: "small", Priority: ci.PriorityNormal}
	const pulls = 10 * shares
	for range pulls {
		go func() { _, _ = d.PullAfter(t.Context(), []ci.Lane{l}, time.Hour) }()
	}
	settled(t, d, pulls)
	woken := func() (n int) {
		d.wakes.mu.Lock()
		defer d.wakes.mu.Unlock()
		for v := range d.wakes.waiting {
			n += len(v.news())
		}
		return n
	}
	d.wake(l, 0)
	require.Eventually(t, func() bool { return woken() > 0 }, time.Minute, time.Millisecond)
	require.NoError(t, d.conn.FlushTimeout(time.Minute))
	require.LessOrEqual(t, woken(), shares, "all hold back for as long, so they are of one level")
}

// Runs that are queued together reach everybody who waits, though one wake-up
// tells of them all: who takes one wakes others.
func TestOneWakeUpForManyMessages(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	cfg := testConfig(t)
	cfg.URL = e.srv.ClientURL()
	cfg.Poll = 10 * time.Minute
	d := open(t, cfg)
	l := ci.Lane{Class: "small", Priority: ci.PriorityNormal}
	const pulls = 5 * shares
	got := make(chan int64, pulls)
	for range pulls {
		go func() {
			del, err := d.PullAfter(t.Context(), []ci.Lane{l}, time.Millisecond)
			if err == nil && del.Ack(t.Context()) == nil {
				got <- del.Run
			}
		}()
	}
	settled(t, d, pulls)
	var batch []queue.Message
	for i := range int64(pulls) {
		batch = append(batch, queue.Message{Run: i + 1, Lane: l})
	}
	require.NoError(t, d.Publish(t.Context(), batch))
	seen := map[int64]bool{}
	for range pulls {
		select {
		case run := <-got:
			seen[run] = true
		case <-time.After(2 * time.Minute):
			require.Fail(t, "nobody woke the rest", "%d of %d came", len(seen), pulls)
		}
	}
	require.Len(t, seen, pulls)
}
