package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
	"ci/agentd/toolbox/relay"
)

// scriptFile is where the script is while it runs: not in the working
// directory, and not the user's to change.
const scriptFile = "/run/ci/script"

// script is the started script.
type script struct {
	pid    int
	output *os.File // the read end of its standard output and error
	status <-chan syscall.WaitStatus
}

// begin readies the container as the order says, and starts the script.
func (s *server) begin(o *pipe.Order) (*script, error) {
	if err := restore(o.Files); err != nil {
		return nil, err
	}
	who, err := lookup("/", o.User)
	if err != nil {
		return nil, err
	}
	if err := furnish(o, who); err != nil {
		return nil, err
	}
	if s.workdir, err = filepath.EvalSymlinks(o.Workdir); err != nil {
		return nil, err
	}
	if s.relays, err = relay.Listen(o.Listen, int(who.uid), int(who.gid)); err != nil {
		return nil, err
	}
	s.files = o.Files
	env, err := introduce(o, withFolder(who.environ(o.Env), o.Tools))
	if err != nil {
		return nil, err
	}
	env = who.environ(env) // the last word of each name counts
	argv, err := command(o, env)
	if err != nil {
		return nil, err
	}
	return s.spawn(argv, env, o.Workdir, who)
}

// furnish makes the folders and the file that the script needs.
func furnish(o *pipe.Order, who user) error {
	if _, err := os.Stat("/tmp"); errors.Is(err, os.ErrNotExist) {
		if err := makeTmp(); err != nil {
			return fmt.Errorf("the image has no /tmp and it can't be made: %w", err)
		}
	}
	if err := makeWorkdir(o.Workdir, o.Own, who); err != nil {
		return fmt.Errorf("the working directory %s can't be made: %w; environment.workdir names another", o.Workdir, err)
	}
	if err := writeScript(o.Script); err != nil {
		return fmt.Errorf("the script can't be stored in the container: %w", err)
	}
	return nil
}

func writeScript(text string) error {
	if err := os.MkdirAll(filepath.Dir(scriptFile), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(scriptFile); err != nil {
		return err
	}
	f, err := os.OpenFile(scriptFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o555)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Chmod(0o555), f.Close())
}

// spawn starts argv with nothing but env, in a session of its own, with
// standard output and error on one pipe so that their order is kept.
func (s *server) spawn(argv, env []string, dir string, who user) (*script, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(ends[1])
	_, _ = unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, pipeSize) // a favour, not a need
	if err := unix.SetNonblock(ends[0], true); err != nil {
		unix.Close(ends[0])
		return nil, err
	}
	output := os.NewFile(uintptr(ends[0]), "output")
	attr := &syscall.ProcAttr{
		Dir:   dir,
		Env:   env,
		Files: []uintptr{null.Fd(), uintptr(ends[1]), uintptr(ends[1])},
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: who.credential()},
	}
	pid, err := s.family.start(func() (int, error) {
		return expendable(func() (int, error) { return syscall.ForkExec(argv[0], argv, attr) })
	})
	if err != nil {
		output.Close()
		return nil, startError(argv, dir, who, err)
	}
	return &script{pid: pid, output: output, status: s.family.status}, nil
}

// startError says in a sentence why argv could not be started.
func startError(argv []string, dir string, who user, err error) error {
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("user %s may not run %s, or may not enter the working directory %s: %w", who.name, argv[0], dir, err)
	}
	return fmt.Errorf("%s can't be started in the image: %w", strings.Join(argv, " "), err)
}

// expendable makes a process that the kernel kills first when memory runs
// out: a process passes its own rank on, so this one takes it for a moment.
func expendable(make func() (int, error)) (int, error) {
	const rank = "/proc/self/oom_score_adj"
	before, err := os.ReadFile(rank)
	if err != nil {
		return make()
	}
	_ = os.WriteFile(rank, []byte("1000"), 0)
	pid, err := make()
	_ = os.WriteFile(rank, before, 0)
	return pid, err
}

// wait returns how the script ended; ok is false when the agent went away first.
func (s *script) wait(gone <-chan struct{}) (status syscall.WaitStatus, ok bool) {
	select {
	case status := <-s.status:
		return status, true
	case <-gone:
		return 0, false
	}
}

// cutOutput ends the reading of output although somebody still holds the other end.
func (s *script) cutOutput() { _ = s.output.SetReadDeadline(time.Now().Add(time.Second)) }

// exitOf puts a wait status into the agent's words.
func exitOf(status syscall.WaitStatus, oom bool) *pipe.Exit {
	if status.Signaled() {
		name := unix.SignalName(status.Signal())
		if name == "" {
			name = "signal " + strconv.Itoa(int(status.Signal()))
		}
		return &pipe.Exit{Code: 128 + int(status.Signal()), Signal: name, OOM: oom}
	}
	return &pipe.Exit{Code: status.ExitStatus(), OOM: oom}
}
