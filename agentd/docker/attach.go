package docker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"

	"ci/agentd/toolbox/pipe"
)

// attached is the standard streams of a container: reads come from its
// standard output, writes go to its standard input. What it says on standard
// error is kept aside, or handed on.
type attached struct {
	hijacked types.HijackedResponse
	aside    io.Writer
	left     uint32 // bytes of the present frame
	stderr   bool   // the present frame is of standard error
}

// attach connects to a container that has not started, so that nothing is lost.
func (d *Driver) attach(ctx context.Context, name string, stderr io.Writer) (*attached, error) {
	return d.attachTo(ctx, name, container.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true}, stderr)
}

func (d *Driver) attachTo(ctx context.Context, name string, o container.AttachOptions, stderr io.Writer) (*attached, error) {
	ctx, cancel := making(ctx)
	defer cancel()
	h, err := hijack(ctx, func(ctx context.Context) (types.HijackedResponse, error) {
		return d.api.ContainerAttach(ctx, name, o)
	})
	if err != nil {
		return nil, d.explain(err, fmt.Sprintf("container %s can't be attached to", name))
	}
	return &attached{hijacked: h, aside: stderr}, nil
}

// hijack bounds a call that takes over its connection: the engine's library asks
// ctx no more once it has dialled, and waits for an engine that hangs for ever.
// The connection that comes too late is closed.
func hijack(ctx context.Context, call func(context.Context) (types.HijackedResponse, error)) (types.HijackedResponse, error) {
	type answer struct {
		h   types.HijackedResponse
		err error
	}
	answered := make(chan answer, 1)
	go func() { // ends when the engine answers or ends
		h, err := call(ctx)
		answered <- answer{h, err}
	}()
	select {
	case a := <-answered:
		return a.h, a.err
	case <-ctx.Done():
		go func() { // as the other
			if a := <-answered; a.err == nil {
				a.h.Close()
			}
		}()
		return types.HijackedResponse{}, context.Cause(ctx)
	}
}

// Read reads standard output. The engine sends frames behind eight bytes: the
// stream's number, three zeros, and the length (documented at the API's
// ContainerAttach). A frame is passed on as it comes, whatever length it claims.
func (a *attached) Read(b []byte) (int, error) {
	for {
		if a.left == 0 {
			var head [8]byte
			if _, err := io.ReadFull(a.hijacked.Reader, head[:]); err != nil {
				return 0, err
			}
			a.stderr = head[0] == 2
			a.left = binary.BigEndian.Uint32(head[4:])
			continue
		}
		piece := b
		if uint32(len(piece)) > a.left {
			piece = piece[:a.left]
		}
		n, err := a.hijacked.Reader.Read(piece)
		a.left -= uint32(n)
		if !a.stderr || err != nil {
			return n, err
		}
		_, _ = a.aside.Write(piece[:n])
	}
}

// Write writes to standard input.
func (a *attached) Write(b []byte) (int, error) { return a.hijacked.Conn.Write(b) }

// Close lets go: the container's standard input ends.
func (a *attached) Close() error { return a.hijacked.Conn.Close() }

// tail keeps the last bytes that were written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const maxTail = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - maxTail; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(b), nil
}

// String is what was kept, made fit to be shown.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sentence(string(t.kept))
}

var _ io.ReadWriteCloser = (*attached)(nil)

// The agent and what runs in its containers speak the same version, since the
// agent brings the binary, unless a published toolbox image is of another.
func checkVersion(h *pipe.Hello) error {
	if h == nil {
		return fmt.Errorf("its first message is not a greeting")
	}
	if h.Version != pipe.Version {
		return fmt.Errorf("it speaks version %d and the agent version %d: the toolbox image is not of the agent's version", h.Version, pipe.Version)
	}
	return nil
}
