package rabbitmq

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
)

// replace changes the log-in and, unless it is "", the vhost of an address.
func replace(t *testing.T, address, user, password, vhost string) string {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.User = url.UserPassword(user, password)
	if vhost != "" {
		u.Path = vhost
	}
	return u.String()
}

func (v *live) has(run int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.runs[run]
	return ok
}

// twoPublishers has two processes that publish and one that pulls.
func twoPublishers(t *testing.T, server *rabbitserver.Server) {
	cfg := testConfig(t, server.URL(t))
	cfg.AckWait = bound
	a, b, agent := open(t, cfg), open(t, cfg), open(t, cfg)
	publish(t, b, 1) // from here on it hears of others
	publish(t, a, 2, 3)
	require.Eventually(t, func() bool { return b.live.has(2) && b.live.has(3) }, bound, time.Millisecond)
	publish(t, b, 1, 2, 3, 4)
	require.Eventually(t, func() bool { return a.live.has(4) }, bound, time.Millisecond)
	publish(t, a, 2, 3, 4)
	for _, want := range []int64{1, 2, 3, 4} {
		require.Equal(t, want, take(t, agent))
	}
	require.Eventually(t, func() bool {
		return !a.live.has(2) && !a.live.has(4) && !b.live.has(1) && !b.live.has(4)
	}, bound, time.Millisecond)
	publish(t, a, 4)
	require.EqualValues(t, 4, take(t, agent))
	require.Zero(t, waiting(t, agent, queueOf(testLane)))
}

// lostMessages wants runs to be queued again whose messages somebody removed.
func lostMessages(t *testing.T, server *rabbitserver.Server) {
	cfg := testConfig(t, server.URL(t))
	cfg.Doubt = time.Nanosecond
	d := open(t, cfg)
	publish(t, d, 1, 2)
	publish(t, d, 1, 2) // both are there: nothing is doubled
	require.Equal(t, 2, waiting(t, d, queueOf(testLane)))
	conn, err := d.pulls.now()
	require.NoError(t, err)
	ch, err := conn.Channel()
	require.NoError(t, err)
	_, err = ch.QueuePurge(queueOf(testLane), false)
	require.NoError(t, err)
	publish(t, d, 1, 2)
	require.EqualValues(t, 1, take(t, d))
	require.EqualValues(t, 2, take(t, d))
}

// overtakenMessage wants a run to be queued again whose message is lost of a
// lane that others keep full, once the database says that it was overtaken.
func overtakenMessage(t *testing.T, server *rabbitserver.Server) {
	cfg := testConfig(t, server.URL(t))
	cfg.Doubt = time.Nanosecond
	d := open(t, cfg)
	publish(t, d, 1, 2, 3)
	conn, err := d.pulls.now()
	require.NoError(t, err)
	ch, err := conn.Channel()
	require.NoError(t, err)
	lost, ok, err := ch.Get(queueOf(testLane), true) // nobody hears of it
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, bodyOf(1), lost.Body)
	publish(t, d, 1, 2, 3)
	require.Equal(t, 2, waiting(t, d, queueOf(testLane)), "it is not missed among the others")
	again := messages(1)
	again[0].Overtaken = true
	require.NoError(t, d.Publish(t.Context(), again))
	require.EqualValues(t, 2, take(t, d))
	require.EqualValues(t, 3, take(t, d))
	require.EqualValues(t, 1, take(t, d))
}

func TestAudit(t *testing.T) {
	t.Parallel()
	other := ci.Lane{Class: "large", Priority: ci.PriorityNormal}
	for _, c := range []struct {
		name             string
		entries, waiting int
		missed           bool
	}{
		{"nothing is doubtful", 0, 0, false},
		{"all are there", 50, 50, false},
		{"some are in hand", 50, 1, false},
		{"none is there", 50, 0, true},
		{"one is there, and a lane of many", 1000, 1, true},
		{"a tenth is on its way", 1000, 890, false},
		{"there are more than known", 10, 500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v live
			for i := range c.entries {
				v.add(messages(int64(i + 1)))
			}
			v.add([]queue.Message{{Run: 1 << 40, Lane: other}})
			require.Equal(t, c.missed, v.audit(testLane, c.waiting))
			require.Equal(t, c.missed || c.entries == 0, !v.has(1))
			require.True(t, v.has(1<<40), "of another lane")
		})
	}
	v := live{doubt: time.Hour}
	v.add(messages(1))
	require.False(t, v.audit(testLane, 0), "it is too young to be doubted")
}
