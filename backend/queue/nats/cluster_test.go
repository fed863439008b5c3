package nats

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest"
	"ci/pkg/ci"
	"ci/pkg/porttest"
)

// bound is longer than anything takes that works, on a machine that is busy.
const bound = 2 * time.Minute

// cluster is three servers that know each other, each with its own store.
type cluster struct {
	dir      string
	nodes    [3]*server.Server
	clients  [3]int // ports
	routes   [3]int
	accounts int
	used     atomic.Int32
}

// startCluster starts one with accounts, each of which is a system of its own.
func startCluster(t *testing.T, accounts int) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), accounts: accounts}
	t.Cleanup(c.stopAll)
	for try := 1; ; try++ {
		ports := porttest.Free(t, "127.0.0.1", 6)
		copy(c.clients[:], ports)
		copy(c.routes[:], ports[3:])
		ok := true
		for i := range c.nodes {
			ok = ok && c.begin(t, i)
		}
		if ok {
			break
		}
		require.Less(t, try, 3, "no cluster of servers starts")
		c.stopAll() // another process may have taken a port meanwhile
	}
	c.whole(t)
	return c
}

func (c *cluster) stopAll() {
	for i := range c.nodes {
		c.stop(i)
	}
}

func (c *cluster) start(t *testing.T, i int) {
	t.Helper()
	require.True(t, c.begin(t, i), "the server is not ready")
}

// begin says whether the server is ready.
func (c *cluster) begin(t *testing.T, i int) bool {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: n%d\nlisten: \"127.0.0.1:%d\"\n", i, c.clients[i])
	fmt.Fprintf(&b, "jetstream { store_dir: %q, max_mem: 64M, max_file: 1G, sync_interval: always }\n", filepath.Join(c.dir, fmt.Sprint(i)))
	fmt.Fprintf(&b, "cluster { name: test, listen: \"127.0.0.1:%d\", no_advertise: true, routes: [", c.routes[i])
	for _, port := range c.routes {
		fmt.Fprintf(&b, "\"nats://127.0.0.1:%d\", ", port)
	}
	b.WriteString("] }\naccounts {\n")
	b.WriteString("SYS { users: [{ user: sys, password: secret }], exports: [{ service: \"$SYS.REQ.SERVER.PING.JSZ\", response_type: stream }] }\n")
	for a := range c.accounts {
		fmt.Fprintf(&b, "a%d { jetstream: enabled, users: [{ user: a%d, password: secret }], imports: [{ service: { account: SYS, subject: \"$SYS.REQ.SERVER.PING.JSZ\" } }] }\n", a, a)
	}
	b.WriteString("blind { jetstream: enabled, users: [{ user: blind, password: secret }] }\n}\nsystem_account: SYS\n")
	path := filepath.Join(c.dir, fmt.Sprintf("%d.conf", i))
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	opts, err := server.ProcessConfigFile(path)
	require.NoError(t, err)
	opts.NoSigs, opts.NoLog = true, true
	srv, err := server.NewServer(opts)
	require.NoError(t, err)
	srv.Start()
	c.nodes[i] = srv
	return srv.ReadyForConnections(bound / 4)
}

func (c *cluster) stop(i int) {
	if srv := c.nodes[i]; srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		c.nodes[i] = nil
	}
}

// wipe empties the store of a server that is stopped.
func (c *cluster) wipe(t *testing.T, i int) {
	t.Helper()
	require.NoError(t, os.RemoveAll(filepath.Join(c.dir, fmt.Sprint(i))))
}

// whole waits until one leads, and all three are there.
func (c *cluster) whole(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, srv := range c.nodes {
			if srv != nil && srv.JetStreamIsLeader() {
				return len(srv.JetStreamClusterPeers()) == len(c.nodes)
			}
		}
		return false
	}, bound, 10*time.Millisecond)
}

// url names all servers, as a user whose account nobody else has.
func (c *cluster) url(t *testing.T) string {
	t.Helper()
	a := int(c.used.Add(1)) - 1
	require.Less(t, a, c.accounts)
	return c.urlOf(fmt.Sprintf("a%d", a))
}

func (c *cluster) urlOf(user string) string {
	var all []string
	for _, port := range c.clients {
		all = append(all, fmt.Sprintf("nats://%s:secret@127.0.0.1:%d", user, port))
	}
	return strings.Join(all, ",")
}

// leader is who leads the stream of a driver; -1 when nobody does.
func (c *cluster) leader(ctx context.Context, d *Driver) int {
	s, err := d.js.Stream(ctx, streamName)
	if err != nil || s.CachedInfo().Cluster == nil {
		return -1
	}
	for i := range c.nodes {
		if s.CachedInfo().Cluster.Leader == fmt.Sprintf("n%d", i) {
			return i
		}
	}
	return -1
}

