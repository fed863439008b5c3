package pid1

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// family is all processes of the container but this one. It reaps them as
// they end, whoever's children they were.
type family struct {
	mu      sync.Mutex // held while a child is made or reaped
	main    int        // the script's process
	status  chan syscall.WaitStatus
	signals chan os.Signal // all but the one below; read to be forgotten
	child   chan os.Signal // SIGCHLD
	done    chan struct{}
	reaped  sync.WaitGroup
}

// newFamily begins to reap. It also takes over every signal that can be
// taken: the kernel only protects PID 1 from signals that it does not handle,
// and the Go runtime handles them all, so each needs somebody who ignores it.
func newFamily() *family {
	f := &family{
		status:  make(chan syscall.WaitStatus, 1),
		signals: make(chan os.Signal, 1),
		child:   make(chan os.Signal, 1),
		done:    make(chan struct{}),
	}
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP: // can't be taken
		case syscall.SIGURG: // the runtime's own, many a second, ignored by default
		case syscall.SIGCHLD:
			signal.Notify(f.child, n)
		default:
			signal.Notify(f.signals, n)
		}
	}
	f.reaped.Go(f.reapForever)
	return f
}

func (f *family) close() {
	close(f.done)
	f.reaped.Wait()
}

func (f *family) reapForever() {
	for {
		select {
		case <-f.done:
			return
		case <-f.signals:
		case <-f.child:
			f.reap()
		}
	}
}

// reap collects everybody who has ended and says whether nobody is left.
func (f *family) reap() (empty bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return true // ECHILD
		}
		if pid <= 0 {
			return false
		}
		if pid == f.main {
			f.main = 0
			f.status <- status
		}
	}
}

// start runs make, which returns the script's process id, so that its end can't be missed.
func (f *family) start(make func() (int, error)) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pid, err := make()
	if err == nil {
		f.main = pid
	}
	return pid, err
}

// signal reaches the script's process group, unless the script has ended and
// its number may be somebody else's.
func (f *family) signal(pid int, s syscall.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.main == pid {
		_ = syscall.Kill(-pid, s)
	}
}

// killOnce kills everything that there is at this moment.
func (f *family) killOnce() { _ = unix.Kill(-1, unix.SIGKILL) }

// killAll kills until nobody is left. It gives up after some seconds, which
// only a process that hangs inside the kernel can outlast, and says so.
func (f *family) killAll() bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		f.killOnce()
		if f.reap() {
			return true
		}
	}
	return false
}
