package widget

import (
	"strings"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"ci/pkg/terminal"
)

// Input is one line of text that is being typed.
type Input struct {
	text []rune
	at   int
	// Hidden shows dots in place of the text.
	Hidden bool
	// Max bounds the text, in runes; 0 is 64 Ki.
	Max int
}

// NewInput begins with a text.
func NewInput(text string) Input {
	r := []rune(text)
	return Input{text: r, at: len(r)}
}

// Value is the text.
func (i *Input) Value() string { return string(i.text) }

// Set replaces the text.
func (i *Input) Set(text string) { i.text = []rune(text); i.at = len(i.text) }

// Narrow takes a key while the input is a table's filter, and says whether it
// still is being typed: enter keeps it, esc empties it, up and down move in the table.
func (i *Input) Narrow(k tea.KeyMsg, t *Table) (typing bool) {
	switch k.String() {
	case "esc", "ctrl+c":
		i.Set("")
		return false
	case "enter":
		return false
	case "up":
		t.Move(-1)
	case "down":
		t.Move(1)
	default:
		i.Key(k)
	}
	return true
}

// Key takes a key, and says whether it was one of the input's.
func (i *Input) Key(k tea.KeyMsg) bool {
	switch k.String() {
	case "left", "ctrl+b":
		i.at = max(0, i.at-1)
	case "right", "ctrl+f":
		i.at = min(len(i.text), i.at+1)
	case "home", "ctrl+a":
		i.at = 0
	case "end", "ctrl+e":
		i.at = len(i.text)
	case "backspace", "ctrl+h":
		i.cut(i.at-1, i.at)
	case "delete":
		i.cut(i.at, i.at+1)
	case "ctrl+u":
		i.cut(0, i.at)
	case "ctrl+k":
		i.cut(i.at, len(i.text))
	case "ctrl+w", "alt+backspace":
		i.cut(i.wordBefore(), i.at)
	default:
		if k.Type != tea.KeyRunes && k.Type != tea.KeySpace || k.Alt {
			return false
		}
		i.insert(k.Runes)
	}
	return true
}

func (i *Input) cut(from, to int) {
	from, to = max(0, from), min(len(i.text), to)
	if from < to {
		i.text = append(i.text[:from], i.text[to:]...)
		i.at = from
	}
}

func (i *Input) wordBefore() int {
	at := i.at
	for at > 0 && unicode.IsSpace(i.text[at-1]) {
		at--
	}
	for at > 0 && !unicode.IsSpace(i.text[at-1]) {
		at--
	}
	return at
}

func (i *Input) insert(runes []rune) {
	limit := i.Max
	if limit == 0 {
		limit = 64 << 10
	}
	for _, r := range runes {
		if len(i.text) >= limit || (terminal.Unsafe(r) && !unicode.IsSpace(r)) {
			continue
		}
		if unicode.IsSpace(r) {
			r = ' ' // a pasted line end would send the text
		}
		i.text = append(i.text[:i.at], append([]rune{r}, i.text[i.at:]...)...)
		i.at++
	}
}

// View shows the text in w cells, with the cursor in reverse when on.
func (i *Input) View(w int, on bool) string {
	text := i.text
	if i.Hidden {
		text = []rune(strings.Repeat("•", len(i.text)))
	}
	if !on {
		return Fit(terminal.Clean(string(text)), w)
	}
	before, under, after := string(text[:i.at]), " ", ""
	if i.at < len(text) {
		under, after = string(text[i.at]), string(text[i.at+1:])
	}
	if n := ansi.StringWidth(before); n >= w {
		before = "…" + ansi.Cut(before, n-w+2, n)
	}
	return Fit(before+"\x1b[7m"+under+"\x1b[0m"+after, w)
}
