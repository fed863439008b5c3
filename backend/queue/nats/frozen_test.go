package nats

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// relay is an address of a server that can freeze: connections stand, and nothing comes through.
type relay struct {
	net.Listener
	frozen atomic.Bool
}

func startRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = near.Close() })
			far, err := net.Dial("tcp", to)
			if !assert.NoError(t, err) {
				return
			}
			t.Cleanup(func() { _ = far.Close() })
			go func() { _, _ = io.Copy(mute{far, r}, near) }()
			go func() { _, _ = io.Copy(mute{near, r}, far) }()
		}
	}()
	return r
}

// mute writes nothing while its relay is frozen.
type mute struct {
	io.Writer
	r *relay
}

// Write implements io.Writer.
func (m mute) Write(p []byte) (int, error) {
	if m.r.frozen.Load() {
		return len(p), nil
	}
	return m.Writer.Write(p)
}

// A node freezes, or is cut off, while its connections stand. Its clients go
// to another one long before a lease is over, and hear again.
func TestNodeFreezes(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	addr := e.srv.Addr().String()
	nodes := []*relay{startRelay(t, addr), startRelay(t, addr)}
	cfg := testConfig(t)
	cfg.URL = "nats://" + nodes[0].Addr().String() + ",nats://" + nodes[1].Addr().String()
	d := open(t, cfg)
	heard := make(chan struct{}, 1)
	_, err := d.Bus().Subscribe("x", func(string, []byte) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	require.NoError(t, err)
	for _, n := range nodes {
		if strings.HasSuffix(d.conn.ConnectedUrl(), n.Addr().String()) {
			n.frozen.Store(true)
		}
	}
	begin := time.Now()
	require.Error(t, d.Check(t.Context()), "it is connected to the node that is frozen")
	require.Eventually(t, func() bool {
		return d.Check(t.Context()) == nil
	}, bound, 100*time.Millisecond)
	t.Logf("it was with the other node after %s", time.Since(begin).Round(time.Millisecond))
	require.Less(t, time.Since(begin), time.Minute)
	require.NoError(t, d.Bus().Publish(t.Context(), "x", nil))
	select {
	case <-heard:
	case <-time.After(bound):
		t.Fatal("its subscription is forgotten")
	}
}
