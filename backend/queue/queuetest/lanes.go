package queuetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/pkg/ci"
)

func order(t *testing.T, s *System) {
	publish(t, s, normal, 3, 1, 2)
	publish(t, s, normal, 7)
	for _, want := range []int64{3, 1, 2, 7} {
		require.Equal(t, want, take(t, s, normal))
	}
}

func preference(t *testing.T, s *System) {
	publish(t, s, normal, 1, 2)
	publish(t, s, large, 3)
	publish(t, s, urgent, 4)
	arrived(t, s, map[ci.Lane]int{normal: 2, large: 1, urgent: 1})
	require.EqualValues(t, 4, take(t, s, urgent, normal, large))
	require.EqualValues(t, 1, take(t, s, urgent, normal, large))
	require.EqualValues(t, 3, take(t, s, large, urgent, normal))
	publish(t, s, urgent, 5)
	arrived(t, s, map[ci.Lane]int{urgent: 1})
	require.EqualValues(t, 5, take(t, s, urgent, normal, large))
	d := pull(t, s, urgent, normal, large)
	require.EqualValues(t, 2, d.Run)
	require.Equal(t, normal, d.Lane)
}

// arrived waits until what hands messages out has them: it may hear of them a
// moment after they were stored.
func arrived(t *testing.T, s *System, want map[ci.Lane]int) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, err := s.Queue.Depth(within(t, bound))
		for l, n := range want {
			if err != nil || got[l] != n {
				return false
			}
		}
		return true
	}, bound, 10*time.Millisecond)
}

func otherLanes(t *testing.T, s *System) {
	publish(t, s, large, 1)
	empty(t, s, 300*time.Millisecond, urgent, normal)
	empty(t, s, 50*time.Millisecond)
	require.EqualValues(t, 1, take(t, s, large))
}

func newClasses(t *testing.T, s *System) {
	got := make(chan int64, 1)
	fresh := ci.Lane{Class: "gpu.v2_x-L", Priority: ci.PriorityUrgent}
	go func() {
		if d, err := s.Queue.Pull(within(t, bound), []ci.Lane{normal, fresh}); err == nil {
			got <- d.Run
		}
	}()
	publish(t, s, fresh, 9)
	require.EqualValues(t, 9, <-got)
	// These would be one, were the dot kept as it is.
	publish(t, s, ci.Lane{Class: "a.urgent", Priority: ci.PriorityNormal}, 10)
	publish(t, s, ci.Lane{Class: "a", Priority: ci.PriorityUrgent}, 11)
	require.EqualValues(t, 11, take(t, s, ci.Lane{Class: "a", Priority: ci.PriorityUrgent}))
	require.EqualValues(t, 10, take(t, s, ci.Lane{Class: "a.urgent", Priority: ci.PriorityNormal}))
}

func wrongLane(t *testing.T, s *System) {
	for _, l := range []ci.Lane{
		{Class: "", Priority: ci.PriorityNormal},
		{Class: "a b", Priority: ci.PriorityNormal},
		{Class: "a*", Priority: ci.PriorityNormal},
		{Class: ">", Priority: ci.PriorityNormal},
		{Class: "small", Priority: ""},
		{Class: "small", Priority: "soon"},
	} {
		err := s.Queue.Publish(t.Context(), []queue.Message{{Run: 1, Lane: l}})
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v: %v", l, err)
		_, err = s.Queue.Pull(within(t, time.Second), []ci.Lane{l})
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v: %v", l, err)
	}
	for _, run := range []int64{0, -1} {
		err := s.Queue.Publish(t.Context(), []queue.Message{{Run: run, Lane: normal}})
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v", err)
	}
}

func thousand(t *testing.T, s *System) {
	lanes := []ci.Lane{urgent, normal, large}
	const n = 1000
	ms := make([]queue.Message, 0, n)
	for i := range int64(n) {
		ms = append(ms, queue.Message{Run: i + 1, Lane: lanes[i%3]})
	}
	start := time.Now()
	require.NoError(t, s.Queue.Publish(within(t, bound), ms))
	published := time.Since(start)
	seen := map[int64]bool{}
	last := map[ci.Lane]int64{}
	for range n {
		d := pull(t, s, lanes...)
		require.NoError(t, d.Ack(within(t, bound)))
		require.False(t, seen[d.Run], "run %d came twice", d.Run)
		require.Greater(t, d.Run, last[d.Lane])
		seen[d.Run], last[d.Lane] = true, d.Run
	}
	t.Logf("%d published in %s, pulled and acknowledged in %s", n, published, time.Since(start)-published)
	empty(t, s, 100*time.Millisecond, lanes...)
}

func depth(t *testing.T, s *System) {
	publish(t, s, normal, 1, 2, 3)
	publish(t, s, urgent, 4)
	d := pull(t, s, normal)
	require.Eventually(t, func() bool {
		got, err := s.Queue.Depth(within(t, bound))
		return err == nil && got[normal] == 2 && got[urgent] == 1 && got[large] == 0
	}, bound, 10*time.Millisecond)
	require.NoError(t, d.Ack(within(t, bound)))
	require.NoError(t, s.Queue.Check(within(t, bound)))
}
