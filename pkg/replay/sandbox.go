package replay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ci/pkg/ci"
)

const (
	// patience is how long a replay may take by the clock, on a machine that is busy.
	patience = 2 * time.Minute
	// idle is how long a child is kept that has nothing to do.
	idle = 5 * time.Second
	// maxAnswer is the longest answer of a child.
	maxAnswer = 16 << 20
	// exitCrash is the exit code of a Go program that its runtime ends.
	exitCrash = 2
)

// Sandbox replays programs in a process of its own, which the kernel ends when
// a program takes more memory or time than it may. One process serves one
// program after another, and goes away when there is nothing to do. It is safe
// for many callers at once; they take turns.
type Sandbox struct {
	path string
	env  []string

	mu      sync.Mutex
	child   *child
	resting *time.Timer
}

// ourselves is the program that this process runs, also when its file was
// replaced by another release or is gone.
const ourselves = "/proc/self/exe"

// NewSandbox replays with the program at path, which must call Main when its
// argument is Verb; "" is this process's own program.
func NewSandbox(path string, env ...string) *Sandbox {
	return &Sandbox{path: cmp.Or(path, ourselves), env: env}
}

// Evaluate is the function Evaluate behind walls. An error says that nothing is
// known: the child could not be started, or was ended from outside; try again.
func (s *Sandbox) Evaluate(ctx context.Context, in Input) (*Output, error) {
	request, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		c, err := s.start()
		if err != nil {
			return nil, ci.Errorf(ci.CodeUnavailable, "the process that replays pipelines can't be started: %w", err)
		}
		s.child = c
	}
	if s.resting != nil {
		s.resting.Stop()
	}
	out, err := s.child.ask(ctx, request)
	if err != nil {
		said, crashed := s.child.end()
		s.child = nil
		return dead(in.Name, said, crashed, err)
	}
	s.resting = time.AfterFunc(idle, func() { _ = s.Close() })
	return out, nil
}

// Close ends the child. The Sandbox may be used again.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		s.child.end()
		s.child = nil
	}
	return nil
}

// dead tells what a child that died says about the program.
func dead(name, said string, crashed bool, err error) (*Output, error) {
	out := &Output{}
	switch {
	case errors.Is(err, errLong):
		fault(out, fmt.Sprintf("%s makes calls with more than %d MiB of arguments at once; pass less, or leave it to a job", name, maxAnswer>>20))
	case strings.Contains(said, timeUp):
		fault(out, fmt.Sprintf("%s takes more than %d seconds of computing; do less, or leave it to a job", name, maxSeconds))
	case strings.Contains(said, "stack exceeds") || strings.Contains(said, "stack overflow"):
		fault(out, fmt.Sprintf("%s is nested too deeply", name))
	case noMemory(said):
		fault(out, fmt.Sprintf("%s takes more memory than the %d MiB that a pipeline may have; keep large things in results, and leave work to jobs", name, maxMemory>>20))
	case crashed:
		// Where the kernel gives no memory, Go's runtime may fall over anywhere.
		fault(out, name+" crashes the interpreter, most likely since it takes too much memory: "+firstLine(said))
	default:
		return nil, ci.Errorf(ci.CodeUnavailable, "the process that replays pipelines ended: %w (%s)", err, cut(said))
	}
	return out, nil
}

// noMemory says whether Go's runtime ended because the kernel gave it no memory, for its heap or for a thread.
func noMemory(said string) bool {
	return slices.ContainsFunc([]string{"out of memory", "cannot allocate memory", "failed to reserve", "failed to create new OS thread", "pthread_create failed"},
		func(words string) bool { return strings.Contains(said, words) })
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// errLong is what a reader says of an answer that is longer than one may be.
var errLong = errors.New("the answer is too long")

// bounded reads so many bytes, and is an error then: a decoder would take an end for an answer that broke off.
type bounded struct {
	r    io.Reader
	room int64
}

// Read reads on.
func (b *bounded) Read(p []byte) (int, error) {
	if b.room <= 0 {
		return 0, errLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.room)])
	b.room -= int64(n)
	return n, err
}

// child is one process.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	limit  *bounded
	errors *head
}

func (s *Sandbox) start() (*child, error) {
	c := &child{cmd: exec.Command(s.path, Verb), errors: &head{}}
	c.cmd.Args[0] = os.Args[0] // for those who list processes
	// Nothing of our environment: it may hold secrets.
	c.cmd.Env = append([]string{"GOMAXPROCS=2", "GOTRACEBACK=none"}, s.env...)
	c.cmd.Dir, c.cmd.Stderr = "/", c.errors
	// In a group of its own: a signal from a terminal is for us, who end the child in our own time.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.limit = &bounded{r: out}
	c.out = json.NewDecoder(c.limit)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	return c, nil
}

// ask sends one request and reads its answer. The end of ctx, or of patience, ends the child.
func (c *child) ask(ctx context.Context, request []byte) (*Output, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.cmd.Process.Kill() })
	defer stop()
	c.limit.room = maxAnswer
	if _, err := c.in.Write(append(request, '\n')); err != nil {
		return nil, err
	}
	var out Output
	if err := c.out.Decode(&out); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return &out, nil
}

// end takes the process down and returns the beginning of what it said, and
// whether it fell over by itself.
func (c *child) end() (said string, crashed bool) {
	_ = c.in.Close()
	kill := time.AfterFunc(time.Second, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	_ = c.cmd.Wait() // its state is looked at
	if c.cmd.ProcessState == nil {
		return c.errors.String(), false // nobody can say how it ended
	}
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	crashed = ok && (status.ExitStatus() == exitCrash || status.Signaled() && status.Signal() != syscall.SIGKILL && status.Signal() != syscall.SIGTERM)
	return c.errors.String(), crashed
}

// head keeps the first bytes that are written to it.
type head struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write keeps what fits.
func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if room := 4<<10 - h.b.Len(); room > 0 {
		h.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}
