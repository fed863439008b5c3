package rig

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pty is a program on a terminal of its own that nobody draws: what it writes
// is read at once, so that one can tell when.
type Pty struct {
	Cmd   *exec.Cmd
	Began time.Time
	f     *os.File

	mu    sync.Mutex
	seen  []byte // since the last Expect or Send
	woken chan struct{}
	read  chan struct{} // closed once the program has written its last
}

// StartPty starts cmd on a terminal of w by h cells.
func StartPty(cmd *exec.Cmd, w, h uint16) (*Pty, error) {
	f, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: h, Col: w})
	}
	if err != nil {
		return nil, fmt.Errorf("a terminal: %w", err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer tty.Close() // the program has its own
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	p := &Pty{Cmd: cmd, f: f, woken: make(chan struct{}, 1), read: make(chan struct{}), Began: time.Now()}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go p.drain()
	return p, nil
}

func (p *Pty) drain() {
	defer close(p.read)
	buf := make([]byte, 64<<10)
	for {
		n, err := p.f.Read(buf)
		if err != nil {
			return // EIO: nobody has the other end any more
		}
		p.mu.Lock()
		p.seen = append(p.seen, buf[:n]...)
		if len(p.seen) > 1<<20 {
			p.seen = append(p.seen[:0], p.seen[len(p.seen)-64<<10:]...)
		}
		p.mu.Unlock()
		select {
		case p.woken <- struct{}{}:
		default:
		}
	}
}

// Send types keys, and forgets what was written before.
func (p *Pty) Send(keys string) error {
	p.mu.Lock()
	p.seen = p.seen[:0]
	p.mu.Unlock()
	_, err := p.f.WriteString(keys)
	return err
}

// Expect waits until the program has written text since the last Send, and
// returns when that was seen.
func (p *Pty) Expect(text string, limit time.Duration) (time.Time, error) {
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		p.mu.Lock()
		there := bytes.Contains(p.seen, []byte(text))
		p.mu.Unlock()
		if there {
			return time.Now(), nil
		}
		select {
		case <-p.woken:
		case <-p.read:
			return time.Time{}, fmt.Errorf("the program ended before it wrote %q", text)
		case <-over.C:
			p.mu.Lock()
			defer p.mu.Unlock()
			return time.Time{}, fmt.Errorf("%q was not written within %s; the last was %q", text, limit, p.seen[max(0, len(p.seen)-2000):])
		}
	}
}

// Rest waits for the program's end and returns what it wrote since the last Send.
func (p *Pty) Rest(limit time.Duration) (string, error) {
	select {
	case <-p.read:
	case <-time.After(limit):
		return "", fmt.Errorf("the program goes on after %s", limit)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.seen), nil
}

// Close ends the program and the terminal.
func (p *Pty) Close() error {
	_ = p.Cmd.Process.Kill()
	_ = p.Cmd.Wait() // it was killed
	err := p.f.Close()
	<-p.read
	return err
}
