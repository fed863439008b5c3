package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/tui/agentlist"
	"ci/tui/feed"
	"ci/tui/joblist"
	"ci/tui/pipelinelist"
	"ci/tui/pipelineview"
	"ci/tui/queuelist"
	"ci/tui/runlist"
	"ci/tui/runview"
	"ci/tui/screen"
	"ci/tui/theme"
)

// program is the whole terminal UI as bubbletea drives it: the five lists, the
// screens on top of them, and what lies over all.
type program struct {
	world  *screen.World
	server string
	start  tea.Cmd // what is done first; nil for nothing

	lists []screen.Screen
	list  int
	stack []screen.Screen // above the lists; the last one is seen
	link  feed.Link
	w, h  int

	note    string
	noteTil time.Time
	fail    error
	confirm *screen.Confirm
	form    *screen.Form
	palette *palette
	help    *help
}

// Bindings that work everywhere.
var (
	keyHelp    = screen.Bind("help", "?")
	keyPalette = screen.Bind("commands", ":", "ctrl+p")
	keyBack    = screen.Bind("back", "q", "esc", "backspace")
	keyQuit    = screen.Bind("quit", "ctrl+c")
	keyReload  = screen.Bind("look at the server now", "ctrl+r")
	keyRedraw  = screen.Bind("draw anew", "ctrl+l")
	keyLists   = screen.Bind("runs, jobs, agents, queue, pipelines", "1…5")
)

func globalKeys() []key.Binding {
	return []key.Binding{keyHelp, keyPalette, keyBack, keyLists, keyReload, keyRedraw, keyQuit}
}

func newProgram(w *screen.World, server string) *program {
	p := &program{
		world: w, server: server,
		lists: []screen.Screen{runlist.New(w, ""), joblist.New(w), agentlist.New(w), queuelist.New(w), pipelinelist.New(w)},
	}
	w.Top = p.top
	return p
}

// open puts a run up before the program starts.
func (p *program) open(ref ci.RunRef) {
	p.stack = append(p.stack, runview.New(p.world, ref, runview.Overview))
}

// Init implements tea.Model.
func (p *program) Init() tea.Cmd {
	cmds := []tea.Cmd{tick(), p.start}
	for _, s := range p.all() {
		cmds = append(cmds, s.Init())
	}
	return tea.Batch(cmds...)
}

func tick() tea.Cmd {
	return tea.Tick(time.Second, func(at time.Time) tea.Msg { return screen.Tick{At: at} })
}

// all are the screens, seen or not.
func (p *program) all() []screen.Screen {
	return append(p.lists[:len(p.lists):len(p.lists)], p.stack...)
}

// top is the screen that is seen.
func (p *program) top() screen.Screen {
	if len(p.stack) > 0 {
		return p.stack[len(p.stack)-1]
	}
	return p.lists[p.list]
}

// ground is what the terminal has said of its background.
type ground struct{ dark bool }

// Update implements tea.Model.
func (p *program) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch m := msg.(type) {
	case tea.WindowSizeMsg:
		p.w, p.h = m.Width, m.Height
		return p, nil
	case tea.KeyMsg:
		return p, p.typed(m)
	case tea.MouseMsg:
		return p, p.mouse(m)
	case feed.Link:
		p.link = m
		return p, nil
	case feed.Snapshot:
		p.world.Last = &m
	case feed.Pipelines:
		p.world.Pipelines = &m
	case feed.Acted:
		return p, p.acted(m)
	case ground:
		// In place: every screen has this theme.
		*p.world.Theme = *theme.New(p.world.Theme.Profile, m.dark)
		msg = screen.Tick{At: p.world.Now()}
	case screen.Tick:
		if m.At = p.world.Now(); m.At.After(p.noteTil) {
			p.note = ""
		}
		return p, tea.Batch(append(p.tell(m), tick())...)
	default:
		if cmd, ok := p.ask(msg); ok {
			return p, cmd
		}
	}
	return p, tea.Batch(p.tell(msg)...)
}

// ask does what a screen has asked for.
func (p *program) ask(msg tea.Msg) (tea.Cmd, bool) {
	switch m := msg.(type) {
	case screen.Push:
		p.stack = append(p.stack, m.Screen)
		return m.Screen.Init(), true
	case screen.Back:
		return p.back(), true
	case screen.Note:
		p.say(m.Text)
	case screen.Fail:
		p.fail = m.Err
	case screen.Confirm:
		p.confirm = &m
	case screen.Ask:
		p.form = m.Form
	case screen.Run:
		return m.Cmd, true
	case screen.Opener:
		return m.Open(), true
	default:
		return nil, false
	}
	return nil, true
}

// tell gives a message to all screens.
func (p *program) tell(msg tea.Msg) []tea.Cmd {
	var cmds []tea.Cmd
	for _, s := range p.all() {
		cmds = append(cmds, s.Update(msg))
	}
	return cmds
}

// noteFor is how long a note is shown.
const noteFor = 5 * time.Second

func (p *program) say(text string) { p.note, p.noteTil = text, p.world.Now().Add(noteFor) }

