package queuetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// onePuller lets ten agents share out two hundred runs.
func onePuller(t *testing.T, s *System) {
	const agents, runs = 10, 200
	var mu sync.Mutex
	seen := map[int64]int{}
	ctx, stop := context.WithCancel(within(t, bound))
	var wg sync.WaitGroup
	for range agents {
		wg.Go(func() {
			for {
				d, err := s.Queue.Pull(ctx, []ci.Lane{urgent, normal})
				if err != nil {
					return
				}
				if d.Ack(context.WithoutCancel(ctx)) != nil {
					continue
				}
				mu.Lock()
				if seen[d.Run]++; len(seen) == runs {
					stop()
				}
				mu.Unlock()
			}
		})
	}
	for i := range int64(runs) {
		publish(t, s, []ci.Lane{urgent, normal}[i%2], i+1)
	}
	wg.Wait()
	stop()
	require.Len(t, seen, runs)
	for run, n := range seen {
		require.Equal(t, 1, n, "run %d", run)
	}
}

func dedupWaiting(t *testing.T, s *System) {
	publish(t, s, normal, 1, 1, 2)
	publish(t, s, normal, 2, 1)
	require.EqualValues(t, 1, take(t, s, normal))
	require.EqualValues(t, 2, take(t, s, normal))
	empty(t, s, 300*time.Millisecond, normal)
}

func dedupInHand(t *testing.T, s *System) {
	publish(t, s, normal, 1)
	d := pull(t, s, normal)
	publish(t, s, normal, 1)
	empty(t, s, 300*time.Millisecond, normal)
	require.NoError(t, d.Ack(within(t, bound)))
	empty(t, s, s.AckWait+500*time.Millisecond, normal)
}

func fiftyTimes(t *testing.T, s *System) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := 0
	start := time.Now()
	publish(t, s, normal, 1)
	ctx := within(t, 2*time.Second)
	for range 10 {
		wg.Go(func() {
			for {
				if _, err := s.Queue.Pull(ctx, []ci.Lane{normal}); err != nil {
					return
				}
				mu.Lock()
				got++ // and never acknowledged: it is in hand for AckWait
				mu.Unlock()
			}
		})
	}
	for range 49 {
		publish(t, s, normal, 1)
	}
	mu.Lock()
	inTime := time.Since(start) < s.AckWait
	if inTime {
		require.LessOrEqual(t, got, 1)
	}
	mu.Unlock()
	wg.Wait()
	// A server's clock may be a little ahead of ours.
	require.LessOrEqual(t, got, 1+int((time.Since(start)+100*time.Millisecond)/s.AckWait))
	require.Positive(t, got)
}

func againAfterAck(t *testing.T, s *System) {
	for range 20 {
		publish(t, s, normal, 1)
		if s.Replicated {
			comesAgain(t, s)
			continue
		}
		require.EqualValues(t, 1, take(t, s, normal))
	}
	empty(t, s, 100*time.Millisecond, normal)
}

// comesAgain publishes run 1 until it comes, as the sweeper would.
func comesAgain(t *testing.T, s *System) {
	require.Eventually(t, func() bool {
		d, err := s.Queue.Pull(within(t, time.Second), []ci.Lane{normal})
		if err != nil {
			publish(t, s, normal, 1)
			return false
		}
		return d.Run == 1 && d.Ack(within(t, bound)) == nil
	}, bound, time.Millisecond)
}

func nakDelay(t *testing.T, s *System) {
	publish(t, s, normal, 1)
	const delay = 700 * time.Millisecond
	start := time.Now()
	require.NoError(t, pull(t, s, normal).Nak(within(t, bound), delay))
	require.EqualValues(t, 1, take(t, s, normal))
	took := time.Since(start)
	require.GreaterOrEqual(t, took, delay-50*time.Millisecond)
	t.Log("given back for", delay, "came after", took)
	empty(t, s, s.AckWait+300*time.Millisecond, normal)
}

func nakNow(t *testing.T, s *System) {
	publish(t, s, normal, 1, 2)
	require.NoError(t, pull(t, s, normal).Nak(within(t, bound), 0))
	require.EqualValues(t, 1, take(t, s, normal))
	require.EqualValues(t, 2, take(t, s, normal))
}

func ackWait(t *testing.T, s *System) {
	publish(t, s, normal, 1)
	start := time.Now()
	lost := pull(t, s, normal)
	require.EqualValues(t, 1, lost.Run)
	again := pull(t, s, normal)
	require.EqualValues(t, 1, again.Run)
	require.GreaterOrEqual(t, time.Since(start), s.AckWait-100*time.Millisecond)
	require.NoError(t, again.Ack(within(t, bound)))
	require.NoError(t, lost.Ack(within(t, bound)), "an acknowledgement that comes late does no harm")
	empty(t, s, s.AckWait+300*time.Millisecond, normal)
}

// woken wants a waiting pull to return long before its slow poll.
func woken(t *testing.T, s *System) {
	type arrival struct {
		run int64
		at  time.Time
	}
	got := make(chan arrival)
	go func() {
		for {
			d, err := s.Queue.Pull(t.Context(), []ci.Lane{urgent, normal, large})
			if err != nil {
				return
			}
			at := time.Now()
			_ = d.Ack(t.Context())
			select {
			case got <- arrival{d.Run, at}:
			case <-t.Context().Done():
				return
			}
		}
	}()
	var all []time.Duration
	const n = 50
	for i := range int64(n) {
		start := time.Now()
		publish(t, s, large, i+1)
		a := <-got
		require.Equal(t, i+1, a.run)
		all = append(all, a.at.Sub(start))
	}
	slices.Sort(all)
	worst := all[n-1]
	t.Logf("publish to pull: median %s, worst %s", all[n/2], worst)
	require.Less(t, all[n*9/10-1], 2*time.Second, "nine of ten; a machine that is busy may hold up the others")
	require.Less(t, worst, bound)
}

func pullCancelled(t *testing.T, s *System) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Queue.Pull(ctx, []ci.Lane{normal})
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatal("pull came back by itself:", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	publish(t, s, normal, 1)
	require.EqualValues(t, 1, take(t, s, normal), "nothing is lost in the hands of who has left")
}

func pullClosed(t *testing.T, s *System) {
	done := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := s.Queue.Pull(t.Context(), []ci.Lane{normal})
			done <- err
		}()
	}
	require.NoError(t, s.Queue.Close())
	for range 3 {
		select {
		case err := <-done:
			require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
		case <-time.After(bound):
			t.Fatal("pull does not end with Close")
		}
	}
	require.NoError(t, s.Queue.Close(), "twice does no harm")
}
