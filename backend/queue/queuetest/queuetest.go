// Package queuetest is what every queue and bus must do. Each driver runs it
// against real servers.
package queuetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// System is one queue server of its own and a client of it.
type System struct {
	Queue queue.Queue
	Bus   queue.Bus
	// AckWait is how long a message may be in hand: what start was told.
	AckWait time.Duration
	// Replicated says that several servers keep each message. One that was
	// acknowledged may count as live until all of them know.
	Replicated bool
	// Restart stops the server and starts it again, with an empty store if wipe
	// is set. It may replace Queue and Bus; clients that stay have to recover.
	Restart func(t *testing.T, wipe bool)
	// Poison puts a message that names no run into a lane.
	Poison func(t *testing.T, lane ci.Lane)
}

// bound is longer than anything takes that works, on a machine that is busy.
const bound = time.Minute

var (
	normal = ci.Lane{Class: "small", Priority: ci.PriorityNormal}
	urgent = ci.Lane{Class: "small", Priority: ci.PriorityUrgent}
	large  = ci.Lane{Class: "large", Priority: ci.PriorityNormal}
)

const (
	// brief is for cases that wait for the end of AckWait. A machine that is busy
	// must still get from a pull to its Ack within it.
	brief = 3 * time.Second
	// ample is for all others: no message comes again because the machine is busy.
	ample = 20 * time.Second
)

// one is a case of the suite.
type one struct {
	name    string
	test    func(*testing.T, *System)
	ackWait time.Duration
}

// Start returns a fresh system with an AckWait and cleans up after t.
type Start func(t *testing.T, ackWait time.Duration) *System

// Run runs the suite.
func Run(t *testing.T, start Start) {
	Calm(t, start)
	Faults(t, start)
}

// Calm runs the cases that leave the server alone, so that they may share one.
func Calm(t *testing.T, start Start) {
	run(t, start, []one{
		{"a lane keeps its order", order, ample},
		{"lanes are read in the order of preference", preference, ample},
		{"a pull sees its lanes alone", otherLanes, ample},
		{"classes appear at any time", newClasses, ample},
		{"a wrong lane is refused", wrongLane, ample},
		{"each message goes to one puller", onePuller, ample},
		{"a waiting run is not doubled", dedupWaiting, ample},
		{"a run in hand is not doubled", dedupInHand, ample / 2},
		{"fifty times the same is once", fiftyTimes, brief},
		{"an acknowledged run can be queued again", againAfterAck, ample},
		{"a message comes back after its delay", nakDelay, brief},
		{"a message that is given back comes at once", nakNow, ample},
		{"a message in hand for too long comes back", ackWait, brief},
		{"a thousand at once", thousand, ample},
		{"depth counts what waits", depth, ample},
		{"a pull is woken", woken, ample},
		{"pull ends with its context", pullCancelled, ample},
		{"pull ends with Close", pullClosed, ample},
		{"a poison message is thrown away", poison, brief},
		{"topics and wildcards", topics, ample},
		{"a wrong topic is refused", wrongTopics, ample},
		{"messages of a topic stay in order", busOrder, ample},
		{"cancel ends a subscription", busCancel, ample},
		{"a stalled subscriber holds up nobody", stalled, ample},
	})
}

// Faults runs the cases that call Restart.
func Faults(t *testing.T, start Start) {
	run(t, start, []one{
		{"a restart keeps messages", restart, brief},
		{"a wiped store is begun anew", wipe, ample},
	})
}

func run(t *testing.T, start Start, cases []one) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, start(t, c.ackWait))
		})
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// publish keeps trying while the server is away.
func publish(t *testing.T, s *System, lane ci.Lane, runs ...int64) {
	t.Helper()
	ms := make([]queue.Message, 0, len(runs))
	for _, r := range runs {
		ms = append(ms, queue.Message{Run: r, Lane: lane})
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		err := s.Queue.Publish(within(t, bound), ms)
		if err != nil {
			require.Equal(c, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
		}
		require.NoError(c, err)
	}, bound, 20*time.Millisecond)
}

// pull takes one message, which it leaves in hand.
func pull(t *testing.T, s *System, lanes ...ci.Lane) ci.Delivery {
	t.Helper()
	d, err := s.Queue.Pull(within(t, bound), lanes)
	require.NoError(t, err)
	return d
}

// take pulls one message and acknowledges it.
func take(t *testing.T, s *System, lanes ...ci.Lane) int64 {
	t.Helper()
	d := pull(t, s, lanes...)
	require.NoError(t, d.Ack(within(t, bound)))
	return d.Run
}

// empty wants nothing to come for a while.
func empty(t *testing.T, s *System, d time.Duration, lanes ...ci.Lane) {
	t.Helper()
	got, err := s.Queue.Pull(within(t, d), lanes)
	require.Error(t, err, "run %d came, and nothing should have", got.Run)
	require.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
}
