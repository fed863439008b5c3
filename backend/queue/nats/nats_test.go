package nats

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest"
	"ci/pkg/ci"
)

const testAckWait = 700 * time.Millisecond

func testConfig(t *testing.T) Config {
	return Config{AckWait: testAckWait, Poll: 200 * time.Millisecond, Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
}

// testWriter shows a log beside the test that made it.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil { // after that t.Log panics
		w.t.Log(string(p))
	}
	return len(p), nil
}

func open(t *testing.T, cfg Config) *Driver {
	t.Helper()
	d, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T, ackWait time.Duration) *queuetest.System {
		cfg := testConfig(t)
		cfg.Dir, cfg.AckWait = t.TempDir(), ackWait
		d := open(t, cfg)
		s := &queuetest.System{Queue: d, Bus: d.Bus(), AckWait: ackWait}
		s.Restart = func(t *testing.T, wipe bool) {
			require.NoError(t, d.Close())
			if wipe {
				require.NoError(t, os.RemoveAll(cfg.Dir))
			}
			d = open(t, cfg)
			s.Queue, s.Bus = d, d.Bus()
		}
		s.Poison = func(t *testing.T, l ci.Lane) { poison(t, d, l) }
		return s
	})
}

func TestExternal(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T, ackWait time.Duration) *queuetest.System {
		e := startExternal(t)
		cfg := testConfig(t)
		cfg.URL, cfg.AckWait = e.srv.ClientURL(), ackWait
		d := open(t, cfg)
		return &queuetest.System{
			Queue: d, Bus: d.Bus(), AckWait: ackWait,
			Restart: e.restart,
			Poison:  func(t *testing.T, l ci.Lane) { poison(t, d, l) },
		}
	})
}

func poison(t *testing.T, d *Driver, l ci.Lane) {
	for _, name := range []string{"abc", "-1", "0", "007", "99999999999999999999"} {
		_, err := d.js.Publish(t.Context(), prefix(l)+name, []byte("\x00garbage"))
		if !live(err) {
			require.NoError(t, err)
		}
	}
	_, err := d.js.Publish(t.Context(), prefix(l)+"1", make([]byte, 500_000))
	require.Error(t, err, "larger than anything of ours")
}

// external is a server with a real listener, as another process would have.
type external struct {
	srv *server.Server
	dir string
}

func startExternal(t testing.TB) *external {
	t.Helper()
	e := &external{dir: t.TempDir()}
	e.start(t, server.RANDOM_PORT)
	t.Cleanup(func() { e.stop() })
	return e
}

func (e *external) start(t testing.TB, port int) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: e.dir, SyncAlways: true,
		JetStreamMaxMemory: 16 << 20, JetStreamMaxStore: 1 << 30,
	})
	require.NoError(t, err)
	srv.Start()
	require.True(t, srv.ReadyForConnections(bound))
	e.srv = srv
}

func (e *external) stop() {
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
}

func (e *external) restart(t *testing.T, wipe bool) {
	port := e.srv.Addr().String()
	e.stop()
	if wipe {
		require.NoError(t, os.RemoveAll(filepath.Join(e.dir, server.JetStreamStoreDir)))
	}
	e.start(t, portOf(t, port))
}
