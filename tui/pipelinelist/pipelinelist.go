// Package pipelinelist shows pipelines with how their last runs ended, and the
// runs of one.
package pipelinelist

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/google/uuid"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/pipelineview"
	"ci/tui/runlist"
	"ci/tui/screen"
	"ci/tui/widget"
)

// List is the screen of all pipelines.
type List struct {
	world  *screen.World
	table  widget.Table
	state  feed.Pipelines
	ready  bool
	filter widget.Input
	typing bool
}

// Bindings.
var (
	keyOpen   = screen.Bind("its runs", "enter")
	keyLast   = screen.Bind("its last run", "o")
	keyStart  = screen.Bind("start", "t")
	keyFilter = screen.Bind("filter", "/")
)

// New lists the pipelines.
func New(w *screen.World) *List {
	return &List{world: w, table: widget.Table{Theme: w.Theme, Columns: []widget.Column{
		{Head: "PIPELINE", Flex: true, Max: 40, Least: 16},
		{Head: "LAST RUN"},
		{Head: "RUNS"},
		{Head: "AGE", Right: true},
		{Head: "TOOK", Right: true, Drop: 2},
		{Head: "PARAMETERS", Flex: true, Drop: 3},
		{Head: "VERSION", Right: true, Drop: 5},
		{Head: "REASON", Flex: true, Least: 24, Drop: 4},
	}}}
}

// Title implements screen.Screen.
func (l *List) Title() string { return "Pipelines" }

// Init implements screen.Screen.
func (l *List) Init() tea.Cmd {
	if l.world.Pipelines != nil {
		l.take(*l.world.Pipelines)
	}
	return nil
}

// Close implements screen.Screen.
func (l *List) Close() {}

// Typing implements screen.Screen.
func (l *List) Typing() bool { return l.typing }

// Keys implements screen.Screen.
func (l *List) Keys() []key.Binding {
	return append([]key.Binding{keyOpen, keyStart, keyLast, keyFilter}, runlist.ScrollKeys()...)
}

// Update implements screen.Screen.
func (l *List) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.Pipelines:
		l.take(m)
	case screen.Tick:
		if l.world.Top() == screen.Screen(l) {
			l.world.Feed.WatchPipelines()
		}
		l.fill()
	case tea.MouseMsg:
		return l.mouse(m)
	case tea.KeyMsg:
		if l.typing {
			l.typing = l.filter.Narrow(m, &l.table)
			l.fill()
			return nil
		}
		return l.key(m)
	}
	return nil
}

func (l *List) take(p feed.Pipelines) {
	l.state, l.ready = p, !p.At.IsZero()
	l.fill()
}

func (l *List) key(m tea.KeyMsg) tea.Cmd {
	p := l.selected()
	switch {
	case key.Matches(m, keyFilter):
		l.typing = true
	case m.String() == "esc" && l.filter.Value() != "":
		l.filter.Set("")
		l.fill()
	case p == nil:
		return nil
	case key.Matches(m, keyOpen):
		return screen.Send(screen.Push{Screen: NewRuns(l.world, p.Name)})
	case key.Matches(m, keyStart):
		return Start(l.world, p)
	case key.Matches(m, keyLast):
		return l.openLast(p.Name)
	}
	runlist.Scroll(&l.table, m)
	return nil
}

func (l *List) openLast(name string) tea.Cmd {
	runs := l.runsOf(name)
	if len(runs) == 0 {
		return screen.Send(screen.Note{Text: name + " has no run that is listed."})
	}
	return screen.Send(screen.Push{Screen: pipelineview.New(l.world, name, runs[0].ID)})
}

func (l *List) mouse(m tea.MouseMsg) tea.Cmd {
	l.table.Move(map[tea.MouseButton]int{tea.MouseButtonWheelUp: -3, tea.MouseButtonWheelDown: 3}[m.Button])
	if m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress {
		if _, again := l.table.Click(m.Y - 1); again {
			return screen.Send(screen.Push{Screen: NewRuns(l.world, l.table.Selected())})
		}
	}
	return nil
}

// selected is the pipeline under the cursor; nil when there is none.
func (l *List) selected() *ci.Pipeline {
	i := slices.IndexFunc(l.state.List, func(p ci.Pipeline) bool { return p.Name == l.table.Selected() })
	if i < 0 {
		return nil
	}
	return &l.state.List[i]
}

// runsOf are a pipeline's runs that are known, newest first.
func (l *List) runsOf(name string) (runs []*ci.PipelineRun) {
	for i := range l.state.Runs {
		if l.state.Runs[i].Pipeline == name {
			runs = append(runs, &l.state.Runs[i])
		}
	}
	return runs
}

// View implements screen.Screen. Below the list are the last runs of the pipeline under the cursor.
func (l *List) View(w, h int) string {
	below := l.recent()
	room := min(len(below), (h-1)/3)
	out := l.summary(w) + "\n" + l.table.View(w, h-1-room)
	if room > 0 {
		below[0] = l.world.Theme.Rest.Render(strings.Repeat("─", w))
		out += "\n" + widget.Box(below, w, room)
	}
	return out
}

