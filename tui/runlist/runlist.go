// Package runlist shows runs, newest first: all of them as they happen, or those of one job.
package runlist

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/tui/feed"
	"ci/tui/runview"
	"ci/tui/screen"
	"ci/tui/theme"
	"ci/tui/widget"
)

// group is what runs are gathered under.
type group int

const (
	ungrouped group = iota
	byBranch
	byCommit
	byJob
)

// names are how the groups are called.
var names = map[group]string{ungrouped: "none", byBranch: "branch", byCommit: "commit", byJob: "job"}

// order is what runs are sorted by.
type order int

const (
	byNewest order = iota
	byState
	byName
	byDuration
)

var orders = map[order]string{byNewest: "newest", byState: "state", byName: "job", byDuration: "duration"}

// List is the screen.
type List struct {
	world *screen.World
	job   string // "" lists all runs
	table widget.Table
	runs  []ci.Run
	err   error
	ready bool

	filter  widget.Input
	typing  bool
	group   group
	order   order
	limit   int
	pending bool // an answer is awaited
	again   bool // and another one is wanted after it
}

// Bindings.
var (
	keyOpen   = screen.Bind("open", "enter")
	keyFilter = screen.Bind("filter", "/")
	keyAgain  = screen.Bind("run again", "R")
	keyAbort  = screen.Bind("abort", "A")
	keyLog    = screen.Bind("console", "c")
	keyGroup  = screen.Bind("group by branch, commit or job", "b")
	keySort   = screen.Bind("sort", "s")
	keyMore   = screen.Bind("more runs", "m")
	keyUp     = screen.Bind("up", "up", "k")
	keyDown   = screen.Bind("down", "down", "j")
	keyPgUp   = screen.Bind("page up", "pgup", "ctrl+b")
	keyPgDown = screen.Bind("page down", "pgdown", "ctrl+f", " ")
	keyTop    = screen.Bind("first", "g", "home")
	keyBottom = screen.Bind("last", "G", "end")
)

// New lists the runs of a job; "" all runs, as the feed has them.
func New(w *screen.World, job string) *List {
	l := &List{world: w, job: job, limit: feed.PageOfRuns}
	l.table = widget.Table{Theme: w.Theme, Columns: []widget.Column{
		{Head: "STATE"},
		{Head: "RUN", Flex: true, Max: 40, Least: 24},
		{Head: "BRANCH", Flex: true, Max: 28, Drop: 3},
		{Head: "COMMIT", Drop: 5},
		{Head: "AGE", Right: true},
		{Head: "TOOK", Right: true, Drop: 2},
		{Head: "BY", Max: 16, Drop: 6},
		{Head: "REASON", Flex: true, Least: 24, Drop: 4},
	}}
	return l
}

// Title implements screen.Screen.
func (l *List) Title() string {
	if l.job != "" {
		return "Runs of " + l.job
	}
	return "Runs"
}

// Init implements screen.Screen.
func (l *List) Init() tea.Cmd {
	if l.job != "" {
		return l.load()
	}
	if l.world.Last != nil {
		l.take(l.world.Last.Runs, nil)
	}
	return nil
}

// load asks for the runs of the job, one question at a time.
func (l *List) load() tea.Cmd {
	if l.pending {
		l.again = true
		return nil
	}
	l.pending = true
	return l.world.Feed.RunsOf(l.job, l.limit)
}

// Close implements screen.Screen.
func (l *List) Close() {}

// Typing implements screen.Screen.
func (l *List) Typing() bool { return l.typing }

// Keys implements screen.Screen.
func (l *List) Keys() []key.Binding {
	return []key.Binding{keyOpen, keyFilter, keyLog, keyAgain, keyAbort, keyGroup, keySort, keyMore, keyUp, keyDown, keyPgUp, keyPgDown, keyTop, keyBottom}
}

// Update implements screen.Screen.
func (l *List) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.Snapshot:
		if l.job != "" {
			return l.load()
		}
		l.take(m.Runs, denied(m.Denied["runs"]))
	case feed.RunsLoaded:
		if m.Job == l.job && l.job != "" {
			l.pending = false
			l.take(m.Runs, m.Err)
			if l.again {
				l.again = false
				return l.load()
			}
		}
	case screen.Tick:
		l.fill()
	case tea.MouseMsg:
		return l.mouse(m)
	case tea.KeyMsg:
		if l.typing {
			l.filterKey(m)
			return nil
		}
		return l.key(m)
	}
	return nil
}

func denied(sentence string) error {
	if sentence == "" {
		return nil
	}
	return ci.Errorf(ci.CodeForbidden, "%s", sentence)
}

func (l *List) take(runs []ci.Run, err error) {
	l.ready, l.err = true, err
	if err == nil {
		l.runs = runs
	}
	l.fill()
}

