package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// unpack fills the run's workspace with the files that the order brings,
// through a container of its own that has neither network nor anything of the job.
func (b *box) unpack(ctx context.Context, console io.Writer) error {
	name := b.d.name(roleName(b.order.Run, "tree"))
	defer b.endCheckout(ctx, name)
	var said tail
	host := confined(sandboxLimits, volumeAt(b.shared.volume, pipe.Folder, true), volumeAt(b.workspace, ci.DefaultWorkdir, false))
	host.NetworkMode, host.ReadonlyRootfs = "none", true
	host.Memory, host.MemorySwap = checkoutMemory, checkoutMemory
	if err := b.d.create(ctx, name, program(b.shared.toolbox, "unpack", b.d.runLabels("tree", b.order.Run, b.order.Job)), host); err != nil {
		return err
	}
	conn, err := b.d.attach(ctx, name, &said)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := b.d.start(ctx, name); err != nil {
		return err
	}
	err = b.sendTree(ctx, conn, console)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return ci.Errorf(ci.CodeUnavailable, "the working tree could not be brought into the container: %w%s", err, aside(&said))
	}
	return nil
}

// sendTree sends the archive and waits for the answer.
func (b *box) sendTree(ctx context.Context, conn *attached, console io.Writer) error {
	if err := pipe.WriteFrame(conn, pipe.Unpack{Dir: ci.DefaultWorkdir}, pipe.MaxDown); err != nil {
		return err
	}
	pieces := pipe.PieceWriter{W: conn}
	out := bufio.NewWriterSize(&progress{w: pieces, console: console, next: time.Now().Add(progressPace)}, 128<<10)
	if err := b.order.Checkout.Tree(ctx, out); err != nil {
		return err
	}
	if err := errors.Join(out.Flush(), pieces.Close()); err != nil {
		return err
	}
	var answer pipe.Unpacked
	if err := pipe.ReadFrame(conn, &answer, pipe.MaxUp); err != nil {
		return err
	}
	if answer.Failed != "" {
		return fmt.Errorf("%s", sentence(answer.Failed))
	}
	return nil
}

// progressPace is how often a large tree says how far it is.
const progressPace = 5 * time.Second

// progress passes bytes on, in pieces that a container reads at once, and tells how many.
type progress struct {
	w       io.Writer
	console io.Writer
	n       int64
	next    time.Time
}

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.n += int64(n)
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(progressPace)
		fmt.Fprintf(p.console, "%s of the working tree sent\n", ci.Bytes(p.n))
	}
	return n, err
}
