// Package agentlist shows the machines that carry out runs: their load and what
// they have left, live, why they take nothing, and their draining.
package agentlist

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/runlist"
	"ci/tui/runview"
	"ci/tui/screen"
	"ci/tui/theme"
	"ci/tui/widget"
)

// List is the screen.
type List struct {
	world  *screen.World
	table  widget.Table
	agents []ci.Agent
	runs   []ci.Run
	denied string
	ready  bool
}

// Bindings.
var (
	keyDrain   = screen.Bind("drain", "d")
	keyUndrain = screen.Bind("take runs again", "u")
	keyOpen    = screen.Bind("open its first run", "enter")
)

// awayAfter is when an agent that says nothing counts as away. It speaks every few seconds.
const awayAfter = 30 * time.Second

// New lists the agents.
func New(w *screen.World) *List {
	return &List{world: w, table: widget.Table{Theme: w.Theme, Columns: []widget.Column{
		{Head: "AGENT", Flex: true, Max: 32},
		{Head: "STATE"},
		{Head: "CPU"},
		{Head: "CORES FREE", Right: true, Drop: 1},
		{Head: "MEMORY FREE", Right: true, Drop: 2},
		{Head: "RUNS", Flex: true, Max: 20},
		{Head: "SEEN", Right: true, Drop: 3},
		{Head: "VERSION", Max: 16, Drop: 5},
		{Head: "NOTE", Flex: true, Drop: 4},
	}}}
}

// Title implements screen.Screen.
func (l *List) Title() string { return "Agents" }

// Init implements screen.Screen.
func (l *List) Init() tea.Cmd {
	if l.world.Last != nil {
		l.take(*l.world.Last)
	}
	return nil
}

// Close implements screen.Screen.
func (l *List) Close() {}

// Typing implements screen.Screen.
func (l *List) Typing() bool { return false }

// Keys implements screen.Screen.
func (l *List) Keys() []key.Binding {
	return append([]key.Binding{keyDrain, keyUndrain, keyOpen}, runlist.ScrollKeys()...)
}

// Update implements screen.Screen.
func (l *List) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.Snapshot:
		l.take(m)
	case screen.Tick:
		l.fill()
	case tea.MouseMsg:
		l.table.Move(map[tea.MouseButton]int{tea.MouseButtonWheelUp: -3, tea.MouseButtonWheelDown: 3}[m.Button])
		if m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress {
			l.table.Click(m.Y)
		}
	case tea.KeyMsg:
		return l.key(m)
	}
	return nil
}

func (l *List) take(s feed.Snapshot) {
	l.agents, l.runs, l.denied, l.ready = s.Agents, s.Runs, s.Denied["agents"], true
	l.fill()
}

func (l *List) key(m tea.KeyMsg) tea.Cmd {
	a := l.selected()
	switch {
	case a == nil:
		return nil
	case key.Matches(m, keyDrain):
		return l.drain(a)
	case key.Matches(m, keyUndrain):
		return screen.Send(screen.Confirm{Question: "Let " + a.ID + " take runs again?", Yes: l.world.Feed.Undrain(a.ID)})
	case key.Matches(m, keyOpen):
		return l.open(a)
	default:
		runlist.Scroll(&l.table, m)
	}
	return nil
}

// open shows the first run that an agent holds.
func (l *List) open(a *ci.Agent) tea.Cmd {
	for i := range l.runs {
		if r := &l.runs[i]; slices.Contains(a.Runs, r.ID) {
			return screen.Send(screen.Push{Screen: runview.New(l.world, ci.RunRef{Job: r.Job, Run: r.ID}, runview.Overview)})
		}
	}
	return screen.Send(screen.Note{Text: a.ID + " holds no run that is listed."})
}

// drain asks how an agent shall be drained.
func (l *List) drain(a *ci.Agent) tea.Cmd {
	f := &screen.Form{Title: "Drain " + a.ID, Intro: []string{fmt.Sprintf("It takes nothing new then. It holds %d runs; they go on until they end, or until the deadline.", len(a.Runs))}}
	within := screen.Text("within", "", "for example 30m; empty waits for ever")
	then := screen.Field{Name: "then", Hint: "what becomes of runs that are left by then: aborted, or waited for; ← → change", Choices: []string{string(ci.DrainAbort), string(ci.DrainWait)}}
	f.Fields = []screen.Field{screen.Text("reason", "", "others see it"), within, then}
	id := a.ID
	f.Done = func(answers map[string]string) tea.Cmd {
		d := ci.Drain{Reason: answers["reason"], Then: ci.DrainThen(answers["then"])}
		question := "Drain " + id + "?"
		if w := answers["within"]; w != "" {
			wait, err := time.ParseDuration(w)
			if err != nil || wait <= 0 {
				return screen.Send(screen.Fail{Err: ci.Errorf(ci.CodeInvalid, "%q is not a time to wait for; an example is 30m", w)})
			}
			d.Deadline = l.world.Now().Add(wait)
			if d.Then == ci.DrainAbort {
				question += " What still runs in " + terminal.Duration(wait) + " is aborted."
			}
		}
		return screen.Send(screen.Confirm{Question: question, Yes: l.world.Feed.Drain(id, d)})
	}
	return screen.Send(screen.Ask{Form: f})
}

