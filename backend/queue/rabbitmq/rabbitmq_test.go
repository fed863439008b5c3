package rabbitmq

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest"
	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
)

// testAckWait is so long that no message comes again because the machine is busy.
const testAckWait = 20 * time.Second

// testWriter shows a log beside the test that made it.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil { // after that t.Log panics
		w.t.Log(string(p))
	}
	return len(p), nil
}

func testConfig(t *testing.T, url string) Config {
	return Config{URL: url, AckWait: testAckWait, Poll: 2 * time.Second, Retry: 100 * time.Millisecond, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
}

func open(t *testing.T, cfg Config) *Driver {
	t.Helper()
	d, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// TestDriver has one server for all that leaves it alone.
func TestDriver(t *testing.T) {
	t.Parallel()
	tls := newSecured(t)
	server := rabbitserver.Start(t, tls.lines...)
	t.Run("conformance", func(t *testing.T) {
		queuetest.Calm(t, func(t *testing.T, ackWait time.Duration) *queuetest.System { return system(t, server, ackWait) })
	})
	for name, test := range map[string]func(*testing.T, *rabbitserver.Server){
		"poison ends in ci.dead":                   poisonIsDead,
		"a queue is deleted by hand":               queueIsDeleted,
		"the busiest is first":                     busiestFirst,
		"two publishers":                           twoPublishers,
		"messages are removed by hand":             lostMessages,
		"a message was overtaken":                  overtakenMessage,
		"addresses and servers that can't be used": refusals,
		"TLS":                        tls.works,
		"an agent's rights":          rights,
		"an answer that never comes": owed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server)
		})
	}
}

// TestFaults has one server for all that stop or change it, one at a time.
func TestFaults(t *testing.T) {
	t.Parallel()
	server, one := rabbitserver.Start(t), newTurn()
	t.Run("conformance", func(t *testing.T) {
		queuetest.Faults(t, func(t *testing.T, ackWait time.Duration) *queuetest.System {
			require.NoError(t, one.take(t.Context()))
			t.Cleanup(one.leave)
			return system(t, server, ackWait)
		})
	})
	for name, test := range map[string]func(*testing.T, *rabbitserver.Server){
		"a job is longer than RabbitMQ's limit": ackTimeout,
		"a thousand runs and five restarts":     flood,
		"the server stands still":               frozen,
		"who listens while it is away":          away,
		"the server is short of memory":         shortOfMemory,
	} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}

func system(t *testing.T, server *rabbitserver.Server, ackWait time.Duration) *queuetest.System {
	cfg := testConfig(t, server.URL(t))
	cfg.AckWait = ackWait
	d := open(t, cfg)
	return &queuetest.System{
		Queue: d, Bus: d.Bus(), AckWait: ackWait,
		Restart: func(t *testing.T, wipe bool) {
			if wipe {
				server.Kill(t, true)
			} else {
				server.Restart(t)
			}
		},
		Poison: func(t *testing.T, l ci.Lane) { poison(t, d, l) },
	}
}
