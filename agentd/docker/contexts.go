package docker

import (
	"context"
	"net"
	"sync"

	"github.com/hashicorp/yamux"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// Limits of a build's context. What is larger is no source code.
const (
	maxContextFiles  = 250_000
	maxContextBytes  = 8 << 30
	maxContextMemory = 1 << 30 // of the container that gives it out
)

// contexts is the container that gives out what a run's builds may copy from
// its checkout. It is made beside the checkout, as soon as there is something to build.
type contexts struct {
	checkedOut chan struct{} // closed when the checkout is there

	mu      sync.Mutex
	name    string
	conn    *attached
	session *yamux.Session
	said    tail
}

// files asks for one build's context, after readyToBuild. The stream is
// the caller's, to be closed or handed to a build.
func (b *box) files(ctx context.Context, order pipe.BuildContext) (net.Conn, pipe.BuildFiles, error) {
	session, err := b.contextSession(ctx)
	if err != nil {
		return nil, pipe.BuildFiles{}, err
	}
	stream, err := session.OpenStream()
	if err != nil {
		return nil, pipe.BuildFiles{}, b.noContext(err)
	}
	defer context.AfterFunc(ctx, func() { _ = stream.Close() })()
	var answer pipe.BuildFiles
	err = pipe.WriteFrame(stream, order, pipe.MaxUp)
	if err == nil {
		err = pipe.ReadFrame(stream, &answer, pipe.MaxBuildFiles)
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = b.noContext(err)
	case answer.Failed != "":
		err = ci.Errorf(ci.CodeInvalid, "%s", sentence(answer.Failed))
	default:
		return stream, answer, nil
	}
	_ = stream.Close()
	return nil, pipe.BuildFiles{}, err
}

func (b *box) noContext(err error) error {
	return ci.Errorf(ci.CodeUnavailable, "the container that reads the checkout for a build was lost: %w%s", err, aside(&b.contexts.said))
}

// readyToBuild makes the container and waits until the checkout is there.
// Should the checkout fail, ctx ends.
func (b *box) readyToBuild(ctx context.Context) error {
	if _, err := b.contextSession(ctx); err != nil {
		return err
	}
	select {
	case <-b.contexts.checkedOut:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// contextSession makes the container with its first use.
func (b *box) contextSession(ctx context.Context) (*yamux.Session, error) {
	c := &b.contexts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return c.session, nil
	}
	c.name = b.d.name(roleName(b.order.Run, "context"))
	limits := ci.Resources{CPUs: 1, Memory: maxContextMemory, Pids: 256}
	host := confined(limits, volumeAt(b.shared.volume, pipe.Folder, true), volumeAt(b.workspace, ci.DefaultWorkdir, true))
	host.NetworkMode, host.ReadonlyRootfs = "none", true
	err := b.d.create(ctx, c.name, program(b.shared.toolbox, "context", b.d.runLabels("context", b.order.Run, b.order.Job)), host)
	if err != nil {
		return nil, err
	}
	if c.conn, err = b.d.attach(ctx, c.name, &c.said); err != nil {
		return nil, err
	}
	if err := b.d.start(ctx, c.name); err != nil {
		return nil, err
	}
	session, err := pipe.Client(c.conn)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInternal, "the pipe to the container can't be opened: %w", err)
	}
	c.session = session
	return session, nil
}

// endContexts removes the container beside what follows, and Remove waits for that.
func (b *box) endContexts(ctx context.Context) {
	c := &b.contexts
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		_ = c.session.Close()
	}
	if c.conn != nil {
		_ = c.conn.Close()
	}
	if name := c.name; name != "" {
		c.name = ""
		b.endCheckout(ctx, name)
	}
}
