package store_test

import (
	"context"
	"io"
	"net"
	neturl "net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/backend/store/storetest/postgres"
	"ci/pkg/ci"
)

// hole is a way to a server whose connections can be cut off without a word to
// either end, as those of a server are that has lost its power. New ones are
// carried: its address is another's by then.
type hole struct {
	mu    sync.Mutex
	conns []*passage
}

type passage struct {
	net.Conn
	mu     sync.Mutex
	closed bool // nothing passes any more
}

// Write implements io.Writer for what comes from the other end.
func (p *passage) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return len(b), nil
	}
	return p.Conn.Write(b)
}

// shut cuts off what there is, and returns how much that is.
func (h *hole) shut() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		c.mu.Lock()
		c.closed = true
		c.mu.Unlock()
	}
	return len(h.conns) / 2
}

func (h *hole) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns) / 2
}

// open listens, and returns where.
func (h *hole) open(t *testing.T, socket string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				_ = client.Close()
				continue
			}
			a, b := &passage{Conn: client}, &passage{Conn: server}
			h.mu.Lock()
			h.conns = append(h.conns, a, b)
			h.mu.Unlock()
			served.Go(func() { _, _ = io.Copy(a, server); _ = client.Close() })
			served.Go(func() { _, _ = io.Copy(b, client); _ = server.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		h.mu.Lock()
		for _, c := range h.conns {
			_ = c.Close()
		}
		h.mu.Unlock()
		served.Wait()
	})
	return l.Addr().String()
}

// blackHole cuts all connections off without a word: nobody waits for longer
// than a minute, although no call here has a limit of its own, and who
// comes later is served by new connections.
func blackHole(t *testing.T, server *postgres.Server) {
	var h hole
	url, err := neturl.Parse(server.Database(t))
	require.NoError(t, err)
	url.Host, url.RawQuery = h.open(t, server.Socket()), ""
	s := open(t, url.String())
	id, err := insert(t.Context(), s)
	require.NoError(t, err)
	several(t, s, 4)

	require.GreaterOrEqual(t, h.shut(), 4)
	time.Sleep(2 * time.Second) // connections that have rested for so long are looked at
	began := time.Now()
	for range 8 {
		_, err = s.GetRun(t.Context(), "", id)
		require.NoError(t, err)
	}
	require.Less(t, time.Since(began), 30*time.Second, "of the API, say")

	several(t, s, 2)
	before := h.count()
	errs := make(chan error, 2)
	for range 2 { // in the midst of it
		go func() {
			errs <- s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				h.shut()
				_, err := tx.GetRun(ctx, "", id)
				return err
			})
		}()
	}
	began = time.Now()
	for range 2 {
		err := <-errs
		require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
		require.ErrorContains(t, err, "does not answer")
	}
	require.Less(t, time.Since(began), 2*time.Minute)
	_, err = s.GetRun(t.Context(), "", id)
	require.NoError(t, err)
	require.Greater(t, h.count(), before)
}

// several makes a store open n connections at least.
func several(t *testing.T, s *store.Store, n int) {
	t.Helper()
	var all, done sync.WaitGroup
	all.Add(n)
	for range n {
		done.Go(func() {
			met := false
			err := s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.LastEvent(ctx); err != nil {
					return err
				}
				if !met {
					met = true
					all.Done()
					all.Wait()
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}
