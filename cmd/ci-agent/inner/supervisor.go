package inner

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// supervisor looks after an engine and an agent.
type supervisor struct {
	family        *family
	log           *slog.Logger
	signals       <-chan os.Signal
	engine, agent command
	// ready says whether the engine answers.
	ready func(context.Context) error
	// limit and stopLimit bound the engine's start and end; pause is the first
	// of the pauses before one that has died is started again.
	limit, stopLimit, pause time.Duration
}

// run returns when the agent has ended and the engine with it: nil, or the
// agent's exit status as an exit.
func (s *supervisor) run() error {
	engine, err := s.family.start(s.engine)
	if err != nil {
		return fmt.Errorf("the engine can't be started: %w", err)
	}
	stopped, err := s.await(engine)
	if err != nil || stopped {
		s.stop(engine)
		return err
	}
	agent, err := s.family.start(s.agent)
	if err != nil {
		s.stop(engine)
		return fmt.Errorf("the agent can't be started: %w", err)
	}
	return s.watch(engine, agent)
}

// await waits until the engine answers; stopped says that a signal came first.
func (s *supervisor) await(engine *child) (stopped bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		err := s.ready(ctx)
		if err == nil {
			return false, nil
		}
		select {
		case <-look.C:
		case <-s.signals:
			return true, nil
		case <-engine.ended:
			return false, fmt.Errorf("the engine ended with %s before it answered; what it said stands above, and what this container needs in docs/operations.md, \"Deploy\"", words(engine.status))
		case <-ctx.Done():
			return false, fmt.Errorf("the engine does not answer after %s: %w", s.limit, err)
		}
	}
}

// watch hands signals on to the agent until it ends. An engine that dies is
// started again: the agent finds its runs gone, and says so of each.
func (s *supervisor) watch(engine, agent *child) error {
	pause, began := s.pause, time.Now()
	var again <-chan time.Time
	died := engine.ended
	for {
		select {
		case <-agent.ended:
			s.stop(engine)
			return code(agent.status)
		case sig := <-s.signals:
			s.family.send(agent, sig.(syscall.Signal))
		case <-died:
			if time.Since(began) > restartMost {
				pause = s.pause
			}
			s.log.Error("the engine has ended by itself and is started again", "ended", words(engine.status), "after", pause)
			engine, died, again = nil, nil, time.After(pause)
			pause = min(2*pause, restartMost)
		case <-again:
			made, err := s.family.start(s.engine)
			if err != nil {
				s.log.Error("the engine can't be started", "err", err, "again_after", pause)
				again = time.After(pause)
				continue
			}
			engine, died, again, began = made, made.ended, nil, time.Now()
		}
	}
}

// stop ends the engine in order, or after a while out of order.
func (s *supervisor) stop(engine *child) {
	if engine == nil {
		return
	}
	s.family.send(engine, syscall.SIGTERM)
	select {
	case <-engine.ended:
		return
	case <-time.After(s.stopLimit):
	}
	s.log.Warn("the engine does not end and is killed", "after", s.stopLimit)
	s.family.send(engine, syscall.SIGKILL)
	// One that hangs in the kernel outlasts even that; the container's end takes it along.
	select {
	case <-engine.ended:
	case <-time.After(5 * time.Second):
	}
}

// code is the status that we exit with, as a shell gives it.
func code(s syscall.WaitStatus) error {
	switch {
	case s.Signaled():
		return exit(128 + int(s.Signal()))
	case s.ExitStatus() != 0:
		return exit(s.ExitStatus())
	}
	return nil
}

func words(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "signal " + s.Signal().String()
	}
	return fmt.Sprintf("status %d", s.ExitStatus())
}

// ping asks the engine behind a Unix socket whether it serves.
func ping(ctx context.Context, path string) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", nil)
	if err != nil {
		return err
	}
	r, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the engine does not answer: %w", err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("the engine answers %s", r.Status)
	}
	return nil
}
