// Package joblist shows the jobs: what their last runs came to, and what can be
// done with them. Secrets are a screen of their own.
package joblist

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/runlist"
	"ci/tui/screen"
	"ci/tui/trigger"
	"ci/tui/widget"
)

// List is the screen.
type List struct {
	world  *screen.World
	table  widget.Table
	jobs   []ci.Job
	runs   []ci.Run
	denied string
	ready  bool
	filter widget.Input
	typing bool
}

// Bindings.
var (
	keyOpen    = screen.Bind("its runs", "enter")
	keyTrigger = screen.Bind("trigger", "t")
	keyFilter  = screen.Bind("filter", "/")
	keyEdit    = screen.Bind("edit", "e")
	keyNew     = screen.Bind("new job", "n")
	keySecrets = screen.Bind("secrets", "s")
	keyDelete  = screen.Bind("delete", "X")
)

// New lists the jobs.
func New(w *screen.World) *List {
	return &List{world: w, table: widget.Table{Theme: w.Theme, Columns: []widget.Column{
		{Head: "JOB", Flex: true, Max: 40, Least: 24},
		{Head: "LAST RUN"},
		{Head: "LAST RUNS", Drop: 2},
		{Head: "AGE", Right: true, Drop: 1},
		{Head: "KIND", Drop: 4},
		{Head: "PARAMETERS", Flex: true, Max: 24, Drop: 6},
		{Head: "SOURCE", Flex: true, Least: 20, Drop: 3},
	}}}
}

// Title implements screen.Screen.
func (l *List) Title() string { return "Jobs" }

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
func (l *List) Typing() bool { return l.typing }

// Keys implements screen.Screen.
func (l *List) Keys() []key.Binding {
	return append([]key.Binding{keyOpen, keyTrigger, keyFilter, keyEdit, keyNew, keySecrets, keyDelete}, runlist.ScrollKeys()...)
}

// Update implements screen.Screen.
func (l *List) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.Snapshot:
		l.take(m)
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

func (l *List) take(s feed.Snapshot) {
	l.jobs, l.runs, l.denied, l.ready = s.Jobs, s.Runs, s.Denied["jobs"], true
	l.fill()
}

func (l *List) filterKey(m tea.KeyMsg) {
	l.typing = l.filter.Narrow(m, &l.table)
	l.fill()
}

func (l *List) key(m tea.KeyMsg) tea.Cmd {
	j := l.selected()
	switch {
	case key.Matches(m, keyFilter):
		l.typing = true
	case key.Matches(m, keyNew):
		return create(l.world)
	case m.String() == "esc" && l.filter.Value() != "":
		l.filter.Set("")
		l.fill()
	case j == nil:
		return nil
	case key.Matches(m, keyOpen):
		return screen.Send(screen.Push{Screen: runlist.New(l.world, j.Name)})
	case key.Matches(m, keyTrigger):
		return trigger.Form(l.world, j, nil)
	case key.Matches(m, keyEdit):
		return edit(l.world, j.Name)
	case key.Matches(m, keySecrets):
		return screen.Send(screen.Push{Screen: newSecrets(l.world, j.Name)})
	case key.Matches(m, keyDelete):
		return screen.Send(screen.Confirm{Question: "Delete job " + j.Name + " and its secrets? Its runs stay.", Yes: l.world.Feed.DeleteJob(j.Name)})
	default:
		runlist.Scroll(&l.table, m)
	}
	return nil
}

func (l *List) mouse(m tea.MouseMsg) tea.Cmd {
	switch {
	case m.Button == tea.MouseButtonWheelUp:
		l.table.Move(-3)
	case m.Button == tea.MouseButtonWheelDown:
		l.table.Move(3)
	case m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress:
		if _, again := l.table.Click(m.Y - 1); again {
			return screen.Send(screen.Push{Screen: runlist.New(l.world, l.table.Selected())})
		}
	}
	return nil
}

// selected is the job under the cursor; nil when there is none.
func (l *List) selected() *ci.Job {
	for i := range l.jobs {
		if l.jobs[i].Name == l.table.Selected() {
			return &l.jobs[i]
		}
	}
	return nil
}

// View implements screen.Screen.
func (l *List) View(w, h int) string {
	t := l.world.Theme
	head := widget.Fit(t.Faint.Render(fmt.Sprintf("%d jobs", len(l.jobs))), w)
	switch {
	case l.typing:
		head = widget.Fit(t.Accent.Render("filter: ")+l.filter.View(max(1, w-9), true), w)
	case l.denied != "":
		head = widget.Fit(t.Bad.Clean(l.denied), w)
	case l.filter.Value() != "":
		head = widget.Sides(t.Faint.Render(fmt.Sprintf("%d of %d jobs", l.table.Len(), len(l.jobs))), t.Faint.Clean("filter "+l.filter.Value()), w)
	}
	return head + "\n" + l.table.View(w, h-1)
}

// strip is how many runs the column of last runs shows.
const strip = 10

func (l *List) fill() {
	last := map[string][]*ci.Run{} // newest first
	for i := range l.runs {
		r := &l.runs[i]
		if len(last[r.Job]) < strip {
			last[r.Job] = append(last[r.Job], r)
		}
	}
	var rows []widget.Row
	for i := range l.jobs {
		j := &l.jobs[i]
		if wanted(j, l.filter.Value()) {
			rows = append(rows, l.row(j, last[j.Name]))
		}
	}
	l.table.Empty = l.empty()
	l.table.SetRows(rows)
}

func (l *List) empty() string {
	switch {
	case !l.ready:
		return "Loading …"
	case l.filter.Value() != "":
		return "No job matches the filter; esc takes it away."
	}
	return "No jobs yet; n makes one."
}

func wanted(j *ci.Job, filter string) bool {
	text := strings.ToLower(j.Name + " " + source(j))
	for word := range strings.FieldsSeq(strings.ToLower(filter)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

func source(j *ci.Job) string {
	if j.Git == nil {
		return ""
	}
	return j.Git.URL + " " + j.Git.ConfigPath
}

func (l *List) row(j *ci.Job, runs []*ci.Run) widget.Row {
	t := l.world.Theme
	state, age, glyphs := widget.Cell{Text: "–", Style: t.Faint}, "", ""
	if len(runs) > 0 {
		state = widget.Cell{Text: t.Glyph(runs[0]) + " " + t.State(runs[0]), Style: t.StateStyle(runs[0])}
		age = terminal.Age(l.world.Now(), runs[0].Times.Triggered)
	}
	for i := len(runs) - 1; i >= 0; i-- {
		glyphs += t.Glyph(runs[i])
	}
	kind := "freestyle"
	if j.Git != nil {
		kind = "git"
	}
	names := make([]string, len(j.Parameters))
	for i, p := range j.Parameters {
		names[i] = p.Name
	}
	return widget.Row{ID: j.Name, Cells: []widget.Cell{
		{Text: j.Name, Style: t.Strong},
		state,
		{Text: glyphs, Style: t.Faint},
		{Text: age, Style: t.Faint},
		{Text: kind, Style: t.Faint},
		{Text: strings.Join(names, " "), Style: t.Faint},
		{Text: source(j), Style: t.Faint},
	}}
}
