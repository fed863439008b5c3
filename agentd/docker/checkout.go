package docker

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

// checkoutMemory is what git gets at least: unpacking a large repository
// takes more than a small job does.
const checkoutMemory = 1 << 30

// mirrorFolder is where a checkout finds its repository's mirror.
const mirrorFolder = "/mirror"

// checkout fills the run's workspace with its commit, in a container of its
// own: the toolbox's git, the network of the machine, so that it reaches what
// the planner reaches, and neither capabilities nor anything of the job.
func (b *box) checkout(ctx context.Context, console io.Writer) error {
	if b.order.Checkout.Tree != nil {
		return b.unpack(ctx, console)
	}
	if b.shared.noGit {
		return ci.Errorf(ci.CodeUnavailable, "the toolbox image has no git, since the agent's machine has none: install git there and start the agent again, or name a toolbox image that has it")
	}
	if !ci.ValidCommit(b.order.Checkout.CommitSHA) {
		return ci.Errorf(ci.CodeInvalid, "%q is not a full commit id", b.order.Checkout.CommitSHA)
	}
	key, err := b.checkoutKey(console)
	if err != nil {
		return err
	}
	name := b.d.name(roleName(b.order.Run, "checkout"))
	defer b.endCheckout(ctx, name)
	var said tail
	var answer pipe.Fetched
	kept := mirrorKey(b.order)
	volume := b.shared.mirrors.take(ctx, kept)
	defer func() { b.shared.mirrors.release(context.WithoutCancel(ctx), kept, answer.Size) }()
	conn, err := b.launchCheckout(ctx, name, volume, &said)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answer, err = b.fetch(conn, key, volume != "", console)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return ci.Errorf(ci.CodeUnavailable, "the checkout's container was lost: %w; it said: %q", err, said.String())
	case answer.Failed != "" && answer.Final:
		return ci.Errorf(ci.CodeInvalid, "%s", sentence(answer.Failed))
	case answer.Failed != "":
		return ci.Errorf(ci.CodeUnavailable, "%s", sentence(answer.Failed))
	}
	return nil
}

func (b *box) launchCheckout(ctx context.Context, name, mirror string, said io.Writer) (*attached, error) {
	limits := b.order.Spec.Resources
	limits.Memory, limits.Pids = max(limits.Memory, checkoutMemory), 256
	host := confined(limits, volumeAt(b.shared.volume, pipe.Folder, true), volumeAt(b.workspace, ci.DefaultWorkdir, false))
	if mirror != "" {
		host.Mounts = append(host.Mounts, volumeAt(mirror, mirrorFolder, false))
	}
	host.NetworkMode = "host"
	host.ReadonlyRootfs = true
	if err := b.d.create(ctx, name, program(b.shared.toolbox, "checkout", b.d.runLabels("checkout", b.order.Run, b.order.Job)), host); err != nil {
		return nil, err
	}
	conn, err := b.d.attach(ctx, name, said)
	if err != nil {
		return nil, err
	}
	if err = ctx.Err(); err == nil {
		err = b.d.start(ctx, name)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// fetch sends the order and waits for the answer, passing on what git prints.
// Meanwhile the container's ssh can log in by the run's key.
func (b *box) fetch(conn *attached, key []runner.Relay, mirrored bool, console io.Writer) (pipe.Fetched, error) {
	session, err := pipe.Client(conn)
	if err != nil {
		return pipe.Fetched{}, err
	}
	defer session.Close()
	control, err := session.OpenStream()
	if err == nil {
		err = pipe.WriteFrame(control, pipe.Opening{Kind: pipe.Control}, pipe.MaxUp)
	}
	if err == nil {
		err = pipe.WriteFrame(control, b.fetchOrder(key, mirrored), pipe.MaxDown)
	}
	if err != nil {
		return pipe.Fetched{}, err
	}
	stop := serveRelays(session, key, b.log)
	defer stop()
	defer session.Close() // before stop, which then waits for nothing of the container's
	for {
		var answer pipe.Fetched
		if err := pipe.ReadFrame(control, &answer, pipe.MaxUp); err != nil || answer.Done {
			return answer, err
		}
		if _, err := fmt.Fprintln(console, answer.Print); err != nil {
			return answer, fmt.Errorf("the console takes nothing: %w", err)
		}
	}
}

func (b *box) fetchOrder(key []runner.Relay, mirrored bool) pipe.Fetch {
	c := b.order.Checkout
	o := pipe.Fetch{URL: c.URL, CommitSHA: c.CommitSHA, Depth: c.Depth, Submodules: c.Submodules, Dir: ci.DefaultWorkdir}
	if mirrored {
		o.Mirror = mirrorFolder
	}
	if b.order.HTTP != nil {
		o.Authorization = b.order.HTTP.Authorization()
	}
	if len(key) > 0 {
		o.Agent = &listens(key)[0]
		o.KnownHosts = string(sshkey.KnownHosts(b.order.SSH.Hosts))
	}
	return o
}

// checkoutKey is the relay by which the checkout's ssh reaches the run's key; none without a key.
func (b *box) checkoutKey(console io.Writer) ([]runner.Relay, error) {
	if b.order.SSH == nil {
		return nil, nil
	}
	agent, err := sshkey.NewAgent(*b.order.SSH, func(line string) { _, _ = fmt.Fprintln(console, line) })
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "the run's SSH key can't be used: %w", err)
	}
	return []runner.Relay{{Network: "unix", Address: "/dev/shm/ci/agent", Serve: agent.Serve}}, nil
}

// endCheckout removes the container beside what follows, and Remove waits for that.
func (b *box) endCheckout(ctx context.Context, name string) {
	ctx = context.WithoutCancel(ctx)
	b.beside.Go(func() {
		b.letEnd(ctx, name)
		if err := b.insist(func() error { return b.d.removeContainer(ctx, name) }); err != nil {
			b.d.names.drop(name)
			b.log.Warn("a checkout's container is left for the sweep", "err", err)
		}
	})
}

// letEnd waits a moment for a container to end by itself: to remove one that
// has ended is thirty times cheaper than to remove one that lives.
func (b *box) letEnd(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	ended, failed := b.d.api.ContainerWait(ctx, name, container.WaitConditionNotRunning)
	select {
	case <-ended:
	case err := <-failed:
		if err != nil && ctx.Err() == nil && !notFound(err) {
			b.log.Debug("a container's end can't be waited for; it is removed as it is", "err", err)
		}
	}
}
