package rabbitmq

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// method is a class and a method of AMQP 0-9-1, as on the wire.
type method struct{ class, id uint16 }

// swallower stands before a server and keeps back one of its messages: what
// it answers is lost, while the connection lives and heartbeats go on.
type swallower struct {
	l      net.Listener
	server string
	work   sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	want   method
	hungry bool
	had    int
}

// before puts one before the server of an address, and returns the address to
// use instead.
func before(t *testing.T, address string) (*swallower, string) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &swallower{l: l, server: u.Host, open: map[net.Conn]bool{}}
	s.work.Go(s.accept)
	t.Cleanup(func() {
		_ = l.Close()
		s.cut()
		s.work.Wait()
	})
	u.Host = l.Addr().String()
	return s, u.String()
}

// swallow keeps back the next m that the server sends.
func (s *swallower) swallow(m method) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want, s.hungry = m, true
}

// swallowed says whether it has.
func (s *swallower) swallowed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.hungry && s.had > 0
}

// cut ends all connections.
func (s *swallower) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close()
	}
}

func (s *swallower) accept() {
	for {
		client, err := s.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", s.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		s.mu.Lock()
		s.open[client], s.open[server] = true, true
		s.mu.Unlock()
		end := func() { _, _ = client.Close(), server.Close() }
		s.work.Go(func() {
			defer end()
			_, _ = io.Copy(server, client)
		})
		s.work.Go(func() {
			defer end()
			s.hand(client, bufio.NewReader(server))
		})
	}
}

// hand passes frames on: type, channel, size, payload, and one byte of end.
func (s *swallower) hand(client io.Writer, server io.Reader) {
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		frame := append(head, make([]byte, binary.BigEndian.Uint32(head[3:])+1)...)
		if _, err := io.ReadFull(server, frame[7:]); err != nil {
			return
		}
		if s.eats(frame) {
			continue
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}

func (s *swallower) eats(frame []byte) bool {
	const methods = 1
	if frame[0] != methods || len(frame) < 12 {
		return false
	}
	m := method{binary.BigEndian.Uint16(frame[7:]), binary.BigEndian.Uint16(frame[9:])}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hungry || m != s.want {
		return false
	}
	s.hungry = false
	s.had++
	return true
}
