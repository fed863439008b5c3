package tui

import (
	"context"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"ci/tui/feed"
	"ci/tui/paint"
	"ci/tui/screen"
)

// drawn is the program on a terminal, as bubbletea drives it. What a key does
// is seen at once. What comes by itself, such as a console that grows, is drawn when
// nothing was for the time of a frame, so that keys find the loop free.
type drawn struct {
	*program
	terminal *paint.Terminal
	now      func() time.Time

	last time.Time // when something was drawn
	due  bool      // a frameDue is on its way
	err  error     // of the terminal; it ends the program
}

// frameTime is the time between two frames that nobody waits for.
const frameTime = time.Second / 30

// frameDue says that what has come should be drawn by now.
type frameDue struct{}

// sized says how large the terminal may be by now.
type sized struct{}

// anew asks for the whole screen to be drawn again.
type anew struct{}

// Init implements tea.Model.
func (d *drawn) Init() tea.Cmd {
	return tea.Batch(func() tea.Msg { return sized{} }, d.program.Init())
}

// Update implements tea.Model.
func (d *drawn) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	defer d.crash()
	var cmd tea.Cmd
	switch msg.(type) {
	case frameDue:
		d.due = false
	case anew:
		d.terminal.Forget()
	case sized:
		d.measure()
	default:
		_, cmd = d.program.Update(msg)
	}
	wait := frameTime - d.now().Sub(d.last)
	switch {
	case !patient(msg) || wait <= 0:
		d.draw()
	case !d.due:
		d.due = true
		cmd = tea.Batch(cmd, tea.Tick(wait, func(time.Time) tea.Msg { return frameDue{} }))
	}
	if d.err != nil {
		return d, tea.Quit
	}
	return d, cmd
}

// patient says whether a message comes by itself and often, so that nobody
// notices when it is seen a frame later. What follows on a key is not of them.
func patient(msg tea.Msg) bool {
	switch msg.(type) {
	case feed.ConsoleGrew, feed.Snapshot, feed.Pipelines, feed.Link, screen.Tick, frameDue:
		return true
	}
	return false
}

// measure asks the terminal for its size.
func (d *drawn) measure() {
	w, h, err := d.terminal.Size()
	if err != nil {
		d.err = err
		return
	}
	d.terminal.Forget() // some terminals move what they show
	d.program.Update(tea.WindowSizeMsg{Width: w, Height: h})
}

func (d *drawn) draw() {
	d.last = d.now()
	if frame := d.program.View(); frame != "" && d.err == nil {
		d.err = d.terminal.Draw(frame, d.w)
	}
}

// View implements tea.Model. Everything is drawn already.
func (d *drawn) View() string { return "" }

// crash gives the terminal back before a crash is told of on it.
func (d *drawn) crash() {
	if r := recover(); r != nil {
		_ = d.terminal.Leave() // the crash is what counts
		panic(r)
	}
}

// resizes tells of a new size of the terminal until ctx ends.
func resizes(ctx context.Context, send func(tea.Msg)) {
	c := make(chan os.Signal, 1)
	defer paint.Resized(c)()
	for {
		select {
		case <-c:
			send(sized{})
		case <-ctx.Done():
			return
		}
	}
}
