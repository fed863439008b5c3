package tui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/tui/screen"
	"ci/tui/theme"
	"ci/tui/widget"
)

// help lists the bindings of a screen and those that work everywhere. It is
// made of the bindings themselves, so that it can't say anything else.
type help struct {
	title string
	keys  []key.Binding
	top   int
	most  int // how far it can be scrolled
}

func newHelp(s screen.Screen) *help { return &help{title: s.Title(), keys: s.Keys()} }

// key takes a key and says whether the help shall go away.
func (h *help) key(m tea.KeyMsg) (away bool) {
	switch m.String() {
	case "down", "j":
		h.top = min(h.top+1, h.most)
	case "up", "k":
		h.top = max(0, h.top-1)
	case "pgdown", " ":
		h.top = min(h.top+10, h.most)
	case "pgup":
		h.top = max(0, h.top-10)
	default:
		return true
	}
	return false
}

func (h *help) view(t *theme.Theme, w, height int) []string {
	width := min(w-2, 64)
	lines := []string{t.Head.Clean(h.title)}
	lines = append(lines, bindings(t, h.keys)...)
	lines = append(lines, "", t.Head.Render("Everywhere"))
	lines = append(lines, bindings(t, globalKeys())...)
	room := max(3, height-4)
	h.most = max(0, len(lines)-room)
	lines = lines[h.top:min(len(lines), h.top+room)]
	foot := "any other key closes"
	if h.most > 0 {
		foot = "↑ ↓ scroll · any other key closes"
	}
	return widget.Frame(t.Strong.Render("Keys"), append(lines, t.Faint.Render(foot)), width)
}

func bindings(t *theme.Theme, keys []key.Binding) []string {
	var lines []string
	for _, b := range keys {
		all := ""
		for i, k := range b.Keys() {
			if i == 0 {
				k = b.Help().Key
			} else if k == " " {
				k = "space"
			}
			all += k + " "
		}
		lines = append(lines, t.Key.Render(widget.Fit(all, 22))+" "+b.Help().Desc)
	}
	return lines
}
