package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/yamux"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// box is one run's container and what belongs to it. Nothing that comes out
// of the container is believed beyond this run.
type box struct {
	d      *Driver
	shared *shared
	order  runner.Order
	log    *slog.Logger

	// Set by Prepare, step by step; "" and nil until then.
	workspace string    // a volume
	sandbox   *sandbox  // nil for a run with services, which has a network of its own
	sidecars  *sidecars // nil for a run without services
	network   string    // the job's container is in it
	contexts  contexts
	container string
	env       []string // the image's
	user      string   // the image's
	conn      *attached
	stderr    tail // what init says about itself
	session   *yamux.Session
	control   *yamux.Stream
	console   *yamux.Stream
	beside    sync.WaitGroup // removals that Remove waits for
	meter     meter

	mu      sync.Mutex // guards what follows, and writing to control
	running bool       // the work order is sent
	pending runner.Signal
	held    []string // ids of images in use
	said    map[string]bool
	removal sync.Mutex
}

// Signal reaches the script. Before Run it is kept: a script that was
// signalled before it began never begins. After the script's end it does nothing.
func (b *box) Signal(s runner.Signal) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running {
		if b.pending != runner.Kill {
			b.pending = s
		}
		return nil
	}
	if err := pipe.WriteFrame(b.control, pipe.Command{Signal: string(s)}, pipe.MaxDown); err != nil && !b.session.IsClosed() {
		return ci.Errorf(ci.CodeUnavailable, "the script can't be signalled: %w", err)
	}
	return nil
}

// first says whether something is said for the first time in this run.
func (b *box) first(what string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.said[what] {
		return false
	}
	if b.said == nil {
		b.said = map[string]bool{}
	}
	b.said[what] = true
	return true
}

// Remove takes away the containers, volumes and network of the run. It goes on when ctx ends,
// within limits of its own, since nobody else would do it sooner.
func (b *box) Remove(ctx context.Context) error {
	b.removal.Lock()
	defer b.removal.Unlock()
	ctx = context.WithoutCancel(ctx)
	b.hangUp()
	services := make(chan error, 1)
	go func() { services <- b.sidecars.removeContainers(ctx) }()
	err := b.removeJob(ctx)
	if b.sandbox != nil {
		if err == nil {
			b.shared.pool.release(b.sandbox)
		} else {
			b.shared.pool.discard(b.sandbox) // the container may still be in it
		}
		b.sandbox = nil
	}
	err = errors.Join(err, <-services, b.sidecars.removeRest(ctx))
	b.beside.Wait() // what is still in the workspace
	b.releaseImages()
	b.d.makeRoom(ctx)
	if b.workspace != "" {
		verr := b.insist(func() error { return b.d.removeVolume(ctx, b.workspace) })
		if verr == nil {
			b.workspace = ""
		}
		err = errors.Join(err, verr)
	}
	return err
}

func (b *box) removeJob(ctx context.Context) error {
	if b.container == "" {
		return nil
	}
	b.letEnd(ctx, b.container)
	err := b.insist(func() error { return b.d.removeContainer(ctx, b.container) })
	if err == nil {
		b.container = ""
	}
	return err
}

// hangUp closes the pipe; init ends when it hears of it.
func (b *box) hangUp() {
	if b.session != nil {
		_ = b.session.Close()
	}
	if b.conn != nil {
		_ = b.conn.Close()
	}
}

// insist tries three times. What fails then is left for the sweep.
func (b *box) insist(remove func() error) error {
	var err error
	for wait := 100 * time.Millisecond; wait < 2*time.Second; wait *= 4 {
		if err = remove(); err == nil {
			return nil
		}
		<-time.After(wait)
	}
	return err
}

// lost makes the error for a broken pipe: what, why as far as the engine
// knows, and init's own last words.
func (b *box) lost(what string, err error) error {
	_ = b.session.Close()
	ctx, cancel := asking(context.Background()) // the run's own context may be over
	defer cancel()
	why := err.Error()
	got, ierr := b.d.api.ContainerInspect(ctx, b.container)
	switch {
	case notFound(ierr):
		why = "the container was removed by somebody else"
	case ierr != nil:
		why = fmt.Sprintf("the engine does not answer: %v", ierr)
	case got.State.OOMKilled:
		why = "its memory limit was reached; give the job more in resources.memory"
	case !got.State.Running:
		why = fmt.Sprintf("the container has ended with status %d", got.State.ExitCode)
	}
	if said := b.stderr.String(); said != "" {
		why += "; it said: " + said
	}
	return ci.Errorf(ci.CodeUnavailable, "%s: %s", what, why)
}

// sentence makes text from a container fit to be shown: one line of limited
// length, without control characters.
func sentence(s string) string {
	if len(s) > maxTail {
		s = s[:maxTail]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}
