// Package logview shows a run's console: it follows, searches, filters, folds,
// wraps and copies, for a million lines as for ten. The output lies in a
// scrollback outside of memory; only the lines that are visible are styled, and all
// that goes through many lines does so off the update loop.
package logview

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/tui/feed"
	"ci/tui/screen"
	"ci/tui/scrollback"
	"ci/tui/widget"
)

// spill is how much of one console is kept on disk.
const spill = 1 << 30

// View is the console of one run.
type View struct {
	world *screen.World
	ref   ci.RunRef

	stream *feed.Console
	lines  *scrollback.Scrollback
	bytes  int64 // received
	total  int64 // of a done run's console; 0 when it is not known
	over   bool
	err    error
	again  time.Time

	cursor int // the line under it
	top    int // the first visible one
	left   int // cells that are scrolled away on the left
	mark   int // where a selection begins; -1 without one
	follow bool
	wrap   bool
	number bool
	height int // of the last View
	width  int

	prompt  prompt
	pattern *regexp.Regexp // of the search
	seek    seek
	sieve   sieve
	clock   clock
	said    string // about the last search
}

// trouble is what a line with an error looks like, in the output of most tools.
var trouble = regexp.MustCompile(`(?i)\b(error|errors|failed|failure|fatal|panic|exception|traceback|segfault|undefined reference|not found)\b|^\s*(FAIL|E )|✗|✘`)

// Bindings.
var (
	keyFollow = screen.Bind("follow", "f")
	keySearch = screen.Bind("search", "/")
	keyNext   = screen.Bind("next match", "n")
	keyPrev   = screen.Bind("previous match", "N")
	keyFilter = screen.Bind("show matching lines only", "&")
	keyError  = screen.Bind("next error", "e")
	keyErrorP = screen.Bind("previous error", "E")
	keyFold   = screen.Bind("fold the system's lines and groups", "z")
	keyWrap   = screen.Bind("wrap", "w")
	keyNumber = screen.Bind("line numbers", "#")
	keyClock  = screen.Bind("times", "t")
	keyMark   = screen.Bind("select lines", "v")
	keyCopy   = screen.Bind("copy", "y")
	keyUp     = screen.Bind("up", "up", "k")
	keyDown   = screen.Bind("down", "down", "j")
	keyLeft   = screen.Bind("left", "left", "h")
	keyRight  = screen.Bind("right", "right", "l")
	keyPgUp   = screen.Bind("page up", "pgup", "ctrl+b", "b")
	keyPgDown = screen.Bind("page down", "pgdown", "ctrl+f", " ")
	keyTop    = screen.Bind("first line", "g", "home")
	keyBottom = screen.Bind("last line, and follow", "G", "end")
)

// New shows the console of a run; total is how many bytes it has, 0 when it still grows.
func New(w *screen.World, ref ci.RunRef, total int64) *View {
	v := &View{world: w, ref: ref, total: total, follow: true, mark: -1, lines: scrollback.New(w.Tools.Spill, spill)}
	v.stream = w.Feed.Console(ref, v.lines)
	v.sieve.v, v.seek.v = v, v
	return v
}

// Title implements screen.Screen.
func (v *View) Title() string { return "Console" }

// Init implements screen.Screen.
func (v *View) Init() tea.Cmd { return v.stream.Next() }

// Close implements screen.Screen.
func (v *View) Close() {
	v.stream.Close()
	_ = v.lines.Close() // its files have no names; the worst that happens is that they live until the end
}

// Typing implements screen.Screen.
func (v *View) Typing() bool { return v.prompt.on }

// Keys implements screen.Screen.
func (v *View) Keys() []key.Binding {
	return []key.Binding{
		keyFollow, keySearch, keyNext, keyPrev, keyFilter, keyError, keyErrorP, keyWrap, keyFold, keyMark, keyCopy, keyClock, keyNumber,
		keyUp, keyDown, keyPgUp, keyPgDown, keyTop, keyBottom, keyLeft, keyRight,
	}
}