func (c *cluster) leads(t *testing.T, d *Driver) (i int) {
	t.Helper()
	require.Eventually(t, func() bool { i = c.leader(t.Context(), d); return i >= 0 }, bound, 10*time.Millisecond)
	return i
}

// current waits until all servers have what the leader has. Until then the
// next one that fails would be one too many.
func current(t *testing.T, d *Driver) {
	t.Helper()
	require.Eventually(t, func() bool {
		s, err := d.js.Stream(t.Context(), streamName)
		if err != nil || s.CachedInfo().Cluster == nil || len(s.CachedInfo().Cluster.Replicas) != 2 {
			return false
		}
		for _, r := range s.CachedInfo().Cluster.Replicas {
			if !r.Current || r.Offline {
				return false
			}
		}
		return true
	}, bound, 10*time.Millisecond)
}

// patient is for clusters, where an election takes its time.
func patient(t *testing.T, url string) Config {
	cfg := testConfig(t)
	cfg.URL = url
	return cfg
}

// TestCluster is about three servers, with three replicas of each message. Its
// parts come one after the other: elections are slow on a machine that is busy.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 40)
	t.Run("conformance", func(t *testing.T) {
		queuetest.Calm(t, func(t *testing.T, ackWait time.Duration) *queuetest.System { return c.system(t, ackWait) })
	})
	t.Run("warnings", func(t *testing.T) { clusterWarnings(t, c) })
	c.stopAll()
	t.Run("all servers stop", func(t *testing.T) {
		queuetest.Faults(t, func(t *testing.T, ackWait time.Duration) *queuetest.System {
			return startCluster(t, 1).system(t, ackWait)
		})
	})
	t.Run("a flood", clusterFlood)
	t.Run("opened before anybody leads", clusterWithoutLeader)
}

// clusterWithoutLeader opens a driver while one of three servers runs, which
// answers no question of ours, and starts the others once it was asked in vain.
func clusterWithoutLeader(t *testing.T) {
	c := startCluster(t, 1)
	c.stopAll()
	c.start(t, 0)
	cfg := patient(t, c.url(t))
	asked := asksAgain{cfg.Log.Handler(), make(chan struct{}), new(sync.Once)}
	cfg.Log = slog.New(asked)
	opened := make(chan error, 1)
	go func() {
		d, err := Open(cfg)
		if err == nil {
			err = d.Close()
		}
		opened <- err
	}()
	select {
	case <-asked.again:
	case err := <-opened:
		t.Fatalf("it did not ask again: %v", err)
	}
	c.start(t, 1)
	c.start(t, 2)
	require.NoError(t, <-opened)
}

// asksAgain is a log that tells when a driver asks a second time.
type asksAgain struct {
	slog.Handler
	again chan struct{}
	once  *sync.Once
}

// Handle implements slog.Handler.
func (a asksAgain) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "asked again") {
		a.once.Do(func() { close(a.again) })
	}
	return a.Handler.Handle(ctx, r)
}

func (c *cluster) system(t *testing.T, ackWait time.Duration) *queuetest.System {
	cfg := patient(t, c.url(t))
	cfg.AckWait = ackWait
	d := open(t, cfg)
	s, err := d.js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	require.Equal(t, 3, s.CachedInfo().Config.Replicas)
	return &queuetest.System{
		Queue: d, Bus: d.Bus(), AckWait: ackWait, Replicated: true,
		Poison: func(t *testing.T, l ci.Lane) { poison(t, d, l) },
		Restart: func(t *testing.T, wipe bool) {
			for i := range c.nodes {
				c.stop(i)
				if wipe {
					c.wipe(t, i)
				}
			}
			for i := range c.nodes {
				c.start(t, i)
			}
			c.whole(t)
		},
	}
}

// clusterWarnings wants to be told of settings that lose messages, and of no others.
func clusterWarnings(t *testing.T, c *cluster) {
	d := open(t, patient(t, c.url(t)))
	require.Empty(t, d.Warnings(t.Context()))
	one := open(t, patient(t, c.url(t)+"?replicas=1"))
	require.Len(t, one.Warnings(t.Context()), 1)
	require.Contains(t, one.Warnings(t.Context())[0], "kept by 1 server")
	blind := open(t, patient(t, c.urlOf("blind")))
	require.Empty(t, blind.settings(t.Context()), "nobody answers")
	require.Empty(t, blind.Warnings(t.Context()), "what can't be seen is no warning")
	require.Eventually(t, func() bool { return len(d.settings(t.Context())) == 3 }, bound, 10*time.Millisecond)
}
