package pipelinelist

import (
	"fmt"
	"slices"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/pipelineview"
	"ci/tui/runlist"
	"ci/tui/screen"
	"ci/tui/widget"
)

// Runs is the screen of one pipeline's runs.
type Runs struct {
	world   *screen.World
	name    string
	table   widget.Table
	runs    []ci.PipelineRun
	err     error
	limit   int
	ready   bool
	pending bool // an answer is awaited
}

// Bindings.
var (
	keyShow   = screen.Bind("open", "enter")
	keyFailed = screen.Bind("run again what failed", "F")
	keyAgain  = screen.Bind("run all again", "R")
	keyAbort  = screen.Bind("abort", "A")
	keyMore   = screen.Bind("more runs", "m")
)

// NewRuns lists the runs of a pipeline, newest first.
func NewRuns(w *screen.World, name string) *Runs {
	return &Runs{world: w, name: name, limit: feed.PageOfRuns, table: widget.Table{Theme: w.Theme, Columns: []widget.Column{
		{Head: "STATE"},
		{Head: "RUN", Flex: true, Max: 40, Least: 16},
		{Head: "AGE", Right: true},
		{Head: "TOOK", Right: true},
		{Head: "VERSION", Right: true, Drop: 4},
		{Head: "BY", Max: 16, Drop: 3},
		{Head: "REASON", Flex: true, Least: 24, Drop: 2},
	}}}
}

// Title implements screen.Screen.
func (r *Runs) Title() string { return "Runs of pipeline " + r.name }

// Init implements screen.Screen.
func (r *Runs) Init() tea.Cmd { return r.load() }

// Close implements screen.Screen.
func (r *Runs) Close() {}

// Typing implements screen.Screen.
func (r *Runs) Typing() bool { return false }

// Keys implements screen.Screen.
func (r *Runs) Keys() []key.Binding {
	return append([]key.Binding{keyShow, keyStart, keyFailed, keyAgain, keyAbort, keyMore}, runlist.ScrollKeys()...)
}

func (r *Runs) load() tea.Cmd {
	if r.pending {
		return nil
	}
	r.pending = true
	return r.world.Feed.PipelineRuns(r.name, r.limit)
}

// Update implements screen.Screen.
func (r *Runs) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.Pipelines: // it comes when something may have changed
		return r.load()
	case feed.PipelineRunsLoaded:
		if m.Name == r.name {
			r.take(m)
		}
	case screen.Tick:
		if r.world.Top() == screen.Screen(r) {
			r.world.Feed.WatchPipelines()
		}
		r.fill()
	case tea.MouseMsg:
		return r.mouse(m)
	case tea.KeyMsg:
		return r.key(m)
	}
	return nil
}

func (r *Runs) take(m feed.PipelineRunsLoaded) {
	r.pending, r.err = false, m.Err
	if m.Err == nil {
		r.runs, r.ready = m.Runs, true
	}
	r.fill()
}

func (r *Runs) key(m tea.KeyMsg) tea.Cmd {
	run := r.selected()
	switch {
	case m.String() == "esc":
		return screen.Send(screen.Back{})
	case key.Matches(m, keyMore):
		r.limit += feed.PageOfRuns
		return r.load()
	case key.Matches(m, keyStart):
		return r.start()
	case run == nil:
		return nil
	case key.Matches(m, keyShow):
		return screen.Send(screen.Push{Screen: pipelineview.New(r.world, r.name, run.ID)})
	case key.Matches(m, keyAbort):
		return pipelineview.Abort(r.world, run)
	case key.Matches(m, keyFailed):
		return pipelineview.Again(r.world, run, true)
	case key.Matches(m, keyAgain):
		return pipelineview.Again(r.world, run, false)
	}
	runlist.Scroll(&r.table, m)
	return nil
}

// start starts the pipeline, if it is known: its runs outlive it.
func (r *Runs) start() tea.Cmd {
	if p := r.world.Pipelines; p != nil {
		if i := slices.IndexFunc(p.List, func(p ci.Pipeline) bool { return p.Name == r.name }); i >= 0 {
			return Start(r.world, &p.List[i])
		}
	}
	return screen.Send(screen.Note{Text: "There is no pipeline " + r.name + " any more."})
}

func (r *Runs) mouse(m tea.MouseMsg) tea.Cmd {
	r.table.Move(map[tea.MouseButton]int{tea.MouseButtonWheelUp: -3, tea.MouseButtonWheelDown: 3}[m.Button])
	if m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress {
		_, again := r.table.Click(m.Y - 1)
		if run := r.selected(); again && run != nil {
			return screen.Send(screen.Push{Screen: pipelineview.New(r.world, r.name, run.ID)})
		}
	}
	return nil
}

func (r *Runs) selected() *ci.PipelineRun {
	i := slices.IndexFunc(r.runs, func(x ci.PipelineRun) bool { return fmt.Sprint(x.ID) == r.table.Selected() })
	if i < 0 {
		return nil
	}
	return &r.runs[i]
}

// View implements screen.Screen.
func (r *Runs) View(w, h int) string {
	t := r.world.Theme
	head := t.Faint.Render(count(len(r.runs), "run"))
	if r.err != nil {
		head = t.Bad.Clean(r.err.Error())
	}
	return widget.Fit(head, w) + "\n" + r.table.View(w, h-1)
}

func (r *Runs) fill() {
	t, now := r.world.Theme, r.world.Now()
	rows := make([]widget.Row, 0, len(r.runs))
	for i := range r.runs {
		run := &r.runs[i]
		state := feed.PipelineAsRun(run)
		rows = append(rows, widget.Row{ID: fmt.Sprint(run.ID), Cells: []widget.Cell{
			{Text: t.Glyph(state) + " " + t.State(state), Style: t.StateStyle(state)},
			{Text: feed.PipelineRef(run), Style: t.Strong},
			{Text: terminal.Age(now, run.Triggered), Style: t.Faint},
			{Text: terminal.Duration(feed.PipelineTook(run, now))},
			{Text: fmt.Sprint(run.Version), Style: t.Faint},
			{Text: run.TriggeredBy, Style: t.Faint},
			{Text: run.Reason, Style: t.Faint},
		}})
	}
	r.table.Empty = "Loading …"
	if r.ready {
		r.table.Empty = "It has never run; t starts it."
	}
	r.table.SetRows(rows)
}
