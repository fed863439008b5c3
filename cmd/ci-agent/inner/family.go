package inner

import (
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
)

// family is every process of the container but this one: those that it starts,
// and orphans, which the kernel gives to the first process (containers' shims
// are such). All are reaped here, so nothing else may wait for a process.
type family struct {
	mu     sync.Mutex // held while a child is made or reaped
	known  map[int]*child
	signal chan os.Signal // SIGCHLD
	done   chan struct{}
	ended  sync.WaitGroup
}

// child is a process that was started here.
type child struct {
	pid    int
	ended  chan struct{}      // closed once it has ended
	status syscall.WaitStatus // of its end, then
}

func newFamily() *family {
	f := &family{known: map[int]*child{}, signal: make(chan os.Signal, 1), done: make(chan struct{})}
	signal.Notify(f.signal, syscall.SIGCHLD)
	f.ended.Go(func() {
		for {
			select {
			case <-f.done:
				return
			case <-f.signal:
				f.reap()
			}
		}
	})
	return f
}

func (f *family) close() {
	signal.Stop(f.signal)
	close(f.done)
	f.ended.Wait()
}

// reap collects everybody who has ended.
func (f *family) reap() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if c := f.known[pid]; c != nil {
			delete(f.known, pid)
			c.status = status
			close(c.ended)
		}
	}
}

// command is a program to start; user is whom it runs as, the zero account ourselves.
type command struct {
	argv []string
	env  []string
	user account
}

// start starts a program in a process group of its own, so that the terminal's
// signals reach it by us alone.
func (f *family) start(c command) (*child, error) {
	path, err := exec.LookPath(c.argv[0])
	if err != nil {
		return nil, err
	}
	attr := &os.ProcAttr{Env: c.env, Files: []*os.File{nil, os.Stderr, os.Stderr}, Sys: &syscall.SysProcAttr{Setpgid: true}}
	if c.user != (account{}) {
		attr.Sys.Credential = &syscall.Credential{Uid: c.user.uid, Gid: c.user.gid}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := os.StartProcess(path, c.argv, attr)
	if err != nil {
		return nil, err
	}
	made := &child{pid: p.Pid, ended: make(chan struct{})}
	f.known[p.Pid] = made
	_ = p.Release() // reap waits for it
	return made, nil
}

// send signals a child, unless it has ended: its number may be another's then.
func (f *family) send(c *child, s syscall.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c != nil && f.known[c.pid] == c {
		_ = syscall.Kill(c.pid, s)
	}
}