func (l *List) selected() *ci.Agent {
	for i := range l.agents {
		if l.agents[i].ID == l.table.Selected() {
			return &l.agents[i]
		}
	}
	return nil
}

// state says in a word how an agent is.
func (l *List) state(a *ci.Agent) (string, theme.Style) {
	t := l.world.Theme
	switch {
	case !a.Alive(l.world.Now(), awayAfter):
		return "away", t.Bad
	case a.Problem != "":
		return "unable", t.Bad
	case a.Leaving != nil:
		return "leaving", t.Warn
	case a.Draining && len(a.Runs) == 0:
		return "drained", t.Warn
	case a.Draining:
		return "draining", t.Warn
	case len(a.Refusals) > 0:
		return "limited", t.Warn
	}
	return "ready", t.Good
}

// cells is how wide a bar of load is.
const cells = 10

// bar shows a share of 1 as a bar and a figure.
func bar(share float64) string {
	n := min(max(int(share*cells+0.5), 0), cells)
	return strings.Repeat("█", n) + strings.Repeat("░", cells-n) + fmt.Sprintf(" %3.0f%%", share*100)
}

func (l *List) fill() {
	t, now := l.world.Theme, l.world.Now()
	var rows []widget.Row
	for i := range l.agents {
		a := &l.agents[i]
		state, style := l.state(a)
		load := t.Good
		if a.CPULoad >= 0.8 {
			load = t.Bad
		} else if a.CPULoad >= 0.5 {
			load = t.Warn
		}
		cpu := bar(a.CPULoad)
		if state == "away" { // what it last said of itself is no longer so
			cpu = "–"
		}
		rows = append(rows, widget.Row{ID: a.ID, Cells: []widget.Cell{
			{Text: a.ID, Style: t.Strong},
			{Text: state, Style: style},
			{Text: cpu, Style: load},
			{Text: fmt.Sprintf("%.4g of %.4g", a.FreeCPUs, a.CPUs)},
			{Text: ci.Bytes(a.FreeMemory) + " of " + ci.Bytes(a.Memory)},
			{Text: numbers(a.Runs)},
			{Text: terminal.Age(now, a.SeenAt), Style: t.Faint},
			{Text: a.Version, Style: t.Faint},
			{Text: remark(a), Style: t.Faint},
		}})
	}
	l.table.Empty = "No agent has ever been here."
	if !l.ready {
		l.table.Empty = "Loading …"
	}
	l.table.SetRows(rows)
}

func numbers(ids []int64) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = fmt.Sprint(id)
	}
	return strings.Join(parts, " ")
}

// remark is the most important thing to know of an agent.
func remark(a *ci.Agent) string {
	switch {
	case a.Problem != "":
		return a.Problem
	case len(a.Refusals) > 0:
		return refusals(a)[0]
	case a.Leftovers > 0:
		return fmt.Sprintf("%d leftovers of ended runs", a.Leftovers)
	case len(a.Warnings) == 1:
		return a.Warnings[0]
	case len(a.Warnings) > 1:
		return fmt.Sprintf("%d warnings", len(a.Warnings))
	}
	return ""
}

// refusals say what an agent does not take, by class.
func refusals(a *ci.Agent) []string {
	var out []string
	for _, class := range slices.Sorted(maps.Keys(a.Refusals)) {
		out = append(out, "refuses class "+class+": "+a.Refusals[class])
	}
	return out
}

// View implements screen.Screen. Below the list is all about the agent under the cursor.
func (l *List) View(w, h int) string {
	if l.denied != "" {
		return widget.Box([]string{l.world.Theme.Bad.Clean(l.denied)}, w, h)
	}
	below := l.details(w)
	room := min(len(below)+1, h/2)
	if len(below) == 0 {
		room = 0
	}
	out := l.table.View(w, h-room)
	if room > 0 {
		out += "\n" + l.world.Theme.Rest.Render(strings.Repeat("─", w)) + "\n" + widget.Box(below, w, room-1)
	}
	return out
}

func (l *List) details(w int) []string {
	a, t := l.selected(), l.world.Theme
	if a == nil {
		return nil
	}
	state, style := l.state(a)
	lines := []string{t.Strong.Clean(a.ID) + "  " + style.Render(state) + t.Faint.Clean("  "+a.Version)}
	add := func(s theme.Style, text string) {
		for _, line := range widget.Wrap(terminal.Clean(text), max(1, w-2)) {
			lines = append(lines, s.Render(line))
		}
	}
	if a.Problem != "" {
		add(t.Bad, a.Problem)
	}
	for i := range l.runs {
		if r := &l.runs[i]; slices.Contains(a.Runs, r.ID) {
			lines = append(lines, t.StateStyle(r).Render(t.Glyph(r)+" "+t.State(r))+"  "+t.Strong.Clean(ci.RunRef{Job: r.Job, Run: r.ID}.String()))
		}
	}
	for _, r := range refusals(a) {
		add(t.Warn, r)
	}
	if a.Leaving != nil {
		add(t.Warn, "its process ends once its runs have: "+a.Leaving.Reason)
	}
	if a.Leftovers > 0 {
		add(t.Warn, fmt.Sprintf("%d Docker objects of ended runs could not be removed yet", a.Leftovers))
	}
	for _, x := range a.Warnings {
		add(t.Faint, "warning: "+x)
	}
	return lines
}
