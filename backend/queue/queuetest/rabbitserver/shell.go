package rabbitserver

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// shell is the server's Erlang shell: quicker than a program that starts an
// Erlang machine of its own for each question.
type shell struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   chan string // answers alone
	ended   chan struct{}
	one     sync.Mutex
	asked   int
	killing sync.Once
}

// sign begins and ends an answer's line.
const sign = "@@answer@@"

func newShell(cmd *exec.Cmd, output string) (*shell, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(output)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		_ = log.Close()
		return nil, err
	}
	sh := &shell{cmd: cmd, in: in, lines: make(chan string, 16), ended: make(chan struct{})}
	go func() {
		defer close(sh.ended)
		r := bufio.NewScanner(out)
		r.Buffer(nil, 1<<20)
		for r.Scan() {
			_, _ = fmt.Fprintln(log, r.Text())
			if parts := strings.Split(r.Text(), sign); len(parts) == 3 {
				sh.lines <- parts[1]
			}
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		_ = log.Close()
	}()
	return sh, nil
}

// eval works out an expression and returns what it prints as. An expression
// that fails prints as {'EXIT',…}.
func (sh *shell) eval(expression string) (string, error) {
	sh.one.Lock()
	defer sh.one.Unlock()
	sh.asked++
	// The sign is put together there, so that an echo of this line is no answer.
	ask := fmt.Sprintf("io:format(\"~n~s~b ~0p~s~n\", [\"@@\" ++ \"answer@@\", %d, (catch begin %s end), \"@@\" ++ \"answer@@\"]).\n", sh.asked, expression)
	if _, err := io.WriteString(sh.in, ask); err != nil {
		return "", err
	}
	late := time.NewTimer(slow)
	defer late.Stop()
	for {
		select {
		case line := <-sh.lines:
			if answer, ok := strings.CutPrefix(line, fmt.Sprintf("%d ", sh.asked)); ok {
				return answer, nil
			}
		case <-sh.ended:
			return "", fmt.Errorf("RabbitMQ has ended: %s", sh.cmd.ProcessState)
		case <-late.C:
			return "", fmt.Errorf("RabbitMQ does not answer %q within %s", expression, slow)
		}
	}
}

// kill ends the server and all that it started, and waits for it.
func (sh *shell) kill() {
	sh.killing.Do(func() {
		sh.signal(syscall.SIGKILL)
		_ = sh.in.Close()
		<-sh.ended
	})
}

func (sh *shell) signal(sig syscall.Signal) { _ = syscall.Kill(-sh.cmd.Process.Pid, sig) }

// stopped says whether no thread of the server and of what it started runs any more.
func (sh *shell) stopped() bool {
	threads, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/stat")
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text[max(0, bytes.LastIndexByte(text, ')')):]), " ")
		fields := strings.Fields(rest) // state, parent, process group, …
		if len(fields) > 2 && fields[2] == strconv.Itoa(sh.cmd.Process.Pid) && !strings.Contains("TtZX", fields[0]) {
			return false
		}
	}
	return true
}
