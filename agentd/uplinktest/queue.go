package uplinktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// largeJob makes runs that wait in the lanes that these tests read.
const largeJob = `{"script":"true","resources":{"cpus":4,"memory":"8GiB"}}`

func pull(k *kit) {
	k.put(largeJob)
	k.nothingWaits()
	run := k.trigger()
	c, work, err := k.next(k.t.Context(), k.Side, k.agent)
	require.NoError(k.t, err)
	require.Equal(k.t, run.ID, c.Run)
	require.Equal(k.t, "true", work.Run.Spec.Script)
	require.NoError(k.t, k.Started(k.t.Context(), c))
	require.NoError(k.t, k.Finish(k.t.Context(), c, end(ci.OutcomeAborted, "")))

	// A run that was aborted while it waited is not handed out.
	gone, left := k.trigger(), k.trigger()
	_, err = k.Admin.Abort(k.t.Context(), k.job, gone.ID)
	require.NoError(k.t, err)
	c, _, err = k.next(k.t.Context(), k.Side, k.agent)
	require.NoError(k.t, err)
	require.Equal(k.t, left.ID, c.Run)
}

// nothingWaits pulls in vain. The lanes are known to the queue afterwards.
func (k *kit) nothingWaits() {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 300*time.Millisecond)
	defer cancel()
	_, _, err := k.next(ctx, k.Side, k.agent)
	require.ErrorIs(k.t, err, context.DeadlineExceeded, "nothing waits")
}

func urgentFirst(k *kit) {
	k.put(largeJob)
	k.nothingWaits()
	normal, urgent := k.triggerAs(ci.PriorityNormal), k.triggerAs(ci.PriorityUrgent)
	k.eventually(func() error { // both messages are there
		depths, err := k.Depth(k.t.Context())
		if err != nil {
			return err
		}
		n := 0
		for _, lane := range large() {
			n += depths[lane]
		}
		if n < 2 {
			return fmt.Errorf("%d messages wait", n)
		}
		return nil
	})
	var got []int64
	for range 2 {
		c, _, err := k.next(k.t.Context(), k.Side, k.agent)
		require.NoError(k.t, err)
		got = append(got, c.Run)
	}
	require.Equal(k.t, []int64{urgent.ID, normal.ID}, got)
}

// pullsGivenUp gives up one pull after the other while runs come in: each run
// is handed out, and once.
func pullsGivenUp(k *kit) {
	const n = 20
	k.put(largeJob)
	want := map[int64]bool{}
	var feed sync.WaitGroup
	ids := make(chan int64, n)
	feed.Go(func() {
		for range n {
			time.Sleep(time.Duration(rand.N(int64(80 * time.Millisecond))))
			ids <- k.trigger().ID
		}
	})
	got := map[int64]bool{}
	for over := time.Now().Add(patience); len(got) < n && time.Now().Before(over); {
		ctx, cancel := context.WithTimeout(k.t.Context(), time.Duration(rand.N(int64(150*time.Millisecond))))
		c, _, err := k.next(ctx, k.Side, k.agent)
		cancel()
		if err != nil {
			continue
		}
		require.False(k.t, got[c.Run], "run %d came twice", c.Run)
		got[c.Run] = true
		require.NoError(k.t, k.Started(k.t.Context(), c))
		require.NoError(k.t, k.Finish(k.t.Context(), c, end(ci.OutcomeAborted, "")))
	}
	feed.Wait()
	close(ids)
	for id := range ids {
		want[id] = true
	}
	require.Equal(k.t, want, got)
}

// sharedQueue has two agents pull beside each other: each run goes to one.
func sharedQueue(k *kit) {
	const n = 20
	k.put(largeJob)
	for range n {
		k.trigger()
	}
	var mu sync.Mutex
	owner := map[int64]string{}
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	var agents sync.WaitGroup
	for range 2 {
		agent := "agent-" + word()
		side := k.Open(k.t, agent)
		agents.Go(func() {
			for {
				c, _, err := k.next(ctx, side, agent)
				if err != nil {
					return
				}
				mu.Lock()
				if owner[c.Run] != "" {
					k.t.Errorf("run %d went to %s and to %s", c.Run, owner[c.Run], agent)
				}
				owner[c.Run] = agent
				if len(owner) == n {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	agents.Wait()
	require.Len(k.t, owner, n)
	for run, agent := range owner {
		require.Equal(k.t, agent, k.run(run).Agent)
	}
}
