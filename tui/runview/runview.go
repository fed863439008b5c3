// Package runview shows one run: what became of it and why, its phases as a
// timeline, its console, tests and results, and why it waits.
package runview

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/junit"
	"ci/tui/feed"
	"ci/tui/logview"
	"ci/tui/screen"
	"ci/tui/theme"
	"ci/tui/widget"
)

// Tab is one part of the screen.
type Tab int

// The tabs, in their order.
const (
	Overview Tab = iota
	Console
	Tests
	Results
	Queue
)

var tabNames = []string{"Overview", "Console", "Tests", "Results", "Queue"}

// View is the screen of one run.
type View struct {
	world *screen.World
	ref   ci.RunRef
	tab   Tab

	d       feed.Details
	loaded  bool
	err     error
	pending bool
	again   bool
	at      time.Time // when it was last asked for

	log     *logview.View // nil until the console is looked at
	page    pager         // of the overview
	links   []ci.RunRef   // parent and children
	link    int
	tests   tests
	results widget.Table
	queue   widget.Table
}

// Bindings. Digits and tab change parts.
var (
	keyTab     = screen.Bind("next part", "tab")
	keyBackTab = screen.Bind("part before", "shift+tab")
	keyAgain   = screen.Bind("run again", "R")
	keyEdit    = screen.Bind("run again with changes", "r")
	keyAbort   = screen.Bind("abort", "A")
	keyLink    = screen.Bind("next parent or child", "o")
	keyOpen    = screen.Bind("open", "enter")
	keySave    = screen.Bind("download", "d", "enter")
	keyPassed  = screen.Bind("all tests, or only those that failed", "a")
	keyCommit  = screen.Bind("copy commit", "y")
	keyUp      = screen.Bind("up", "up", "k")
	keyDown    = screen.Bind("down", "down", "j")
	keyPgUp    = screen.Bind("page up", "pgup", "ctrl+b")
	keyPgDown  = screen.Bind("page down", "pgdown", "ctrl+f", " ")
	keyTop     = screen.Bind("first", "g", "home")
	keyBottom  = screen.Bind("last", "G", "end")
	keyParts   = screen.Bind("its parts", "1…5")
)

// New shows a run, beginning with a tab.
func New(w *screen.World, ref ci.RunRef, tab Tab) *View {
	v := &View{world: w, ref: ref, tab: tab}
	v.results = widget.Table{Theme: w.Theme, Empty: "The run has saved nothing.", Columns: []widget.Column{
		{Head: "RESULT", Flex: true}, {Head: "SIZE", Right: true}, {Head: "FILES", Right: true, Drop: 2}, {Head: "TYPE", Drop: 3}, {Head: "FILE NAME", Flex: true, Drop: 4}, {Head: "SHA-256", Max: 16, Drop: 5},
	}}
	v.queue = widget.Table{Theme: w.Theme, Columns: []widget.Column{{Head: "AGENT", Flex: true}, {Head: "VERDICT"}, {Head: "REASON", Flex: true}}}
	v.tests = newTests(w.Theme)
	return v
}

// Title implements screen.Screen.
func (v *View) Title() string { return v.ref.String() }

// Init implements screen.Screen.
func (v *View) Init() tea.Cmd { return tea.Batch(v.load(), v.enter()) }

// Close implements screen.Screen.
func (v *View) Close() {
	if v.log != nil {
		v.log.Close()
	}
}

// Typing implements screen.Screen.
func (v *View) Typing() bool { return v.tab == Console && v.log != nil && v.log.Typing() }

// Keys implements screen.Screen.
func (v *View) Keys() []key.Binding {
	common := []key.Binding{keyAgain, keyEdit, keyAbort, keyTab, keyBackTab, keyParts}
	scroll := []key.Binding{keyUp, keyDown, keyPgUp, keyPgDown, keyTop, keyBottom}
	switch v.tab {
	case Console:
		if v.log != nil {
			return append(v.log.Keys()[:12:12], append(common, v.log.Keys()[12:]...)...)
		}
	case Tests:
		return slices.Concat([]key.Binding{keyPassed}, common, scroll)
	case Results:
		return slices.Concat([]key.Binding{keySave}, common, scroll)
	case Overview:
		return slices.Concat([]key.Binding{keyTab, keyAgain, keyEdit, keyAbort, keyLink, keyOpen, keyCommit, keyBackTab, keyParts}, scroll)
	}
	return slices.Concat(common, scroll)
}

