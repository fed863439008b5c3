package rig

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is one started program. Its output goes to Log.
type Process struct {
	Log    string
	cmd    *exec.Cmd
	exited chan struct{} // closed once it has ended
	err    error         // of Wait, then
}

// Launch starts a program. Its output is appended to the file log.
func Launch(log, path string, env []string, args ...string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the process has its own
	p := &Process{Log: log, cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, f, f
	// Should the test binary be killed, its processes go with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Alive says whether it has not ended yet.
func (p *Process) Alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal. One that has ended needs none.
func (p *Process) Signal(s syscall.Signal) error {
	if !p.Alive() {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Kill is kill -9; it returns when the process is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

// Wait returns the exit status, or an error when it has not ended in time.
func (p *Process) Wait(limit time.Duration) (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(limit):
		return 0, fmt.Errorf("%s has not ended after %s; its log ends so:\n%s", p.cmd.Path, limit, tail(p.Log, 30))
	}
}

// Stop asks the process to end, then more urgently, and in the end kills it.
// An exit status other than 0 is an error.
func (p *Process) Stop(patience time.Duration) error {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM} {
		if err := p.Signal(s); err != nil {
			return err
		}
		code, err := p.Wait(patience)
		if err != nil {
			continue
		}
		if code != 0 {
			return fmt.Errorf("%s ended with status %d; its log ends so:\n%s", p.cmd.Path, code, tail(p.Log, 30))
		}
		return nil
	}
	return errors.Join(fmt.Errorf("%s did not stop and was killed; its log ends so:\n%s", p.cmd.Path, tail(p.Log, 30)), p.Kill())
}
