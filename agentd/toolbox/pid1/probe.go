package pid1

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"

	"ci/agentd/toolbox/pipe"
)

// The time between two attempts to connect doubles from the first to the last
// of these; an attempt itself takes dialTime at most.
const (
	firstProbe = 10 * time.Millisecond
	lastProbe  = 250 * time.Millisecond
	dialTime   = time.Second
)

// probe tells the agent when the addresses that it names take connections.
// This container is in the network of the run, where the agent is not.
func probe(stream *yamux.Stream) {
	defer stream.Close()
	var want pipe.Probe
	if err := pipe.ReadFrame(stream, &want, pipe.MaxDown); err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the stream, which the agent closes when it has heard, or gives up
		defer cancel()
		_, _ = io.Copy(io.Discard, stream)
	}()
	if connectable(ctx, want) {
		_ = pipe.WriteFrame(stream, pipe.Probed{}, pipe.MaxUp) // whoever does not hear it has given up
	}
}

// connectable waits until the addresses take connections; false means that ctx ended before.
func connectable(ctx context.Context, want pipe.Probe) bool {
	open := make(chan bool, len(want.Addresses))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, address := range want.Addresses {
		go func() { open <- dialUntil(ctx, address) }()
	}
	for range want.Addresses {
		if !<-open {
			return false
		}
		if want.Any {
			return true
		}
	}
	return true
}

// dialUntil connects to address until it succeeds or ctx ends.
func dialUntil(ctx context.Context, address string) bool {
	dialer := net.Dialer{Timeout: dialTime}
	for wait := firstProbe; ; wait = min(2*wait, lastProbe) {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}
