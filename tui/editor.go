package tui

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/tui/paint"
)

// editor opens the user's own, which has the terminal meanwhile.
type editor struct {
	env      func(string) string
	terminal *paint.Terminal
}

// maxEdited is the largest text that is read back.
const maxEdited = 4 << 20

// edit opens a text in a file called name. done gets what the file holds then;
// the file is gone by that time. A secret's file lies in memory.
func (e editor) edit(name string, text []byte, secret bool, done func([]byte, error) tea.Msg) tea.Cmd {
	fail := func(err error) tea.Cmd { return func() tea.Msg { return done(nil, err) } }
	program, err := e.program()
	if err != nil {
		return fail(err)
	}
	base := os.TempDir()
	if secret {
		if base, err = memoryFolder(e.env); err != nil {
			return fail(err)
		}
	}
	// A folder of its own: editors put copies beside the file, which go with it.
	dir, err := os.MkdirTemp(base, "ci-edit-") // mode 0700
	if err != nil {
		return fail(fmt.Errorf("there is no place for the file to edit: %w", err))
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fail(errors.Join(err, os.RemoveAll(dir)))
	}
	// EDITOR may have arguments, so a shell reads it, as git has it.
	cmd := exec.Command("sh", "-c", program+` "$@"`, program, path)
	return tea.Exec(lent{cmd, e.terminal}, func(err error) tea.Msg {
		got, rerr := readBack(path)
		if err != nil {
			err = ci.Errorf(ci.CodeInvalid, "the editor %q failed: %w", program, err)
		}
		return done(got, errors.Join(err, rerr, os.RemoveAll(dir)))
	})
}

// lent is a program that the terminal is lent to, as tea.ExecCommand has it:
// bubbletea reads no keys meanwhile.
type lent struct {
	cmd      *exec.Cmd
	terminal *paint.Terminal
}

// Run implements tea.ExecCommand.
func (l lent) Run() error { return l.terminal.Lend(l.cmd) }

// SetStdin implements tea.ExecCommand. The program gets the terminal itself, no wrapper of it.
func (lent) SetStdin(io.Reader) {}

// SetStdout implements tea.ExecCommand.
func (lent) SetStdout(io.Writer) {}

// SetStderr implements tea.ExecCommand.
func (lent) SetStderr(io.Writer) {}

func readBack(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxEdited {
		return nil, ci.Errorf(ci.CodeTooLarge, "the edited file has %s; at most %s are read", ci.Bytes(info.Size()), ci.Bytes(maxEdited))
	}
	return os.ReadFile(path)
}

// program is VISUAL, EDITOR, or the first usual one that is there.
func (e editor) program() (string, error) {
	for _, name := range []string{"VISUAL", "EDITOR"} {
		if v := e.env(name); v != "" {
			return v, nil
		}
	}
	for _, name := range []string{"editor", "nano", "vim", "vi"} {
		if _, err := exec.LookPath(name); err == nil {
			return name, nil
		}
	}
	return "", ci.Errorf(ci.CodeInvalid, "no editor is there; set EDITOR to one")
}
