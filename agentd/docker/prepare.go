package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sync/errgroup"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// helloTime is how long init may take to say that it is there.
const helloTime = time.Minute

// Prepare makes all that a run needs, up to a started container whose init
// waits for its work. The commit is fetched while image, network and
// container are made. On error nothing stays behind.
func (d *Driver) Prepare(ctx context.Context, o runner.Order, console io.Writer) (runner.Box, error) {
	s, err := d.ready()
	if err != nil {
		return nil, err
	}
	if err := checkWorkdir(o); err != nil {
		return nil, err
	}
	b := &box{d: d, shared: s, order: o, contexts: contexts{checkedOut: make(chan struct{})}, log: d.log.With("run", o.Run, "job", o.Job)}
	ctx, b.meter.abandon = context.WithCancelCause(ctx)
	defer b.meter.abandon(nil)
	lines := &lockedWriter{w: console}
	b.sidecars = newSidecars(b, lines)
	if err := b.prepare(ctx, lines); err != nil {
		if left := b.Remove(ctx); left != nil {
			b.log.Warn("objects of a run that could not be prepared are left for the sweep", "err", left)
		}
		return nil, cmp.Or(b.condemned(), err)
	}
	return b, nil
}

func (b *box) prepare(ctx context.Context, console io.Writer) error {
	if err := b.checkBuilds(); err != nil {
		return err
	}
	if b.order.Checkout != nil {
		b.workspace = b.d.name(roleName(b.order.Run, "workspace"))
		if err := b.d.makeVolume(ctx, b.workspace, b.d.runLabels("workspace", b.order.Run, b.order.Job)); err != nil {
			return err
		}
	}
	defer b.endContexts(ctx)
	g, ctx := errgroup.WithContext(ctx)
	if b.order.Checkout != nil {
		g.Go(func() error {
			ended := b.order.Tell.Step("checkout")
			if err := b.checkout(ctx, console); err != nil {
				ended("failed")
				return err
			}
			ended("")
			close(b.contexts.checkedOut)
			return nil
		})
	}
	g.Go(func() error { return b.boot(ctx, console) })
	g.Go(func() error { return b.sidecars.up(ctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	return b.sidecars.standing(ctx)
}

// boot brings the job's container up to init's greeting.
func (b *box) boot(ctx context.Context, console io.Writer) error {
	var im image
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		im, err = b.environmentImage(gctx, console)
		return err
	})
	g.Go(func() error { return b.joinNetwork(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	b.env, b.user = im.env, im.user
	err := b.launch(ctx, im)
	if err != nil && b.sandbox != nil && b.sandbox.lost(err) && ctx.Err() == nil {
		err = b.relaunch(ctx, im) // the network went away just now, which is not the run's fault
	}
	if err != nil {
		return err
	}
	if err := b.greet(ctx); err != nil {
		return err
	}
	if err := b.watchDisk(); err != nil {
		return err
	}
	b.sidecars.greet()
	return nil
}

// joinNetwork gets the network that the job's container will be in.
func (b *box) joinNetwork(ctx context.Context) (err error) {
	if b.sidecars != nil {
		b.network, err = b.sidecars.network(ctx)
		return err
	}
	if b.sandbox, err = b.shared.pool.acquire(ctx); err == nil {
		b.network = "container:" + b.sandbox.name
	}
	return err
}

// launch creates the container, attaches and only then starts it.
func (b *box) launch(ctx context.Context, im image) error {
	b.container = b.d.name(roleName(b.order.Run, "job"))
	if err := b.createJob(ctx, im); err != nil {
		return err
	}
	conn, err := b.d.attach(ctx, b.container, &b.stderr)
	if err != nil {
		return err
	}
	b.conn = conn
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.d.start(ctx, b.container)
}

// relaunch does it again on another network.
func (b *box) relaunch(ctx context.Context, im image) error {
	b.hangUp()
	b.conn = nil
	if err := b.d.removeContainer(ctx, b.container); err != nil {
		return err
	}
	b.container = ""
	b.shared.pool.discard(b.sandbox)
	b.sandbox = nil
	if err := b.joinNetwork(ctx); err != nil {
		return err
	}
	return b.launch(ctx, im)
}

// greet opens the pipe and waits until init answers.
func (b *box) greet(ctx context.Context) error {
	session, err := pipe.Client(b.conn)
	if err != nil {
		return ci.Errorf(ci.CodeInternal, "the pipe to the container can't be opened: %w", err)
	}
	b.session = session
	ctx, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { session.Close() })()
	var hello pipe.Event
	if b.control, err = b.openStream(pipe.Control); err == nil {
		if b.console, err = b.openStream(pipe.Console); err == nil {
			err = pipe.ReadFrame(b.control, &hello, pipe.MaxUp)
		}
	}
	if err == nil {
		err = checkVersion(hello.Hello)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("it says nothing for %s", helloTime)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return b.lost("the container's init did not come up", err)
}

func (b *box) openStream(kind pipe.Kind) (*yamux.Stream, error) {
	stream, err := b.session.OpenStream()
	if err != nil {
		return nil, err
	}
	return stream, pipe.WriteFrame(stream, pipe.Opening{Kind: kind}, pipe.MaxUp)
}

// lockedWriter lets several write, a line or a piece at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
