// Package inprocess carries HTTP requests to a handler in this process, with no
// network in between. The handler sees what it would see of a stranger.
package inprocess

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// peer is where requests come from that don't say: no address that anybody trusts.
const peer = "inside"

// Transport is a http.RoundTripper whose server is a handler. An answer is there
// as soon as the handler has sent its headers, and each of its writes is read as
// it comes. Trailers, and informational answers, are not passed on.
type Transport struct {
	handler http.Handler
	serving sync.WaitGroup
	mu      sync.Mutex
	going   map[*answer]context.CancelCauseFunc // ends each handler; nil once Close was called
}

// New returns a transport to a handler. Close ends it.
func New(h http.Handler) *Transport {
	return &Transport{handler: h, going: map[*answer]context.CancelCauseFunc{}}
}

// Close ends all handlers and waits for them. Later requests fail. It may be called again.
func (t *Transport) Close() error {
	t.mu.Lock()
	for _, end := range t.going {
		end(net.ErrClosed)
	}
	t.going = nil
	t.mu.Unlock()
	t.serving.Wait()
	return nil
}

// RoundTrip returns as soon as the handler has sent headers. The handler's
// context ends when the answer's body is closed, with the request's context,
// and with Close. A request's RemoteAddr, which other transports ignore, is what the handler sees.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	read, write := io.Pipe()
	// Whoever reads, or writes, does not wait for a handler that is slow to see that its time is over.
	context.AfterFunc(ctx, func() { _ = write.CloseWithError(context.Cause(ctx)) })
	a := &answer{header: http.Header{}, body: write, sent: make(chan struct{})}
	in := incoming(ctx, r)
	if !t.begin(a, in, cancel) {
		_ = in.Body.Close() // nobody reads it
		cancel(net.ErrClosed)
		return nil, net.ErrClosed
	}
	select {
	case <-a.sent:
	case <-ctx.Done():
	}
	select {
	case <-a.sent: // also when a short answer is over by now
	default:
		return nil, context.Cause(ctx)
	}
	if a.fault != nil {
		return nil, a.fault
	}
	return a.response(r, &body{read, cancel}), nil
}

// begin lets the handler answer; false says that Close was called.
func (t *Transport) begin(a *answer, in *http.Request, cancel context.CancelCauseFunc) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.going == nil {
		return false
	}
	t.going[a] = cancel
	t.serving.Go(func() {
		defer t.ended(a, cancel)
		a.serve(t.handler, in)
	})
	return true
}

func (t *Transport) ended(a *answer, cancel context.CancelCauseFunc) {
	cancel(io.EOF)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.going, a)
}

// incoming is the request as a server sees it.
func incoming(ctx context.Context, r *http.Request) *http.Request {
	in := r.Clone(ctx)
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	in.Host, in.RemoteAddr, in.RequestURI = cmp.Or(r.Host, r.URL.Host), cmp.Or(r.RemoteAddr, peer), r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	return in
}

// body ends the handler with the reading.
type body struct {
	*io.PipeReader
	cancel context.CancelCauseFunc
}

// Close ends the handler.
func (b *body) Close() error {
	b.cancel(io.ErrClosedPipe)
	return b.PipeReader.Close()
}

func length(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