// Update implements screen.Screen.
func (v *View) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case feed.ConsoleGrew:
		if m.Console == v.stream {
			return v.grew(m)
		}
	case sought:
		if m.v == v {
			return v.sought(m)
		}
	case sieved:
		if m.v == v {
			return v.sieve.took(m)
		}
	case feed.ConsoleTimed:
		if m.Ref == v.ref {
			v.timed(m)
		}
	case screen.Tick:
		return v.askTimes()
	case tea.MouseMsg:
		v.mouse(m)
	case tea.KeyMsg:
		if v.prompt.on {
			return v.promptKey(m)
		}
		return v.key(m)
	}
	return nil
}

// grew takes what the stream brought, and has it go on.
func (v *View) grew(m feed.ConsoleGrew) tea.Cmd {
	v.bytes, v.over, v.err, v.again = m.Bytes, m.Over, m.Err, m.Again
	if v.follow {
		v.toEnd()
	}
	cmds := []tea.Cmd{v.sieve.more()}
	switch {
	case m.Over:
	case m.Err != nil:
		cmds = append(cmds, v.stream.Later(m.Again))
	default:
		cmds = append(cmds, v.stream.Next())
	}
	return tea.Batch(cmds...)
}

// key takes a key that is a command.
func (v *View) key(m tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(m, keyFollow):
		if v.follow = !v.follow; v.follow {
			v.toEnd()
		}
	case key.Matches(m, keySearch):
		v.ask("/", "")
	case key.Matches(m, keyFilter):
		v.ask("&", v.sieve.text())
	case key.Matches(m, keyNext):
		return v.repeat(1)
	case key.Matches(m, keyPrev):
		return v.repeat(-1)
	case key.Matches(m, keyError):
		return v.find(trouble, 1)
	case key.Matches(m, keyErrorP):
		return v.find(trouble, -1)
	case key.Matches(m, keyWrap):
		v.wrap, v.left = !v.wrap, 0
	case key.Matches(m, keyNumber):
		v.number = !v.number
	case key.Matches(m, keyClock):
		return v.toggleClock()
	case key.Matches(m, keyFold):
		return v.sieve.fold()
	case key.Matches(m, keyMark):
		v.toggleMark()
	case key.Matches(m, keyCopy):
		return v.copy()
	case m.String() == "esc":
		return v.escape()
	default:
		v.scrollKey(m)
	}
	return nil
}

// escape undoes one thing after the other, and leaves when there is nothing to undo.
func (v *View) escape() tea.Cmd {
	switch {
	case v.mark >= 0:
		v.mark = -1
	case v.seek.busy:
		v.seek.stop()
		v.said = ""
	case v.sieve.re != nil:
		return v.sieve.set(nil, v.sieve.folded)
	case v.pattern != nil:
		v.pattern, v.said = nil, ""
	default:
		return screen.Send(screen.Back{})
	}
	return nil
}

// scrollKey moves the cursor.
func (v *View) scrollKey(m tea.KeyMsg) {
	page := max(1, v.height-2)
	switch {
	case key.Matches(m, keyUp):
		v.move(-1)
	case key.Matches(m, keyDown):
		v.move(1)
	case key.Matches(m, keyPgUp):
		v.move(-page)
	case key.Matches(m, keyPgDown):
		v.move(page)
	case key.Matches(m, keyTop):
		v.move(-v.count())
	case key.Matches(m, keyBottom):
		v.follow = true
		v.toEnd()
	case key.Matches(m, keyLeft):
		v.left = max(0, v.left-8)
	case key.Matches(m, keyRight):
		if !v.wrap {
			v.left = min(v.left+8, scrollback.MaxLine)
		}
	}
}

func (v *View) mouse(m tea.MouseMsg) {
	switch {
	case m.Button == tea.MouseButtonWheelUp:
		v.move(-3)
	case m.Button == tea.MouseButtonWheelDown:
		v.move(3)
	case m.Button == tea.MouseButtonLeft && m.Action == tea.MouseActionPress && !v.wrap:
		if i := v.top + m.Y; i < v.base()+v.count() {
			v.follow, v.cursor = false, i
		}
	}
}

