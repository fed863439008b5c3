package rabbitmq

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
)

// owed has the server owe each of the answers that the driver ever waits for,
// once, on connections that live: none of them may be waited for in vain. In
// the same way a message is kept back that the server has given to a Pull.
func owed(t *testing.T, server *rabbitserver.Server) {
	for name, m := range map[string]method{
		"connection.tune":     {10, 30},
		"connection.open-ok":  {10, 41},
		"channel.open-ok":     {20, 11},
		"channel.close-ok":    {20, 41},
		"exchange.declare-ok": {40, 11},
		"queue.declare-ok":    {50, 11},
		"queue.bind-ok":       {50, 21},
		"basic.qos-ok":        {60, 11},
		"basic.consume-ok":    {60, 21},
		"basic.deliver":       {60, 60},
		"basic.get-ok":        {60, 71},
		"basic.get-empty":     {60, 72},
		"basic.ack":           {60, 80},
		"confirm.select-ok":   {85, 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oweOne(t, server, m)
		})
	}
	t.Run("connection.close-ok", func(t *testing.T) {
		t.Parallel()
		s, url := before(t, server.URL(t))
		d, err := Open(testConfig(t, url))
		require.NoError(t, err)
		s.swallow(method{10, 51})
		closed := make(chan error, 1)
		go func() { closed <- d.Close() }()
		select {
		case err := <-closed:
			require.NoError(t, err)
		case <-time.After(bound):
			t.Fatal("Close waits for an answer that does not come")
		}
		require.True(t, s.swallowed())
	})
}

// oweOne makes all connections anew, with one answer missing: sooner or later
// runs go through as if nothing were.
func oweOne(t *testing.T, server *rabbitserver.Server, m method) {
	s, url := before(t, server.URL(t))
	cfg := testConfig(t, url)
	cfg.Answer = time.Second
	d := open(t, cfg)
	came := make(chan int64)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for {
			m, err := d.Pull(ctx, []ci.Lane{testLane})
			if err != nil {
				return
			}
			_ = m.Ack(ctx) // when it is lost with the connection, the message comes again
			select {
			case came <- m.Run:
			case <-ctx.Done():
				return
			}
		}
	}()
	send := func(run int64) {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			assert.NoError(c, d.Publish(t.Context(), messages(run)))
		}, bound, 10*time.Millisecond)
		for heardOf(t, came) != run { // an earlier one may come twice
		}
	}
	send(1)
	s.swallow(m)
	s.cut()
	run := int64(1)
	for end := time.Now().Add(bound); !s.swallowed(); { // some answers are owed only now and then
		require.False(t, time.Now().After(end), "the server never answers with it")
		run++
		send(run)
	}
	for range 3 {
		run++
		send(run)
	}
}
