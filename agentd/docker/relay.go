package docker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
)

// maxCallers is how many connections to one relayed address are served at
// once. Further ones wait in the container until one of them ends.
const maxCallers = 16

// relays serves the connections that come out of one container. Nothing that
// comes is believed: a container can use no more than its callers' share, and
// only of what the relays are for.
type relays struct {
	session *yamux.Session
	log     *slog.Logger
	work    sync.WaitGroup

	mu      sync.Mutex
	streams map[*yamux.Stream]bool
	over    bool
}

// serveRelays serves all of list until stop is called, which ends every
// connection and waits for its end.
func serveRelays(session *yamux.Session, list []runner.Relay, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background()) // it ends with the script, and not with who asked for it
	r := &relays{session: session, log: log, streams: map[*yamux.Stream]bool{}}
	for i, relay := range list {
		r.work.Go(func() { r.serve(ctx, i, relay) })
	}
	return func() {
		cancel()
		r.end()
		r.work.Wait()
	}
}

// listens is what the container's side is told of list.
func listens(list []runner.Relay) []pipe.Listen {
	var all []pipe.Listen
	for _, relay := range list {
		all = append(all, pipe.Listen{Network: relay.Network, Address: relay.Address})
	}
	return all
}

// serve keeps one stream open for the next connection to address i.
func (r *relays) serve(ctx context.Context, i int, relay runner.Relay) {
	slots := make(chan struct{}, maxCallers)
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		stream, err := r.session.OpenStream()
		if err != nil {
			return
		}
		if !r.keep(stream) {
			return
		}
		if err := await(i, stream); err != nil {
			r.drop(stream)
			return // the container is gone, or its side talks nonsense: it is served no more
		}
		r.work.Go(func() {
			defer func() { <-slots }()
			r.handle(ctx, relay, stream)
		})
	}
}

// await offers a stream and returns when somebody has called.
func await(i int, stream *yamux.Stream) error {
	if err := pipe.WriteFrame(stream, pipe.Opening{Kind: pipe.Relay, Listen: i}, pipe.MaxUp); err != nil {
		return err
	}
	var call pipe.Call
	return pipe.ReadFrame(stream, &call, pipe.MaxCall)
}

// handle serves one connection and sees to it that its caller notices the end.
func (r *relays) handle(ctx context.Context, relay runner.Relay, stream *yamux.Stream) {
	defer r.drop(stream)
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("serving a connection out of a container panicked", "err", fmt.Sprint(p), "address", relay.Address, "stack", string(debug.Stack()))
		}
	}()
	relay.Serve(ctx, stream)
	_ = stream.Close()
	_, _ = io.Copy(io.Discard, stream) // what the caller still sends, until it hangs up
}

// keep remembers a stream, so that end ends it.
func (r *relays) keep(stream *yamux.Stream) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		_ = stream.Close()
		return false
	}
	r.streams[stream] = true
	return true
}

func (r *relays) drop(stream *yamux.Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams, stream)
	_ = stream.Close()
}

// end closes every stream; whoever reads or writes one is woken.
func (r *relays) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for stream := range r.streams {
		_ = stream.SetDeadline(time.Now())
		_ = stream.Close()
	}
}
