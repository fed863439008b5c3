// Package pipelineview shows one run of a pipeline: what its program has done as
// a tree with outcomes and times, live, and what it asks for.
package pipelineview

import (
	"slices"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/tui/feed"
	"ci/tui/runlist"
	"ci/tui/runview"
	"ci/tui/screen"
	"ci/tui/widget"
)

// View is the screen.
type View struct {
	world *screen.World
	name  string
	id    int64
	watch *feed.Watch
	table widget.Table

	run     *ci.PipelineRun // nil until it is known
	err     error           // why run is not up to date
	at      time.Time       // of err
	looking bool            // an answer is awaited
	held    bool            // an answer is held until something happens
	above   int             // lines above the table at the last View
}

// Bindings.
var (
	keyOpen    = screen.Bind("open its run, or answer", "enter")
	keyApprove = screen.Bind("approve", "a")
	keyReject  = screen.Bind("reject", "x")
	keyFailed  = screen.Bind("run again what failed", "F")
	keyAgain   = screen.Bind("run all again", "R")
	keyAbort   = screen.Bind("abort", "A")
)

// New shows a run of a pipeline.
func New(w *screen.World, name string, id int64) *View {
	return &View{world: w, name: name, id: id, watch: w.Feed.WatchPipelineRun(name, id), table: widget.Table{Theme: w.Theme, Columns: []widget.Column{
		{Head: "STEP", Flex: true, Max: 60, Least: 24},
		{Head: "STATE"},
		{Head: "RUN", Flex: true, Max: 32, Drop: 1},
		{Head: "TOOK", Right: true},
		{Head: "WHEN", Drop: 4},
		{Head: "ID", Drop: 5},
		{Head: "AFTER", Max: 16, Drop: 6},
		{Head: "NOTE", Flex: true, Least: 16, Drop: 3},
	}}}
}

// Title implements screen.Screen.
func (v *View) Title() string { return ci.RunRef{Job: v.name, Run: v.id}.String() }

// Init implements screen.Screen.
func (v *View) Init() tea.Cmd { return v.look() }

// Close implements screen.Screen.
func (v *View) Close() { v.watch.Close() }

// Typing implements screen.Screen.
func (v *View) Typing() bool { return false }

// Keys implements screen.Screen.
func (v *View) Keys() []key.Binding {
	return append([]key.Binding{keyOpen, keyApprove, keyReject, keyFailed, keyAgain, keyAbort}, runlist.ScrollKeys()...)
}

func (v *View) look() tea.Cmd {
	if v.looking {
		return nil
	}
	v.looking = true
	return v.watch.Look()
}

// retryEvery is how long the view rests after an error.
const retryEvery = 2 * time.Second

// Update implements screen.Screen.
func (v *View) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.PipelineRunLoaded:
		if m.Name == v.name && m.ID == v.id {
			return v.take(m)
		}
	case feed.Acted:
		if m.Err == nil && m.Pipeline != nil && m.Pipeline.ID == v.id && !m.Made {
			return v.look()
		}
	case screen.Tick:
		v.fill()
		if v.err != nil && m.At.Sub(v.at) >= retryEvery {
			return v.look()
		}
	case tea.MouseMsg:
		return v.mouse(m)
	case tea.KeyMsg:
		return v.key(m)
	}
	return nil
}

// take takes an answer, and has the next one held for as long as there is something to wait for.
func (v *View) take(m feed.PipelineRunLoaded) tea.Cmd {
	if m.Held {
		v.held = false
	} else {
		v.looking = false
	}
	if v.err = m.Err; v.err != nil {
		v.at = v.world.Now()
		return nil
	}
	if v.run == nil || m.Run.Progress() >= v.run.Progress() || m.Run.Finished() { // answers may overtake each other
		v.run = m.Run
	}
	v.fill()
	if v.run.Finished() || v.held {
		return nil
	}
	v.held = true
	return v.watch.Next(v.run.Progress())
}

func (v *View) key(m tea.KeyMsg) tea.Cmd {
	switch {
	case m.String() == "esc":
		return screen.Send(screen.Back{})
	case v.run == nil:
		return nil
	case key.Matches(m, keyOpen):
		return v.open()
	case key.Matches(m, keyApprove):
		return v.answer(true)
	case key.Matches(m, keyReject):
		return v.answer(false)
	case key.Matches(m, keyAbort):
		return Abort(v.world, v.run)
	case key.Matches(m, keyFailed):
		return Again(v.world, v.run, true)
	case key.Matches(m, keyAgain):
		return Again(v.world, v.run, false)
	}
	runlist.Scroll(&v.table, m)
	return nil
}

func (v *View) mouse(m tea.MouseMsg) tea.Cmd {
	v.table.Move(map[tea.MouseButton]int{tea.MouseButtonWheelUp: -3, tea.MouseButtonWheelDown: 3}[m.Button])
	if m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress {
		if _, again := v.table.Click(m.Y - v.above); again {
			return v.open()
		}
	}
	return nil
}

// open shows the run of the call under the cursor, or asks what the call asks.
func (v *View) open() tea.Cmd {
	c := v.selected()
	switch {
	case c == nil:
		return nil
	case c.Run != nil:
		return screen.Send(screen.Push{Screen: runview.New(v.world, *c.Run, runview.Overview)})
	case feed.Asks(c):
		return v.answer(true)
	}
	return screen.Send(screen.Note{Text: "This step has triggered no run."})
}

func (v *View) selected() *ci.PipelineCall {
	if v.run == nil {
		return nil
	}
	i := slices.IndexFunc(v.run.Calls, func(c ci.PipelineCall) bool { return c.ID == v.table.Selected() })
	if i < 0 {
		return nil
	}
	return &v.run.Calls[i]
}

// questions are the calls that wait for somebody's yes or no, that under the cursor first.
func (v *View) questions() []*ci.PipelineCall {
	var all []*ci.PipelineCall
	if v.run.Finished() {
		return nil
	}
	for i := range v.run.Calls {
		c := &v.run.Calls[i]
		switch {
		case !feed.Asks(c):
		case c.ID == v.table.Selected():
			all = slices.Insert(all, 0, c)
		default:
			all = append(all, c)
		}
	}
	return all
}