func (l *List) filterKey(m tea.KeyMsg) {
	l.typing = l.filter.Narrow(m, &l.table)
	l.fill()
}

func (l *List) key(m tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(m, keyOpen):
		return l.open(runview.Overview)
	case key.Matches(m, keyLog):
		return l.open(runview.Console)
	case key.Matches(m, keyFilter):
		l.typing = true
	case key.Matches(m, keyAgain):
		if r := l.selected(); r != nil {
			return runview.Again(l.world, r)
		}
	case key.Matches(m, keyAbort):
		if r := l.selected(); r != nil {
			return runview.Abort(l.world, r)
		}
	case key.Matches(m, keyGroup):
		l.group = (l.group + 1) % group(len(names))
		l.fill()
	case key.Matches(m, keySort):
		l.order = (l.order + 1) % order(len(orders))
		l.fill()
	case key.Matches(m, keyMore):
		return l.more()
	case m.String() == "esc":
		if l.filter.Value() != "" {
			l.filter.Set("")
			l.fill()
			return nil
		}
		return screen.Send(screen.Back{})
	default:
		Scroll(&l.table, m)
	}
	return nil
}

// Scroll moves a table's cursor by the keys that all lists share.
func Scroll(t *widget.Table, m tea.KeyMsg) {
	switch {
	case key.Matches(m, keyUp):
		t.Move(-1)
	case key.Matches(m, keyDown):
		t.Move(1)
	case key.Matches(m, keyPgUp):
		t.Page(-1)
	case key.Matches(m, keyPgDown):
		t.Page(1)
	case key.Matches(m, keyTop):
		t.Ends(-1)
	case key.Matches(m, keyBottom):
		t.Ends(1)
	}
}

// ScrollKeys are the bindings of Scroll.
func ScrollKeys() []key.Binding {
	return []key.Binding{keyUp, keyDown, keyPgUp, keyPgDown, keyTop, keyBottom}
}

func (l *List) more() tea.Cmd {
	if l.job == "" {
		l.world.Feed.More()
		return nil
	}
	l.limit += feed.PageOfRuns
	return l.load()
}

func (l *List) mouse(m tea.MouseMsg) tea.Cmd {
	switch {
	case m.Button == tea.MouseButtonWheelUp:
		l.table.Move(-3)
	case m.Button == tea.MouseButtonWheelDown:
		l.table.Move(3)
	case m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress:
		if _, again := l.table.Click(m.Y - 1); again {
			return l.open(runview.Overview)
		}
	}
	return nil
}

// selected is the run under the cursor; nil when there is none.
func (l *List) selected() *ci.Run {
	id := l.table.Selected()
	for i := range l.runs {
		if rowID(&l.runs[i]) == id {
			return &l.runs[i]
		}
	}
	return nil
}

func rowID(r *ci.Run) string { return fmt.Sprint(r.ID) }

func (l *List) open(tab runview.Tab) tea.Cmd {
	r := l.selected()
	if r == nil {
		return nil
	}
	return screen.Send(screen.Push{Screen: runview.New(l.world, ci.RunRef{Job: r.Job, Run: r.ID}, tab)})
}

// View implements screen.Screen.
func (l *List) View(w, h int) string {
	return l.summary(w) + "\n" + l.table.View(w, h-1)
}

// summary is the line above the table: the filter, and how many of each state there are.
func (l *List) summary(w int) string {
	t := l.world.Theme
	if l.typing {
		return widget.Fit(t.Accent.Render("filter: ")+l.filter.View(max(1, w-9), true), w)
	}
	if l.err != nil {
		return widget.Fit(t.Bad.Clean(l.err.Error()), w)
	}
	counts := map[string]int{}
	for i := range l.runs {
		r := &l.runs[i]
		switch {
		case r.Done():
			counts[string(r.Outcome)]++
		case r.Phase == ci.PhaseQueued || r.Phase == ci.PhasePlanning:
			counts["waiting"]++
		default:
			counts["running"]++
		}
	}
	var parts []string
	for _, c := range []struct {
		name  string
		style theme.Style
	}{{"running", t.Accent}, {"waiting", t.Faint}, {"succeeded", t.Good}, {"failed", t.Bad}, {"error", t.Odd}, {"timed_out", t.Warn}, {"lost", t.Odd}, {"aborted", t.Faint}} {
		if n := counts[c.name]; n > 0 {
			parts = append(parts, c.style.Render(fmt.Sprintf("%d %s", n, c.name)))
		}
	}
	left := strings.Join(parts, "  ")
	var right []string
	if f := l.filter.Value(); f != "" {
		right = append(right, "filter "+f)
	}
	if l.group != ungrouped {
		right = append(right, "by "+names[l.group])
	}
	if l.order != byNewest {
		right = append(right, "sorted by "+orders[l.order])
	}
	return widget.Sides(left, t.Faint.Clean(strings.Join(right, " · ")), w)
}