// Positions count the lines that are shown: all of them, or those that the
// sieve lets through. base is the first position that there is, count how many there are.
func (v *View) base() int {
	if v.sieve.on() {
		return 0
	}
	first, _ := v.lines.Range()
	return first
}

func (v *View) count() int {
	if v.sieve.on() {
		return len(v.sieve.kept)
	}
	first, end := v.lines.Range()
	return end - first
}

// lineAt is the line at a position.
func (v *View) lineAt(pos int) int {
	if v.sieve.on() {
		if pos < 0 || pos >= len(v.sieve.kept) {
			return -1
		}
		return int(v.sieve.kept[pos])
	}
	return pos
}

// move moves the cursor and ends following, until it is back at the end.
func (v *View) move(n int) {
	v.cursor += n
	v.clamp()
	v.follow = n > 0 && v.cursor == v.base()+v.count()-1 && !v.over
}

func (v *View) clamp() {
	v.cursor = max(v.base(), min(v.cursor, v.base()+v.count()-1))
}

func (v *View) toEnd() { v.cursor = max(v.base(), v.base()+v.count()-1) }

// goTo puts the cursor on a line, wherever the sieve has it.
func (v *View) goTo(line int) {
	v.follow = false
	v.cursor = v.sieve.position(line)
	v.clamp()
	v.top = v.cursor - v.height/3
}

func (v *View) toggleMark() {
	if v.mark >= 0 {
		v.mark = -1
		return
	}
	v.follow, v.mark = false, v.cursor
}

// maxCopy bounds what goes to the clipboard; terminals refuse more.
const maxCopy = 100 << 10

// copy puts the line, or the selection, on the clipboard.
func (v *View) copy() tea.Cmd {
	from, to := v.cursor, v.cursor
	if v.mark >= 0 {
		from, to = min(v.mark, v.cursor), max(v.mark, v.cursor)
	}
	v.mark = -1
	var b strings.Builder
	n := 0
	for pos := from; pos <= to && b.Len() < maxCopy; pos++ {
		for _, l := range v.lines.Lines(v.lineAt(pos), 1) {
			b.WriteString(plain(l.Text) + "\n")
			n++
		}
	}
	text := strings.TrimSuffix(b.String(), "\n")
	return func() tea.Msg {
		if err := v.world.Tools.Copy(text); err != nil {
			return screen.Fail{Err: err}
		}
		if n == 1 {
			return screen.Note{Text: "Copied a line."}
		}
		return screen.Note{Text: fmt.Sprintf("Copied %d lines.", n)}
	}
}

// prompt is a pattern that is being typed.
type prompt struct {
	on    bool
	kind  string // "/" or "&"
	input widget.Input
	wrong string
}

func (v *View) ask(kind, text string) {
	v.prompt = prompt{on: true, kind: kind, input: widget.NewInput(text)}
}

func (v *View) promptKey(m tea.KeyMsg) tea.Cmd {
	switch m.String() {
	case "esc", "ctrl+c":
		v.prompt.on = false
	case "enter":
		return v.promptDone()
	default:
		v.prompt.input.Key(m)
		v.prompt.wrong = ""
	}
	return nil
}

// promptDone searches or filters. Small letters alone match capitals too.
func (v *View) promptDone() tea.Cmd {
	text := v.prompt.input.Value()
	if text == "" {
		v.prompt.on = false
		if v.prompt.kind == "&" {
			return v.sieve.set(nil, v.sieve.folded)
		}
		v.pattern, v.said = nil, ""
		return nil
	}
	expression := text
	if strings.ToLower(text) == text {
		expression = "(?i)" + text
	}
	re, err := regexp.Compile(expression)
	if err != nil {
		v.prompt.wrong = strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		return nil
	}
	v.prompt.on = false
	if v.prompt.kind == "&" {
		return v.sieve.set(&wanted{re, text}, v.sieve.folded)
	}
	v.pattern = re
	return v.find(re, 1)
}
