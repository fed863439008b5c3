package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
	"ci/pkg/sshkey"
)

// Run sends the work order and returns when the script has ended and all of
// its output is in console. When ctx ends first it returns at once with ctx's
// error; the container is then good for nothing but Remove.
func (b *box) Run(ctx context.Context, started func(), console io.Writer) (runner.Exit, error) {
	if s := b.begin(); s != "" {
		return exitBefore(s), b.condemned()
	}
	defer context.AfterFunc(ctx, func() { b.session.Close() })()
	exit, err := b.run(started, console)
	switch fault := b.condemned(); {
	case fault != nil:
		return runner.Exit{}, fault
	case err == nil:
		return exit, nil
	case ctx.Err() != nil:
		return runner.Exit{}, ctx.Err()
	}
	return runner.Exit{}, err
}

// begin marks the script as begun, unless it was signalled before.
func (b *box) begin() runner.Signal {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = b.pending == ""
	return b.pending
}

func exitBefore(s runner.Signal) runner.Exit {
	if s == runner.Kill {
		return runner.Exit{Code: 137, Signal: "SIGKILL"}
	}
	return runner.Exit{Code: 143, Signal: "SIGTERM"}
}

func (b *box) run(started func(), console io.Writer) (runner.Exit, error) {
	b.mu.Lock()
	err := pipe.WriteFrame(b.control, pipe.Command{Order: b.workOrder()}, pipe.MaxDown)
	b.mu.Unlock()
	if err != nil {
		return runner.Exit{}, b.lost("the container went away before the script began", err)
	}
	stop := serveRelays(b.session, b.order.Relays, b.log)
	defer stop()
	printed := make(chan error, 1)
	go func() { printed <- b.print(console) }()
	exit, err := b.follow(started)
	if err != nil {
		_ = b.session.Close()
	}
	// init closes the console before it reports the end, so this waits for
	// nothing but console itself.
	if perr := <-printed; err == nil && perr != nil {
		err = ci.Errorf(ci.CodeUnavailable, "the script's output can't be stored: %w", perr)
	}
	return exit, err
}

func (b *box) workOrder() *pipe.Order {
	e := b.order.Spec.Environment
	user := e.User
	if user == "" {
		user = b.user
	}
	var files []pipe.File // a network of the run's own has no earlier user
	if b.sandbox != nil {
		files = b.sandbox.files
	}
	tools := ""
	if b.order.Spec.CI {
		tools = pipe.Tools
	}
	known := ""
	if b.order.Spec.SSH && b.order.SSH != nil {
		known = string(sshkey.KnownHosts(b.order.SSH.Hosts))
	}
	return &pipe.Order{
		Script:  b.order.Spec.Script,
		Tools:   tools,
		Env:     slices.Concat(b.env, b.order.Env),
		User:    user,
		Workdir: e.Workdir,
		Own:     b.workspace != "",
		Shell:   e.Shell,
		Files:   files,
		Listen:  listens(b.order.Relays),

		KnownHosts: known,
	}
}

// print copies the script's output until init ends it. An error is console's alone.
func (b *box) print(console io.Writer) error {
	piece := make([]byte, 128<<10)
	for {
		n, err := b.console.Read(piece)
		if n > 0 {
			if _, err := console.Write(piece[:n]); err != nil {
				_ = b.session.Close()
				return err
			}
		}
		if err != nil {
			return nil // the end, or a broken pipe, which follow sees too
		}
	}
}

// follow reads init's reports up to the script's end.
func (b *box) follow(started func()) (runner.Exit, error) {
	begun := false
	for {
		var e pipe.Event
		if err := pipe.ReadFrame(b.control, &e, pipe.MaxUp); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("its init closed the connection")
			}
			return runner.Exit{}, b.lost("the container was lost while the script ran", err)
		}
		switch {
		case e.Failed != "":
			return runner.Exit{}, ci.Errorf(ci.CodeInvalid, "the script could not be started: %s", sentence(e.Failed))
		case e.Started && !begun:
			begun = true
			started()
		case e.Exit != nil && begun:
			return b.exit(e.Exit), nil
		default:
			return runner.Exit{}, b.lost("the container was lost while the script ran", fmt.Errorf("its init talks nonsense"))
		}
	}
}

var signalName = regexp.MustCompile(`^(SIG[A-Z0-9]{1,10}|signal [0-9]{1,3})$`)

func (b *box) exit(e *pipe.Exit) runner.Exit {
	exit := runner.Exit{Code: e.Code & 0xff, OOMKilled: e.OOM}
	if signalName.MatchString(e.Signal) {
		exit.Signal = e.Signal
	}
	if exit.Code == 137 && !exit.OOMKilled {
		// init could not see its cgroup; the engine can.
		ctx, cancel := asking(context.Background())
		defer cancel()
		got, err := b.d.api.ContainerInspect(ctx, b.container)
		exit.OOMKilled = err == nil && got.State != nil && got.State.OOMKilled
	}
	return exit
}
