package tui

import (
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/pipelinelist"
	"ci/tui/runlist"
	"ci/tui/runview"
	"ci/tui/screen"
	"ci/tui/theme"
	"ci/tui/trigger"
	"ci/tui/widget"
)

// palette finds commands, jobs, pipelines and runs by some letters of their names.
type palette struct {
	program *program
	input   widget.Input
	all     []entry
	shown   []entry
	at      int
}

// entry is one thing that the palette can do.
type entry struct {
	label, key string
	do         func() tea.Cmd
}

func newPalette(p *program) *palette {
	q := &palette{program: p}
	for _, b := range append(p.top().Keys(), globalKeys()...) {
		if m, ok := keyOf(b.Keys()[0]); ok {
			q.all = append(q.all, entry{b.Help().Desc, b.Help().Key, func() tea.Cmd { return p.command(m) }})
		}
	}
	for i, l := range p.lists {
		q.all = append(q.all, entry{"go to " + l.Title(), strconv.Itoa(i + 1), func() tea.Cmd {
			for len(p.stack) > 0 {
				p.back()
			}
			p.list = i
			return nil
		}})
	}
	if p.world.Last != nil {
		for i := range p.world.Last.Jobs {
			j := &p.world.Last.Jobs[i]
			q.all = append(q.all,
				entry{"runs of " + j.Name, "", func() tea.Cmd { return push(runlist.New(p.world, j.Name)) }},
				entry{"trigger " + j.Name, "", func() tea.Cmd { return trigger.Form(p.world, j, nil) }})
		}
	}
	if p.world.Pipelines != nil {
		for i := range p.world.Pipelines.List {
			l := &p.world.Pipelines.List[i]
			q.all = append(q.all,
				entry{"runs of pipeline " + l.Name, "", func() tea.Cmd { return push(pipelinelist.NewRuns(p.world, l.Name)) }},
				entry{"start pipeline " + l.Name, "", func() tea.Cmd { return pipelinelist.Start(p.world, l) }})
		}
	}
	q.match()
	return q
}

func push(s screen.Screen) tea.Cmd { return screen.Send(screen.Push{Screen: s}) }

// keyOf is the message that a key makes.
func keyOf(name string) (tea.KeyMsg, bool) {
	named := map[string]tea.KeyType{
		"enter": tea.KeyEnter, "tab": tea.KeyTab, "shift+tab": tea.KeyShiftTab, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight,
		"pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "ctrl+r": tea.KeyCtrlR, "ctrl+l": tea.KeyCtrlL,
	}
	if t, ok := named[name]; ok {
		return tea.KeyMsg{Type: t}, true
	}
	if r := []rune(name); len(r) == 1 && name != ":" {
		return tea.KeyMsg{Type: tea.KeyRunes, Runes: r}, true
	}
	return tea.KeyMsg{}, false
}

// match lists the entries that hold the letters of the input in their order. A
// run's name opens that run.
func (q *palette) match() {
	text := strings.ToLower(strings.TrimSpace(q.input.Value()))
	q.shown, q.at = nil, 0
	if ref, ok := runRef(q.input.Value()); ok {
		q.shown = append(q.shown, entry{"open run " + ref.String(), "", func() tea.Cmd {
			return push(runview.New(q.program.world, ref, runview.Overview))
		}})
	}
	var loose []entry
	for _, e := range q.all {
		label := strings.ToLower(e.label)
		switch {
		case strings.Contains(label, text):
			q.shown = append(q.shown, e)
		case subsequence(label, text):
			loose = append(loose, e)
		}
	}
	q.shown = append(q.shown, loose...)
}

// runRef reads "job/12".
func runRef(s string) (ci.RunRef, bool) {
	job, id, ok := strings.Cut(strings.TrimSpace(s), "/")
	n, err := strconv.ParseUint(id, 10, 32)
	if !ok || err != nil || ci.ValidateName(job) != nil {
		return ci.RunRef{}, false
	}
	return ci.RunRef{Job: job, Run: int64(n)}, true
}

// subsequence says whether the letters of part are in s in their order.
func subsequence(s, part string) bool {
	for _, r := range part {
		i := strings.IndexRune(s, r)
		if i < 0 {
			return false
		}
		s = s[i+len(string(r)):]
	}
	return true
}

func (p *program) paletteKey(m tea.KeyMsg) tea.Cmd {
	q := p.palette
	switch m.String() {
	case "esc", "ctrl+p":
		p.palette = nil
	case "enter":
		p.palette = nil
		if q.at < len(q.shown) {
			return q.shown[q.at].do()
		}
	case "up":
		q.at = max(0, q.at-1)
	case "down", "tab":
		q.at = max(0, min(q.at+1, len(q.shown)-1))
	default:
		q.input.Key(m)
		q.match()
	}
	return nil
}

func (q *palette) view(t *theme.Theme, w, h int) []string {
	width := min(w-2, 64)
	inner := width - 4
	lines := []string{t.Accent.Render("› ") + q.input.View(inner-2, true), ""}
	room := max(1, min(h-6, 14))
	from := max(0, q.at-room+1)
	for i := from; i < min(len(q.shown), from+room); i++ {
		line := widget.Sides(" "+terminal.Clean(q.shown[i].label), terminal.Clean(q.shown[i].key)+" ", inner)
		if i == q.at {
			line = t.Selected.Render(line)
		}
		lines = append(lines, line)
	}
	if len(q.shown) == 0 {
		lines = append(lines, t.Faint.Render("nothing is called so"))
	}
	for len(lines) < room+2 {
		lines = append(lines, "")
	}
	return widget.Frame(t.Strong.Render("Commands"), lines, width)
}