func (l *List) summary(w int) string {
	t := l.world.Theme
	going := 0
	for i := range l.state.Runs {
		if !l.state.Runs[i].Finished() {
			going++
		}
	}
	left := t.Faint.Render(count(len(l.state.List), "pipeline"))
	if going > 0 {
		left += "  " + t.Accent.Render(fmt.Sprintf("%d running", going))
	}
	switch {
	case l.typing:
		return widget.Fit(t.Accent.Render("filter: ")+l.filter.View(max(1, w-9), true), w)
	case l.state.Err != nil:
		return widget.Fit(t.Bad.Clean(l.state.Err.Error()), w)
	case l.filter.Value() != "":
		return widget.Sides(left, t.Faint.Clean("filter "+l.filter.Value()), w)
	}
	return widget.Fit(left, w)
}

// recent are lines about the last runs of the pipeline under the cursor, under a line for their edge.
func (l *List) recent() []string {
	p := l.selected()
	if p == nil {
		return nil
	}
	t, lines := l.world.Theme, []string{""}
	for _, r := range l.runsOf(p.Name) {
		state := feed.PipelineAsRun(r)
		line := t.StateStyle(state).Render(widget.Fit(t.Glyph(state)+" "+t.State(state), 12)) + " " + t.Strong.Clean(feed.PipelineRef(r)) +
			t.Faint.Clean("  "+terminal.Age(l.world.Now(), r.Triggered)+" by "+r.TriggeredBy)
		if r.Reason != "" {
			line += "  " + t.Faint.Clean(r.Reason)
		}
		lines = append(lines, line)
	}
	return lines
}

// strip is how many runs the column of last runs shows.
const strip = 10

func (l *List) fill() {
	var rows []widget.Row
	for i := range l.state.List {
		if p := &l.state.List[i]; contains(p.Name, l.filter.Value()) {
			rows = append(rows, l.row(p))
		}
	}
	switch {
	case l.state.Err != nil && !l.ready:
		l.table.Empty = "Pipelines can't be listed: " + l.state.Err.Error()
	case !l.ready:
		l.table.Empty = "Loading …"
	case l.filter.Value() != "":
		l.table.Empty = "No pipeline matches the filter; esc takes it away."
	default:
		l.table.Empty = "No pipelines yet; `ci pipeline apply NAME FILE` makes one."
	}
	l.table.SetRows(rows)
}

// contains says whether each word of a filter is in a text.
func contains(text, filter string) bool {
	for word := range strings.FieldsSeq(strings.ToLower(filter)) {
		if !strings.Contains(strings.ToLower(text), word) {
			return false
		}
	}
	return true
}

func (l *List) row(p *ci.Pipeline) widget.Row {
	t, runs := l.world.Theme, l.runsOf(p.Name)
	state, glyphs, age, took, reason := widget.Cell{Text: "–", Style: t.Faint}, "", "", "", ""
	if len(runs) > 0 {
		last := feed.PipelineAsRun(runs[0])
		state = widget.Cell{Text: t.Glyph(last) + " " + t.State(last), Style: t.StateStyle(last)}
		age, reason = terminal.Age(l.world.Now(), runs[0].Triggered), runs[0].Reason
		took = terminal.Duration(feed.PipelineTook(runs[0], l.world.Now()))
	}
	for i := min(len(runs), strip) - 1; i >= 0; i-- {
		glyphs += t.Glyph(feed.PipelineAsRun(runs[i]))
	}
	names := make([]string, len(p.Parameters))
	for i := range p.Parameters {
		names[i] = p.Parameters[i].Name
	}
	return widget.Row{ID: p.Name, Cells: []widget.Cell{
		{Text: p.Name, Style: t.Strong},
		state,
		{Text: glyphs, Style: t.Faint},
		{Text: age, Style: t.Faint},
		{Text: took},
		{Text: strings.Join(names, " "), Style: t.Faint},
		{Text: fmt.Sprint(p.Version), Style: t.Faint},
		{Text: reason, Style: t.Faint},
	}}
}

// Start asks for the parameters of a pipeline, and starts a run.
func Start(w *screen.World, p *ci.Pipeline) tea.Cmd {
	// One key for the form: sent twice, it is one run.
	name, key := p.Name, uuid.NewString()
	if len(p.Parameters) == 0 {
		return screen.Send(screen.Confirm{Question: "Start pipeline " + name + "?", Yes: w.Feed.RunPipeline(name, nil, key)})
	}
	f := &screen.Form{Title: "Start pipeline " + name}
	for _, q := range p.Parameters {
		field := screen.Text(q.Name, q.Default, hint(q))
		field.Required = q.Required
		if q.Type == "bool" {
			field.Choices = []string{"false", "true"}
			if q.Default == "true" {
				field.Choices = []string{"true", "false"}
			}
		}
		f.Fields = append(f.Fields, field)
	}
	f.Done = func(a map[string]string) tea.Cmd { return w.Feed.RunPipeline(name, a, key) }
	return screen.Send(screen.Ask{Form: f})
}

func hint(p ci.PipelineParameter) string {
	if p.Required {
		return p.Type + "; it is required"
	}
	return fmt.Sprintf("%s; default %q", p.Type, p.Default)
}

// count is how many there are of something.
func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}