// load asks for everything, one question at a time.
func (v *View) load() tea.Cmd {
	if v.pending {
		v.again = true
		return nil
	}
	v.pending, v.at = true, v.world.Now()
	return v.world.Feed.Details(v.ref)
}

// waitsEvery is how often a run that waits is asked why.
const waitsEvery = 3 * time.Second

// Update implements screen.Screen.
func (v *View) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.Details:
		if m.Ref == v.ref {
			return v.take(m)
		}
	case feed.TestsLoaded:
		if m.Ref == v.ref {
			v.tests.take(m)
		}
	case feed.Changed:
		if m.Run == v.ref.Run || v.isChild(m.Run) {
			return v.load()
		}
	case screen.Tick:
		return tea.Batch(v.tick(m), v.tellLog(msg))
	case tea.KeyMsg:
		return v.key(m)
	case tea.MouseMsg:
		return v.mouse(m)
	default:
		return v.tellLog(msg)
	}
	return nil
}

// tellLog gives a message to the console, if it was opened.
func (v *View) tellLog(msg tea.Msg) tea.Cmd {
	if v.log == nil {
		return nil
	}
	return v.log.Update(msg)
}

// tick loads the run again when nothing tells how it stands.
func (v *View) tick(m screen.Tick) tea.Cmd {
	if !v.pending && (!v.loaded || v.err != nil || !v.d.Run.Done() && m.At.Sub(v.at) >= waitsEvery) {
		return v.load()
	}
	return nil
}

func (v *View) isChild(id int64) bool {
	return slices.ContainsFunc(v.d.Children, func(c ci.Run) bool { return c.ID == id })
}

// take takes what was asked for.
func (v *View) take(d feed.Details) tea.Cmd {
	v.pending, v.err = false, d.Err
	if d.Err == nil {
		v.d, v.loaded = d, true
		v.fill()
	}
	if v.again {
		v.again = false
		return v.load()
	}
	if d.Err != nil || !v.tests.wants(d.Run, d.Results) {
		return nil
	}
	return v.world.Feed.Tests(v.ref, v.tests.source)
}

// fill puts what was loaded into the tables.
func (v *View) fill() {
	v.links = nil
	if p := v.d.Run.Parent; p != nil {
		v.links = append(v.links, *p)
	}
	for i := range v.d.Children {
		v.links = append(v.links, ci.RunRef{Job: v.d.Children[i].Job, Run: v.d.Children[i].ID})
	}
	v.link = min(v.link, max(0, len(v.links)-1))
	t := v.world.Theme
	var rows []widget.Row
	for _, r := range v.d.Results {
		rows = append(rows, widget.Row{ID: r.Name, Cells: []widget.Cell{
			{Text: r.Name, Style: t.Strong}, {Text: ci.Bytes(r.Size)}, {Text: fmt.Sprint(r.Files), Style: t.Faint}, {Text: r.ContentType}, {Text: r.Filename, Style: t.Faint}, {Text: r.SHA256, Style: t.Faint},
		}})
	}
	v.results.SetRows(rows)
	v.queue.SetRows(QueueRows(t, v.d.Queue))
}

// enter makes what a tab needs.
func (v *View) enter() tea.Cmd {
	if v.tab != Console || v.log != nil {
		return nil
	}
	total := int64(0)
	if v.loaded && v.d.Run.Done() {
		total = v.d.Run.Console.Bytes
	}
	v.log = logview.New(v.world, v.ref, total)
	return v.log.Init()
}

func (v *View) turn(tab Tab) tea.Cmd {
	v.tab = tab
	return v.enter()
}

