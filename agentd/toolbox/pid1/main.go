// Package pid1 is the first process of a job's container: it waits for its
// work on standard input, starts the script as the image's user, carries its
// output, its end and its results to the agent, and outlives whatever the
// script does to the processes around it.
package pid1

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
	"ci/agentd/toolbox/relay"
)

// Main serves one agent on standard input and output and returns when the
// agent lets go. Diagnostics go to standard error, which the agent keeps.
func Main() int {
	if err := guard(); err != nil {
		fmt.Fprintf(os.Stderr, "init can't protect itself: %v\n", err)
		return 1
	}
	reserveThreads(threads)
	family := newFamily()
	defer family.close()
	session, err := pipe.Server(pipe.Stdio{})
	if err != nil {
		fmt.Fprintf(os.Stderr, "init can't talk over its standard streams: %v\n", err)
		return 1
	}
	s := &server{session: session, family: family, since: time.Now(), begun: make(chan struct{}), collects: make(chan *yamux.Stream)}
	err = s.serve()
	family.killAll()
	defer s.relays.Wait()
	defer session.Close()
	if err != nil && !session.IsClosed() {
		fmt.Fprintf(os.Stderr, "init gave up: %v\n", err)
		return 1
	}
	return 0
}

// guard keeps the script from reading this process's memory and from using
// its descriptors: what is not dumpable belongs to no user in /proc, and is
// traced by nobody who lacks CAP_SYS_PTRACE.
func guard() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	// A wider pipe saves turns between this process, the engine's shim and
	// the engine. It is a favour, not a need.
	_, _ = unix.FcntlInt(1, unix.F_SETPIPE_SZ, pipeSize)
	return nil
}

// server is the conversation with the agent.
type server struct {
	session *yamux.Session
	family  *family
	control *yamux.Stream
	console *yamux.Stream
	// workdir is where the script began, without links.
	workdir string
	files   []pipe.File
	since   time.Time // of its own start
	relays  *relay.Server
	begun   chan struct{} // closed when the script has been started
	// collects are the agent's wishes for results, closed when no more can come.
	collects chan *yamux.Stream
}

// serve answers until the agent closes the connection.
func (s *server) serve() error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.send(pipe.Event{Hello: &pipe.Hello{Version: pipe.Version}}); err != nil {
		return err
	}
	dispatched := make(chan error, 1)
	go func() { dispatched <- s.dispatch() }()
	var first pipe.Command
	if err := pipe.ReadFrame(s.control, &first, pipe.MaxDown); err != nil {
		return err
	}
	if first.Order == nil {
		return fmt.Errorf("the first command is no work order")
	}
	script, err := s.begin(first.Order)
	defer s.relays.Close()
	if err != nil {
		return s.fail(err)
	}
	close(s.begun)
	obeyed := make(chan error, 1)
	go func() { obeyed <- s.obey(script) }()
	if err := s.report(script); err != nil {
		return err
	}
	s.collectAll()
	if err := <-dispatched; err != nil {
		return err
	}
	return <-obeyed
}

// dispatch hands the streams that the agent opens to whom they are for, until
// it closes the connection.
func (s *server) dispatch() error {
	defer close(s.collects)
	for {
		stream, err := s.session.AcceptStream()
		if err == io.EOF || s.session.IsClosed() {
			return nil
		}
		if err != nil {
			return err
		}
		var o pipe.Opening
		if err := pipe.ReadFrame(stream, &o, pipe.MaxUp); err != nil {
			// The agent has given this one up before it said what it is for, as
			// it does with a relay's when the script ends. Others follow.
			_ = stream.Close()
			continue
		}
		if o.Kind == pipe.Probing {
			go probe(stream)
			continue
		}
		if o.Kind == pipe.Watching {
			go s.watch(stream)
			continue
		}
		if !s.awaitScript() {
			return nil
		}
		switch o.Kind {
		case pipe.Relay:
			s.relays.Take(o.Listen, stream)
		case pipe.Collect:
			select {
			case s.collects <- stream:
			case <-s.session.CloseChan():
			}
		default:
			return fmt.Errorf("a %q stream came where none was due", o.Kind)
		}
	}
}

// awaitScript waits until the script has been started; false means that the agent has left.
func (s *server) awaitScript() bool {
	select {
	case <-s.begun:
		return true
	case <-s.session.CloseChan():
		return false
	}
}

// open takes the two streams that the agent opens first.
func (s *server) open() error {
	for _, want := range []struct {
		kind   pipe.Kind
		stream **yamux.Stream
	}{{pipe.Control, &s.control}, {pipe.Console, &s.console}} {
		stream, o, err := s.accept()
		if err != nil {
			return err
		}
		if o.Kind != want.kind {
			return fmt.Errorf("a %q stream came where %q was due", o.Kind, want.kind)
		}
		*want.stream = stream
	}
	return nil
}

func (s *server) accept() (*yamux.Stream, pipe.Opening, error) {
	var o pipe.Opening
	stream, err := s.session.AcceptStream()
	if err != nil {
		return nil, o, err
	}
	return stream, o, pipe.ReadFrame(stream, &o, pipe.MaxUp)
}

func (s *server) send(e pipe.Event) error { return pipe.WriteFrame(s.control, e, pipe.MaxUp) }

// fail tells the agent why the script did not start, and stays until it has heard.
func (s *server) fail(cause error) error {
	if err := s.send(pipe.Event{Failed: cause.Error()}); err != nil {
		return err
	}
	<-s.session.CloseChan()
	return nil
}

// obey passes the agent's signals on until it closes the stream.
func (s *server) obey(script *script) error {
	for {
		var c pipe.Command
		if err := pipe.ReadFrame(s.control, &c, pipe.MaxDown); err != nil {
			return err
		}
		switch c.Signal {
		case "TERM":
			s.family.signal(script.pid, unix.SIGTERM)
		case "KILL":
			s.family.killOnce()
		}
	}
}

// report tells of the script's beginning and end. Once the script has ended,
// everything that it left running is killed, and what is in the pipe is sent.
func (s *server) report(script *script) error {
	if err := s.send(pipe.Event{Started: true}); err != nil {
		return err
	}
	pumped := make(chan error, 1)
	go func() { pumped <- pump(s.console, script.output) }()
	status, ok := script.wait(s.session.CloseChan())
	if !ok {
		return io.EOF
	}
	if !s.family.killAll() {
		script.cutOutput()
		fmt.Fprintln(os.Stderr, "init: a process did not end although it was killed")
	}
	s.relays.Close()
	if err := <-pumped; err != nil {
		return err
	}
	// The next run puts them back too; what a script wrote there must not wait for it on the host's disk.
	if err := restore(s.files); err != nil {
		fmt.Fprintf(os.Stderr, "init: %v\n", err)
	}
	if err := s.console.Close(); err != nil {
		return err
	}
	return s.send(pipe.Event{Exit: exitOf(status, oomKills() > 0)})
}
