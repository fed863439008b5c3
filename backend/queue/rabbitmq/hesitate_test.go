package rabbitmq

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
)

// busiestFirst has two wait: whoever hesitates less gets the message, again and
// again, although the other waited first; and the other gets what comes beyond.
func busiestFirst(t *testing.T, server *rabbitserver.Server) {
	cfg := testConfig(t, server.URL(t))
	cfg.AckWait, cfg.Poll = time.Minute, time.Hour // looks by itself would take out of turn
	publisher, eager, idle := open(t, cfg), open(t, cfg), open(t, cfg)
	busy, other := make(chan ci.Delivery), make(chan ci.Delivery)
	pull := func(d *Driver, hesitation time.Duration, got chan ci.Delivery) {
		del, err := d.PullAfter(t.Context(), []ci.Lane{testLane}, hesitation)
		if err == nil {
			got <- del
		}
	}
	go pull(idle, 20*time.Millisecond, other)
	consumersAre(t, publisher, 1)
	for i := range int64(5) {
		go pull(eager, 5*time.Millisecond, busy)
		consumersAre(t, publisher, 2)
		publish(t, publisher, i+1)
		select {
		case d := <-busy:
			require.Equal(t, i+1, d.Run)
			require.NoError(t, d.Ack(t.Context()))
		case d := <-other:
			require.Fail(t, "the one who hesitates was first", "run %d", d.Run)
		}
		consumersAre(t, publisher, 1)
	}
	publish(t, publisher, 6)
	d := <-other
	require.Equal(t, int64(6), d.Run, "nobody else wants it")
	require.NoError(t, d.Ack(t.Context()))
}

// consumersAre waits until so many Pulls wait in the lane.
func consumersAre(t *testing.T, d *Driver, want int) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := d.pulls.wait(t.Context())
		require.NoError(t, err)
		ch, err := conn.Channel()
		require.NoError(t, err)
		defer func() { _ = ch.Close() }()
		q, err := ch.QueueDeclarePassive(queueOf(testLane), true, false, false, false, nil)
		return err == nil && q.Consumers == want
	}, bound, 5*time.Millisecond)
}

func TestEagerness(t *testing.T) {
	t.Parallel()
	for hesitation, want := range map[time.Duration]int32{
		0: 1_000_000, -time.Second: 1_000_000, time.Microsecond: 999_999, 25 * time.Millisecond: 975_000, time.Second: 0, time.Hour: 0,
	} {
		require.Equal(t, want, eagerness(hesitation), hesitation)
	}
}
