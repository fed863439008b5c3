package queuetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func poison(t *testing.T, s *System) {
	publish(t, s, normal, 1)
	for range 5 {
		s.Poison(t, normal)
	}
	publish(t, s, normal, 2)
	require.EqualValues(t, 1, take(t, s, normal))
	require.EqualValues(t, 2, take(t, s, normal))
	empty(t, s, s.AckWait+300*time.Millisecond, normal)
	require.Eventually(t, func() bool {
		got, err := s.Queue.Depth(within(t, bound))
		return err == nil && got[normal] == 0
	}, bound, 10*time.Millisecond)
}

// restart five times, with more coming in all the while.
func restart(t *testing.T, s *System) {
	want := map[int64]bool{}
	for round := range int64(5) {
		for i := range int64(20) {
			run := round*100 + i + 1
			publish(t, s, normal, run)
			want[run] = true
		}
		s.Restart(t, false)
	}
	publish(t, s, normal, 1) // is still there
	for len(want) > 0 {
		run := take(t, s, normal)
		require.True(t, want[run], "run %d came twice", run)
		delete(want, run)
	}
	empty(t, s, s.AckWait, normal)
}

func wipe(t *testing.T, s *System) {
	publish(t, s, normal, 1, 2)
	publish(t, s, large, 3)
	held := pull(t, s, normal)
	s.Restart(t, true)
	_ = held.Ack(within(t, time.Second)) // of a message that is no more; any answer will do
	publish(t, s, normal, 2, 4)
	require.EqualValues(t, 2, take(t, s, normal, large))
	require.EqualValues(t, 4, take(t, s, normal, large))
	empty(t, s, 300*time.Millisecond, normal, large)
}
