package runner

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// apiAddress is where a script finds the API: inside its own container, where
// nobody else listens. Connections to it come out by the container's pipe, so
// that the wall around the container stays closed.
const apiAddress = "127.0.0.1:4208"

// offerAPI lets the script call the API, if its job file asks for that.
func (r *Runner) offerAPI(o *Order) {
	if r.work.Token == "" || r.cfg.API == nil {
		return
	}
	o.Env = append(o.Env, "CI_URL=http://"+apiAddress, "CI_TOKEN="+r.work.Token)
	o.Relays = append(o.Relays, Relay{
		Network: "tcp", Address: apiAddress,
		Serve: func(ctx context.Context, conn net.Conn) { serveHTTP(ctx, conn, r.cfg.API) },
	})
}

// serveHTTP answers the requests of one connection until it is closed, or ctx
// ends. It returns when no request is under way any more.
func serveHTTP(ctx context.Context, conn net.Conn, h http.Handler) {
	l := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{}), over: make(chan struct{}), addr: conn.LocalAddr()}
	l.conn <- conn
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState:   l.state,
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	_ = server.Serve(l) // always an error: the listener is over
	select {
	case <-l.conn: // it never came in
		_ = conn.Close()
	default:
		<-l.over
	}
}

// oneConn is a listener on which one connection comes in, and that ends with it.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{} // by Close
	over   chan struct{} // the connection has ended, and every answer on it
	once   sync.Once
	addr   net.Addr
}

// Accept implements net.Listener.
func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.over:
	case <-l.closed:
	}
	return nil, net.ErrClosed
}

// state notes the connection's end.
func (l *oneConn) state(_ net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		close(l.over)
	}
}

// Close implements net.Listener.
func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *oneConn) Addr() net.Addr { return l.addr }
