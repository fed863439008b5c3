// Package queuelist shows what waits: the lanes with how many runs are in each,
// and for the run under the cursor what each agent has to say about it.
package queuelist

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/runlist"
	"ci/tui/runview"
	"ci/tui/screen"
	"ci/tui/widget"
)

// List is the screen.
type List struct {
	world  *screen.World
	table  widget.Table // of waiting runs
	why    widget.Table // of verdicts
	runs   []ci.Run
	lanes  []ci.QueueDepth
	denied string
	ready  bool

	report *ci.QueueReport
	err    error
	asked  ci.RunRef // what report is about, or will be
}

var (
	keyOpen  = screen.Bind("open", "enter")
	keyAbort = screen.Bind("abort", "A")
)

// New lists what waits.
func New(w *screen.World) *List {
	return &List{
		world: w,
		table: widget.Table{Theme: w.Theme, Columns: []widget.Column{
			{Head: "WAITING", Flex: true}, {Head: "FOR", Right: true}, {Head: "PHASE"}, {Head: "CLASS"}, {Head: "PRIORITY", Drop: 2}, {Head: "BRANCH", Flex: true, Drop: 3}, {Head: "BY", Flex: true, Drop: 4},
		}},
		why: widget.Table{Theme: w.Theme, Empty: "There is no agent.", Columns: []widget.Column{{Head: "AGENT", Flex: true}, {Head: "VERDICT"}, {Head: "REASON", Flex: true}}},
	}
}

// Title implements screen.Screen.
func (l *List) Title() string { return "Queue" }

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
	return append([]key.Binding{keyOpen, keyAbort}, runlist.ScrollKeys()...)
}

// Update implements screen.Screen.
func (l *List) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.Snapshot:
		l.take(m)
		return l.ask(true)
	case feed.Explained:
		if m.Ref == l.asked {
			l.report, l.err = m.Report, m.Err
			l.why.SetRows(runview.QueueRows(l.world.Theme, m.Report))
		}
	case screen.Tick:
		l.fill()
	case tea.MouseMsg:
		l.table.Move(map[tea.MouseButton]int{tea.MouseButtonWheelUp: -3, tea.MouseButtonWheelDown: 3}[m.Button])
		if m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress {
			l.table.Click(m.Y - l.above())
		}
		return l.ask(false)
	case tea.KeyMsg:
		return l.key(m)
	}
	return nil
}

func (l *List) take(s feed.Snapshot) {
	l.runs, l.lanes, l.denied, l.ready = nil, s.Queues, s.Denied["queues"], true
	for i := len(s.Runs) - 1; i >= 0; i-- { // the oldest is next
		if r := s.Runs[i]; !r.Done() && (r.Phase == ci.PhaseQueued || r.Phase == ci.PhasePlanning) {
			l.runs = append(l.runs, r)
		}
	}
	l.fill()
}

// ask asks why the run under the cursor waits; anew says that the answer that is there may be old.
func (l *List) ask(anew bool) tea.Cmd {
	r := l.selected()
	if r == nil {
		l.asked, l.report = ci.RunRef{}, nil
		return nil
	}
	ref := ci.RunRef{Job: r.Job, Run: r.ID}
	if ref == l.asked && !anew {
		return nil
	}
	if ref != l.asked {
		l.report, l.err = nil, nil
	}
	l.asked = ref
	return l.world.Feed.Explain(ref)
}

func (l *List) key(m tea.KeyMsg) tea.Cmd {
	r := l.selected()
	switch {
	case r == nil:
		return nil
	case key.Matches(m, keyOpen):
		return screen.Send(screen.Push{Screen: runview.New(l.world, ci.RunRef{Job: r.Job, Run: r.ID}, runview.Queue)})
	case key.Matches(m, keyAbort):
		return runview.Abort(l.world, r)
	}
	runlist.Scroll(&l.table, m)
	return l.ask(false)
}

func (l *List) selected() *ci.Run {
	for i := range l.runs {
		if fmt.Sprint(l.runs[i].ID) == l.table.Selected() {
			return &l.runs[i]
		}
	}
	return nil
}

func (l *List) fill() {
	t, now := l.world.Theme, l.world.Now()
	var rows []widget.Row
	for i := range l.runs {
		r := &l.runs[i]
		rows = append(rows, widget.Row{ID: fmt.Sprint(r.ID), Cells: []widget.Cell{
			{Text: ci.RunRef{Job: r.Job, Run: r.ID}.String(), Style: t.Strong},
			{Text: terminal.Duration(max(0, now.Sub(r.Times.Triggered)))},
			{Text: string(r.Phase), Style: t.Faint},
			{Text: r.Class},
			{Text: string(r.Priority)},
			{Text: r.BranchName},
			{Text: r.TriggeredBy, Style: t.Faint},
		}})
	}
	l.table.Empty = "Nothing waits."
	if !l.ready {
		l.table.Empty = "Loading …"
	}
	l.table.SetRows(rows)
}

// lanesView is a line for each lane in which something waits.
func (l *List) lanesView() []string {
	t := l.world.Theme
	if l.denied != "" {
		return []string{t.Bad.Clean(l.denied)}
	}
	var lines []string
	for _, q := range l.lanes {
		if q.Queued == 0 {
			continue
		}
		lines = append(lines, t.Accent.Clean(fmt.Sprintf("%4d", q.Queued))+" in "+t.Strong.Clean(q.Lane.String())+
			t.Faint.Clean(", the oldest since "+terminal.Duration(max(0, l.world.Now().Sub(q.Oldest)))))
	}
	if len(lines) == 0 {
		lines = append(lines, t.Faint.Render("No lane holds a run."))
	}
	return lines
}

// above is how many lines are above the table.
func (l *List) above() int { return len(l.lanesView()) + 1 }

// View implements screen.Screen.
func (l *List) View(w, h int) string {
	lanes := l.lanesView()
	lanes = append(lanes[:min(len(lanes), max(1, h/4))], "")
	out := widget.Box(lanes, w, len(lanes)) + "\n"
	h -= len(lanes)
	r := l.selected()
	if r == nil {
		return out + l.table.View(w, h)
	}
	top := max(3, min(h/2, l.table.Len()+1))
	out += l.table.View(w, top) + "\n" + l.world.Theme.Rest.Render(strings.Repeat("─", w)) + "\n"
	return out + l.reasons(w, h-top-1)
}

// reasons says why the run under the cursor waits.
func (l *List) reasons(w, h int) string {
	t := l.world.Theme
	switch {
	case l.err != nil:
		return widget.Box([]string{t.Warn.Clean(l.err.Error())}, w, h)
	case l.report == nil:
		return widget.Box([]string{t.Faint.Render("asking why it waits …")}, w, h)
	}
	lines := widget.Wrap(terminal.Clean(l.report.Reason), w)
	for i := range lines {
		lines[i] = t.Warn.Render(lines[i])
	}
	if l.report.Unschedulable {
		lines = append(lines, t.Bad.Render("No agent that is known could ever take it."))
	}
	lines = append(lines, t.Faint.Clean(fmt.Sprintf("%d ahead of it", l.report.Position)))
	return widget.Box(lines, w, len(lines)) + "\n" + l.why.View(w, max(1, h-len(lines)))
}
