package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/term"
)

// IOStreams is the world as a verb sees it. System makes the real one; tests
// make theirs.
type IOStreams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
	// InTTY, OutTTY and ErrTTY say which of them are terminals.
	InTTY, OutTTY, ErrTTY bool
	// OutColor and ErrColor say where colour is welcome.
	OutColor, ErrColor bool
	// Width is the terminal's, in columns; 0 does not limit.
	Width int
	// Env reads an environment variable.
	Env func(string) string
	// Now is the time, for ages.
	Now func() time.Time
	// ReadSecret reads a line from the terminal without showing it.
	ReadSecret func() ([]byte, error)
	// ReadLine reads a line of any length from the terminal, and shows it.
	ReadLine func(ctx context.Context) (string, error)
	// Again gives a context that ends with the next interrupt, after ctx has ended with one.
	Again func(ctx context.Context) (context.Context, context.CancelFunc)
	// Linger is how long after an interrupt a second one still means the same run; 0 does not wait for one.
	Linger time.Duration
	// Pick lets somebody choose one of labels on the terminal, and returns its index; -1 for none.
	Pick func(title string, labels []string) (int, error)
	// Version is the program's.
	Version string
}

// System is the world of a process.
func System(version string) IOStreams {
	s := IOStreams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY:  term.IsTerminal(int(os.Stdin.Fd())),
		OutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTTY: term.IsTerminal(int(os.Stderr.Fd())),
		Env:    os.Getenv, Now: time.Now, Version: version,
		ReadSecret: func() ([]byte, error) { return term.ReadPassword(int(os.Stdin.Fd())) },
		Again: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return signal.NotifyContext(context.WithoutCancel(ctx), os.Interrupt, syscall.SIGTERM)
		},
	}
	if s.InTTY && s.ErrTTY {
		s.Linger = 2 * time.Second
	}
	s.Pick, s.ReadLine = pickOne, typeLine
	s.OutColor, s.ErrColor = wantsColor(s.Env, s.OutTTY), wantsColor(s.Env, s.ErrTTY)
	if s.OutTTY {
		s.Width, _, _ = term.GetSize(int(os.Stdout.Fd()))
		if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
			s.Width = n
		}
	}
	return s
}

// wantsColor follows no-color.org and the CLICOLOR convention.
func wantsColor(env func(string) string, tty bool) bool {
	if env("NO_COLOR") != "" {
		return false
	}
	if f := env("CLICOLOR_FORCE"); f != "" && f != "0" {
		return true
	}
	return tty && env("TERM") != "dumb" && env("CLICOLOR") != "0"
}
