package cli

import (
	"fmt"
	"os"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/sahilm/fuzzy"
)

// pickShown is how many labels a picker shows at a time.
const pickShown = 12

// pickOne lets somebody choose one of labels on the terminal: typing narrows them
// (fuzzily, best first), arrows move, enter takes, escape and Ctrl-C leave. It
// returns the index in labels, or -1. It writes to standard error, which is a terminal then.
func pickOne(title string, labels []string) (int, error) {
	end, err := tea.NewProgram(newPicker(title, labels), tea.WithOutput(os.Stderr)).Run()
	if err != nil {
		return -1, fmt.Errorf("the choice can't be shown: %w", err)
	}
	p, ok := end.(picker)
	if !ok || !p.taken || len(p.shown) == 0 {
		return -1, nil
	}
	return p.shown[p.at], nil
}

// picker is the state of a choice.
type picker struct {
	title  string
	labels []string
	typed  string
	shown  []int // indices of labels that match
	at     int   // in shown
	taken  bool
	gone   bool
}

func newPicker(title string, labels []string) picker {
	p := picker{title: title, labels: labels}
	return p.match("")
}

// match narrows the labels to those that fit what was typed.
func (p picker) match(typed string) picker {
	p.typed, p.at, p.shown = typed, 0, nil
	if typed == "" {
		for i := range p.labels {
			p.shown = append(p.shown, i)
		}
		return p
	}
	for _, m := range fuzzy.Find(typed, p.labels) {
		p.shown = append(p.shown, m.Index)
	}
	return p
}

// Init begins without a command.
func (p picker) Init() tea.Cmd { return nil }

// Update takes a key.
func (p picker) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if m, ok := msg.(tea.KeyMsg); ok {
		return p.key(m)
	}
	return p, nil
}

func (p picker) key(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch msg.String() {
	case "enter", "ctrl+j": // the latter is a line that was typed ahead
		p.taken = len(p.shown) > 0
		p.gone = p.taken
	case "esc", "ctrl+c":
		p.gone = true
	case "up", "ctrl+p":
		p.at = max(p.at-1, 0)
	case "down", "ctrl+n":
		p.at = max(min(p.at+1, len(p.shown)-1), 0)
	case "backspace":
		if r := []rune(p.typed); len(r) > 0 {
			return p.match(string(r[:len(r)-1])), nil
		}
	default:
		if (msg.Type == tea.KeyRunes || msg.Type == tea.KeySpace) && !msg.Alt { // also what was pasted
			return p.match(p.typed + clean(string(msg.Runes))), nil
		}
	}
	if p.gone {
		return p, tea.Quit
	}
	return p, nil
}

// View shows the title, what was typed, and the labels around the chosen one. At the end nothing stays.
func (p picker) View() string {
	if p.gone {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s▏\n", p.title, p.typed)
	from := max(0, min(p.at-pickShown/2, len(p.shown)-pickShown))
	for i := from; i < min(from+pickShown, len(p.shown)); i++ {
		mark := "  "
		if i == p.at {
			mark = "> "
		}
		b.WriteString(mark + p.labels[p.shown[i]] + "\n")
	}
	switch {
	case len(p.shown) == 0:
		b.WriteString("  nothing matches\n")
	case len(p.shown) > pickShown:
		fmt.Fprintf(&b, "  %d of %d\n", p.at+1, len(p.shown))
	}
	return b.String()
}
