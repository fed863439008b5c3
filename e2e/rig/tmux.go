package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Tmux is a real terminal with nobody before it: keys go in, and what is on its
// screen can be looked at.
type Tmux struct {
	dir string // of its socket
	env []string
}

// StartTmux starts a command line on a terminal of w by h cells, in a folder.
func StartTmux(ctx context.Context, dir string, env []string, w, h int, command string) (*Tmux, error) {
	if _, err := exec.LookPath("tmux"); err != nil {
		return nil, errors.New("tmux is missing: apt-get install tmux (tools/need.sh tmux)")
	}
	sockets, err := os.MkdirTemp("", "ci-tmux-") // short: a socket's path has at most 107 bytes
	if err != nil {
		return nil, err
	}
	t := &Tmux{dir: sockets, env: env}
	_, err = t.run(ctx, "-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(w), "-y", fmt.Sprint(h), "-c", dir, command)
	return t, err
}

func (t *Tmux) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "tmux", append([]string{"-u"}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TMUX_TMPDIR=" + t.dir}, t.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tmux %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Keys presses keys by tmux's names: "Enter", "Escape", "C-s", or a text.
func (t *Tmux) Keys(ctx context.Context, keys ...string) error {
	_, err := t.run(ctx, append([]string{"send-keys"}, keys...)...)
	return err
}

// Screen is what is on the screen; colours with its SGR.
func (t *Tmux) Screen(ctx context.Context, colours bool) (string, error) {
	args := []string{"capture-pane", "-p"}
	if colours {
		args = append(args, "-e", "-N")
	}
	return t.run(ctx, args...)
}

// Await waits until all texts are on the screen.
func (t *Tmux) Await(ctx context.Context, limit time.Duration, texts ...string) error {
	var screen string
	err := Poll(ctx, limit, func() error {
		var err error
		if screen, err = t.Screen(ctx, false); err != nil {
			return err
		}
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return fmt.Errorf("%q is not on the screen", text)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w:\n%s", err, screen)
	}
	return nil
}

// Title is the terminal's title, which a program may set.
func (t *Tmux) Title(ctx context.Context) (string, error) {
	return t.run(ctx, "display-message", "-p", "#{pane_title}")
}

// Clipboard is what a program has put there by OSC 52.
func (t *Tmux) Clipboard(ctx context.Context) (string, error) { return t.run(ctx, "show-buffer") }

// Accept lets programs set the clipboard, as a terminal may be set to.
func (t *Tmux) Accept(ctx context.Context) error {
	_, err := t.run(ctx, "set-option", "-s", "set-clipboard", "on")
	return err
}

// Ended says whether the command has ended.
func (t *Tmux) Ended(ctx context.Context) bool {
	_, err := t.run(ctx, "has-session")
	return err != nil
}

// Close ends the terminal and what runs on it.
func (t *Tmux) Close(ctx context.Context) error {
	var err error
	if !t.Ended(ctx) {
		_, err = t.run(ctx, "kill-server")
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}