// acted says what came of what the user did, and shows a new run.
func (p *program) acted(m feed.Acted) tea.Cmd {
	if m.Err != nil {
		p.fail = m.Err
		return tea.Batch(p.tell(m)...)
	}
	p.say(m.Said)
	cmds := p.tell(m)
	var s screen.Screen
	switch {
	case m.Made && m.Run != nil:
		s = runview.New(p.world, ci.RunRef{Job: m.Run.Job, Run: m.Run.ID}, runview.Overview)
	case m.Made && m.Pipeline != nil:
		s = pipelineview.New(p.world, m.Pipeline.Pipeline, m.Pipeline.ID)
	default:
		return tea.Batch(cmds...)
	}
	p.stack = append(p.stack, s)
	return tea.Batch(append(cmds, s.Init())...)
}

// back takes the top screen away.
func (p *program) back() tea.Cmd {
	if len(p.stack) == 0 {
		return nil
	}
	p.top().Close()
	p.stack = p.stack[:len(p.stack)-1]
	return nil
}

// typed takes what came from the keyboard at once: keys that were pressed fast
// come as one message, and each of them may change who the next is for.
func (p *program) typed(m tea.KeyMsg) tea.Cmd {
	if m.Type != tea.KeyRunes || len(m.Runes) < 2 {
		return p.key(m)
	}
	if m.Paste {
		if p.typing() {
			return p.key(m)
		}
		return nil // nobody pastes commands on purpose
	}
	var cmds []tea.Cmd
	for _, r := range m.Runes {
		cmds = append(cmds, p.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}, Alt: m.Alt}))
	}
	return tea.Batch(cmds...)
}

// typing says whether keys are text at the moment.
func (p *program) typing() bool { return p.form != nil || p.palette != nil || p.top().Typing() }

// key gives a key to whoever it is for.
func (p *program) key(m tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(m, keyQuit):
		return tea.Quit
	case p.fail != nil:
		p.fail = nil
		return nil
	case p.form != nil:
		return p.formKey(m)
	case p.confirm != nil:
		return p.confirmKey(m)
	case p.palette != nil:
		return p.paletteKey(m)
	case p.help != nil:
		if p.help.key(m) {
			p.help = nil
		}
		return nil
	case p.top().Typing():
		return p.top().Update(m)
	}
	return p.command(m)
}

// command takes a key that is no text: what works everywhere first.
func (p *program) command(m tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(m, keyHelp):
		p.help = newHelp(p.top())
	case key.Matches(m, keyPalette):
		p.palette = newPalette(p)
	case key.Matches(m, keyReload):
		p.world.Feed.Wake()
		p.say("Looking …")
	case key.Matches(m, keyRedraw):
		return screen.Send(anew{})
	case m.String() == "q" || m.String() == "backspace":
		if len(p.stack) == 0 && m.String() == "q" {
			return tea.Quit
		}
		return p.back()
	case len(p.stack) == 0 && len(m.Runes) == 1 && !m.Alt && m.Runes[0] >= '1' && m.Runes[0] < '1'+rune(len(p.lists)):
		p.list = int(m.Runes[0] - '1')
	case len(p.stack) == 0 && m.String() == "tab":
		p.list = (p.list + 1) % len(p.lists)
	case len(p.stack) == 0 && m.String() == "shift+tab":
		p.list = (p.list + len(p.lists) - 1) % len(p.lists)
	default:
		return p.top().Update(m)
	}
	return nil
}

func (p *program) formKey(m tea.KeyMsg) tea.Cmd {
	cmd, over := p.form.Key(m)
	if over {
		p.form = nil
	}
	return cmd
}

func (p *program) confirmKey(m tea.KeyMsg) tea.Cmd {
	switch m.String() {
	case "y", "Y", "enter":
		yes := p.confirm.Yes
		p.confirm = nil
		p.say("…")
		return yes
	case "n", "N", "esc", "q":
		p.confirm = nil
	}
	return nil
}

// mouse gives what the mouse does to the screen, in the screen's own lines.
func (p *program) mouse(m tea.MouseMsg) tea.Cmd {
	if p.fail != nil || p.form != nil || p.confirm != nil || p.palette != nil || p.help != nil {
		return nil
	}
	if m.Y == 0 {
		if m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress {
			p.clickTab(m.X)
		}
		return nil
	}
	m.Y -= p.above()
	if m.Y < 0 {
		return nil
	}
	return p.top().Update(m)
}

func (p *program) clickTab(x int) {
	if i, ok := p.tabAt(x); ok {
		for len(p.stack) > 0 {
			p.back()
		}
		p.list = i
	}
}

// close takes all screens away.
func (p *program) close() {
	for _, s := range p.all() {
		s.Close()
	}
}

// errorLines are an error's sentence, and a line for each field.
func errorLines(err error) []string {
	var e *ci.Error
	text := err.Error()
	if ok := asCI(err, &e); ok && len(e.Fields) > 0 {
		lines := []string{strings.Replace(text, e.Error(), e.Message, 1)}
		for _, f := range e.Fields {
			lines = append(lines, fmt.Sprintf("%s: %s", f.Path, f.Message))
		}
		return lines
	}
	return []string{text}
}
