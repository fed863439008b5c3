// Package relay is the container's side of relays: it listens at addresses
// that the agent has named, and carries each connection to the agent over a
// stream that the agent has opened for it. Nothing is mounted, and no port is
// open to anybody outside.
package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"ci/agentd/toolbox/pipe"
)

// linger is how long a caller may take to hang up once the agent has.
const linger = 10 * time.Second

// Server listens and carries. A nil Server listens nowhere.
type Server struct {
	places []*place
	done   chan struct{}
	work   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

// place is one address. Its idle stream is the agent's leave to accept one
// connection; until it is there, callers wait in the kernel's queue.
type place struct {
	listener net.Listener
	idle     chan *yamux.Stream
}

// Listen begins to listen at all addresses. Sockets become uid's and gid's
// alone. Errors are sentences; then nothing listens.
func Listen(at []pipe.Listen, uid, gid int) (*Server, error) {
	s := &Server{done: make(chan struct{}), conns: map[net.Conn]bool{}}
	for _, a := range at {
		listener, err := listen(a, uid, gid)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("nothing can listen at %s in the container: %w", a.Address, err)
		}
		p := &place{listener: listener, idle: make(chan *yamux.Stream, 1)}
		s.places = append(s.places, p)
		s.work.Go(func() { s.answer(p) })
	}
	return s, nil
}

func listen(a pipe.Listen, uid, gid int) (net.Listener, error) {
	var how net.ListenConfig
	if a.Network != "unix" {
		return how.Listen(context.Background(), a.Network, a.Address)
	}
	if err := os.MkdirAll(filepath.Dir(a.Address), 0o755); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(a.Address); err != nil { // the image's
		return nil, err
	}
	listener, err := how.Listen(context.Background(), "unix", a.Address)
	if err != nil {
		return nil, err
	}
	// Nobody else is here before the script is, so nobody slips in between.
	if err = os.Chmod(a.Address, 0o600); err == nil {
		err = os.Lchown(a.Address, uid, gid)
	}
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// Take takes a stream for the next connection to address i.
func (s *Server) Take(i int, stream *yamux.Stream) {
	if s == nil || i < 0 || i >= len(s.places) {
		_ = stream.Close()
		return
	}
	select {
	case s.places[i].idle <- stream:
	case <-s.done:
		_ = stream.Close()
	}
}

// TakeAll takes every stream that the agent opens, until it closes the
// connection. It is for containers whose streams are all Relay streams.
func (s *Server) TakeAll(session *yamux.Session) {
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return
		}
		var o pipe.Opening
		if err := pipe.ReadFrame(stream, &o, pipe.MaxUp); err != nil || o.Kind != pipe.Relay {
			_ = stream.Close()
			continue
		}
		s.Take(o.Listen, stream)
	}
}

// Close ends listening and every connection. It is safe to repeat.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	close(s.done)
	for _, p := range s.places {
		_ = p.listener.Close()
	}
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// Wait returns when nothing is carried any more: after Close, and once the
// agent has let go of its streams.
func (s *Server) Wait() {
	if s != nil {
		s.work.Wait()
	}
}

// answer accepts one connection for each stream that comes.
func (s *Server) answer(p *place) {
	for {
		var stream *yamux.Stream
		select {
		case <-s.done:
			return
		case stream = <-p.idle:
		}
		conn, err := p.listener.Accept()
		if err != nil || !s.keep(conn) {
			_ = stream.Close()
			return
		}
		s.work.Go(func() {
			defer s.drop(conn)
			carry(conn, stream)
		})
	}
}

// keep remembers a connection, so that Close ends it.
func (s *Server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Server) drop(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	_ = conn.Close()
}

// carry copies both ways. A caller that has sent all may still read; once the
// agent has hung up, the caller has read all there is and gets a moment to
// hang up too.
func carry(conn net.Conn, stream *yamux.Stream) {
	var up sync.WaitGroup
	up.Go(func() {
		if pipe.WriteFrame(stream, pipe.Call{}, pipe.MaxCall) == nil {
			_, _ = io.Copy(stream, conn)
		}
		_ = stream.Close() // the way up alone
	})
	if _, err := io.Copy(conn, stream); err != nil {
		_, _ = io.Copy(io.Discard, stream) // the caller has gone; the agent must not wait for it
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = conn.SetReadDeadline(time.Now().Add(linger))
	up.Wait()
}
