package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
)

// maxTyped is how much of a typed line is kept, in bytes.
const maxTyped = 64 << 10

// typeLine reads a line from the terminal, however long it is: a terminal that
// collects the line by itself ends it after 4,095 bytes (Linux, n_tty(7)) or 1,024
// (macOS), and drops the rest without a word. It writes to standard error, which is
// a terminal then.
func typeLine(ctx context.Context) (string, error) {
	end, err := tea.NewProgram(typed{}, tea.WithContext(ctx), tea.WithOutput(os.Stderr), tea.WithoutSignalHandler()).Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("the terminal does not hand over its keys: %w", err)
	}
	line, ok := end.(typed)
	if !ok || line.interrupted {
		return "", &exitError{code: exitDetached}
	}
	return line.text, nil
}

// typed is a line that is being typed or pasted, at its end.
type typed struct {
	text        string
	width       int // of the terminal; 0 is not known yet
	done        bool
	interrupted bool
}

// Init begins without a command.
func (l typed) Init() tea.Cmd { return nil }

// Update takes a key, or what was pasted.
func (l typed) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		l.width = m.Width
	case tea.KeyMsg:
		return l.key(m)
	}
	return l, nil
}

// key knows the keys that a terminal has for a line of its own (termios(3)).
func (l typed) key(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch msg.Type {
	case tea.KeyEnter, tea.KeyCtrlJ, tea.KeyCtrlD:
		l.done = true
	case tea.KeyCtrlC:
		l.done, l.interrupted = true, true
	case tea.KeyCtrlZ:
		return l, tea.Suspend
	case tea.KeyBackspace, tea.KeyCtrlH:
		if r := []rune(l.text); len(r) > 0 {
			l.text = string(r[:len(r)-1])
		}
	case tea.KeyCtrlW:
		l.text = l.text[:strings.LastIndexByte(strings.TrimRight(l.text, " "), ' ')+1]
	case tea.KeyCtrlU:
		l.text = ""
	case tea.KeyRunes, tea.KeySpace:
		if more := oneLine.Replace(string(msg.Runes)); !msg.Alt {
			l.text += more[:min(len(more), maxTyped-len(l.text))]
		}
	}
	if l.done {
		return l, tea.Quit
	}
	return l, nil
}

// oneLine takes the ends of lines out of what was pasted in brackets.
var oneLine = strings.NewReplacer("\n", "", "\r", "")

// View shows the end of the line, as far as there is room for it.
func (l typed) View() string {
	shown := clean(l.text)
	if over := ansi.StringWidth(shown) - max(l.width-len("> ")-1, 1); l.width > 0 && over > 0 {
		shown = ansi.TruncateLeft(shown, over+1, "…")
	}
	if l.done {
		return "> " + shown + "\n"
	}
	return "> " + shown + "▏"
}