// key takes a key: what all parts share first, then the part's own.
func (v *View) key(m tea.KeyMsg) tea.Cmd {
	if v.Typing() {
		return v.log.Update(m)
	}
	n := Tab(len(tabNames))
	switch {
	case key.Matches(m, keyTab):
		return v.turn((v.tab + 1) % n)
	case key.Matches(m, keyBackTab):
		return v.turn((v.tab + n - 1) % n)
	case len(m.Runes) == 1 && !m.Alt && m.Runes[0] >= '1' && m.Runes[0] < '1'+rune(n):
		return v.turn(Tab(m.Runes[0] - '1'))
	case key.Matches(m, keyAgain) && v.loaded:
		return Again(v.world, v.d.Run)
	case key.Matches(m, keyEdit) && v.loaded:
		return v.edit()
	case key.Matches(m, keyAbort) && v.loaded:
		return Abort(v.world, v.d.Run)
	}
	switch v.tab {
	case Console:
		if v.log != nil {
			return v.log.Update(m)
		}
	case Tests:
		if v.tests.key(m) {
			return nil
		}
	case Results:
		return v.resultsKey(m)
	case Queue:
		scroll(&v.queue, m)
	default:
		if cmd, ok := v.overviewKey(m); ok {
			return cmd
		}
	}
	if m.String() == "esc" {
		return screen.Send(screen.Back{})
	}
	return nil
}

func (v *View) overviewKey(m tea.KeyMsg) (tea.Cmd, bool) {
	switch {
	case key.Matches(m, keyLink) && len(v.links) > 0:
		v.link = (v.link + 1) % len(v.links)
	case key.Matches(m, keyOpen) && v.link < len(v.links):
		return screen.Send(screen.Push{Screen: New(v.world, v.links[v.link], Overview)}), true
	case key.Matches(m, keyOpen):
		return v.turn(Console), true
	case key.Matches(m, keyCommit) && v.loaded && v.d.Run.CommitSHA != "":
		sha := v.d.Run.CommitSHA
		return func() tea.Msg {
			if err := v.world.Tools.Copy(sha); err != nil {
				return screen.Fail{Err: err}
			}
			return screen.Note{Text: "Copied " + sha + "."}
		}, true
	case m.String() == "esc":
		return nil, false
	default:
		v.page.key(m)
	}
	return nil, true
}

func (v *View) mouse(m tea.MouseMsg) tea.Cmd {
	if m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress && m.Y == 1 {
		if tab, ok := v.tabAt(m.X); ok {
			return v.turn(tab)
		}
	}
	m.Y -= headLines
	if v.tab == Console && v.log != nil {
		return v.log.Update(m)
	}
	by := map[tea.MouseButton]int{tea.MouseButtonWheelUp: -3, tea.MouseButtonWheelDown: 3}[m.Button]
	click := m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress
	switch v.tab {
	case Tests:
		v.tests.table.Move(by)
		if click {
			v.tests.table.Click(m.Y - 1)
		}
	case Results:
		v.results.Move(by)
		if click {
			if _, again := v.results.Click(m.Y); again {
				return v.save()
			}
		}
	case Queue:
		v.queue.Move(by)
	default:
		v.page.top += by
	}
	return nil
}

// scroll moves a table's cursor.
func scroll(t *widget.Table, m tea.KeyMsg) bool {
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
	default:
		return false
	}
	return true
}

// unsuccessful counts the tests that need somebody.
func unsuccessful(r *junit.Report) int { return len(r.Unsuccessful()) }

// QueueRows are an explanation's verdicts as rows of agent, verdict and reason.
func QueueRows(t *theme.Theme, q *ci.QueueReport) []widget.Row {
	if q == nil {
		return nil
	}
	var rows []widget.Row
	for _, a := range q.Agents {
		c := widget.Cell{Text: "refuses", Style: t.Warn}
		if a.Eligible {
			c = widget.Cell{Text: "would take it", Style: t.Good}
		}
		rows = append(rows, widget.Row{ID: a.Agent, Cells: []widget.Cell{{Text: a.Agent, Style: t.Strong}, c, {Text: a.Reason}}})
	}
	return rows
}

// Took is how long a run has taken since an agent claimed it; 0 before.
func Took(r *ci.Run, now time.Time) time.Duration {
	if r.Times.Claimed.IsZero() {
		return 0
	}
	if !r.Times.Done.IsZero() {
		now = r.Times.Done
	}
	return max(now.Sub(r.Times.Claimed), 0)
}

// sentence ends a text with a period.
func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
