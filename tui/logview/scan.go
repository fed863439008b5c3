package logview

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"sort"

	tea "github.com/charmbracelet/bubbletea"

	"ci/tui/scrollback"
)

// batch is how many lines one command goes through before it reports.
const batch = 50_000

// seek is a search that is under way. Each command of it looks at a batch of
// lines; a newer search makes the answers of an older one void.
type seek struct {
	v    *View
	busy bool
	turn int
}

func (s *seek) stop() { s.busy, s.turn = false, s.turn+1 }

// sought is what one batch has brought.
type sought struct {
	v    *View
	turn int
	re   *regexp.Regexp
	dir  int
	hit  int // the line; -1 for none
	next int // where to go on
	done bool
	// round says that it has gone on at the other end.
	round bool
}

// find looks for the next line that matches, from the cursor on.
func (v *View) find(re *regexp.Regexp, dir int) tea.Cmd {
	v.seek.stop()
	v.seek.busy = true
	v.said = "searching …"
	from := v.lineAt(v.cursor) + 1
	if dir < 0 {
		from = v.lineAt(v.cursor)
	}
	return v.seekFrom(re, dir, from, false)
}

// repeat repeats the last search.
func (v *View) repeat(dir int) tea.Cmd {
	if v.pattern == nil {
		v.said = "nothing was searched for yet; / asks"
		return nil
	}
	return v.find(v.pattern, dir)
}

func (v *View) seekFrom(re *regexp.Regexp, dir, from int, round bool) tea.Cmd {
	lines, turn := v.lines, v.seek.turn
	return func() tea.Msg {
		out := sought{v: v, turn: turn, re: re, dir: dir, hit: -1, round: round}
		first, end := lines.Range()
		low, high := from, min(from+batch, end)
		if dir < 0 {
			low, high = max(from-batch, first), from
		}
		lines.Scan(low, high, func(l scrollback.Line) bool {
			if re.Match(bare(l.Text)) {
				out.hit = l.N
				return dir < 0 // backwards the last one counts
			}
			return true
		})
		out.next, out.done = high, high >= end
		if dir < 0 {
			out.next, out.done = low, low <= first
		}
		return out
	}
}

func (v *View) sought(m sought) tea.Cmd {
	if m.turn != v.seek.turn {
		return nil
	}
	switch {
	case m.hit >= 0:
		v.seek.busy, v.said = false, fmt.Sprintf("found in line %d", m.hit+1)
		if m.round {
			v.said += map[int]string{1: ", from the top again", -1: ", from the end again"}[m.dir]
		}
		v.goTo(m.hit)
	case m.done && m.round:
		v.seek.busy, v.said = false, "no match"
	case m.done: // on at the other end, as far as it takes
		first, end := v.lines.Range()
		if m.dir > 0 {
			return v.seekFrom(m.re, 1, first, true)
		}
		return v.seekFrom(m.re, -1, end, true)
	default:
		_, end := v.lines.Range()
		v.said = fmt.Sprintf("searching … line %d of %d", m.next, end)
		return v.seekFrom(m.re, m.dir, m.next, m.round)
	}
	return nil
}

// wanted is a filter that the user has typed.
type wanted struct {
	re   *regexp.Regexp
	text string
}

// sieve is which lines are shown when not all are. It is filled batch by
// batch, and goes on as lines come.
type sieve struct {
	v      *View
	re     *wanted
	folded bool

	kept  []int32 // the lines, ascending
	next  int     // the first that was not looked at
	busy  bool
	turn  int
	state folding
}

// maxKept bounds the sieve's memory.
const maxKept = 4_000_000

// sieved is what one batch has let through.
type sieved struct {
	v    *View
	turn int
	kept []int32
	next int
	fold folding
}

func (s *sieve) on() bool { return s.re != nil || s.folded }

func (s *sieve) text() string {
	if s.re == nil {
		return ""
	}
	return s.re.text
}

// fold hides what the system and groups say, or shows it again.
func (s *sieve) fold() tea.Cmd { return s.set(s.re, !s.folded) }

// set begins anew with other rules; the cursor stays at its line as well as it can.
func (s *sieve) set(re *wanted, folded bool) tea.Cmd {
	line := s.v.lineAt(s.v.cursor)
	s.re, s.folded, s.kept, s.busy, s.state = re, folded, nil, false, folding{}
	s.next, _ = s.v.lines.Range()
	s.turn++
	s.v.mark = -1
	if !s.on() {
		s.v.cursor = max(0, line)
		s.v.top = s.v.cursor - s.v.height/3
		return nil
	}
	s.v.cursor = 0
	return s.more()
}

// more looks at lines that have come, unless it is at it already.
func (s *sieve) more() tea.Cmd {
	_, end := s.v.lines.Range()
	if !s.on() || s.busy || s.next >= end || len(s.kept) >= maxKept {
		return nil
	}
	s.busy = true
	lines, turn, from, re, folded, fold := s.v.lines, s.turn, s.next, s.re, s.folded, s.state
	to := min(end, from+batch)
	v := s.v
	return func() tea.Msg {
		out := sieved{v: v, turn: turn, next: to}
		lines.Scan(from, to, func(l scrollback.Line) bool {
			text := bare(l.Text)
			hidden := folded && fold.hides(text)
			if !hidden && (re == nil || re.re.Match(text)) {
				out.kept = append(out.kept, int32(l.N))
			}
			return true
		})
		out.fold = fold
		return out
	}
}

func (s *sieve) took(m sieved) tea.Cmd {
	if m.turn != s.turn {
		return nil
	}
	s.busy, s.next, s.state = false, m.next, m.fold
	s.kept = append(s.kept, m.kept...)
	if s.v.follow {
		s.v.toEnd()
	}
	return s.more()
}

// position is where a line is shown, or the next one that is.
func (s *sieve) position(line int) int {
	if !s.on() {
		return line
	}
	return sort.Search(len(s.kept), func(i int) bool { return int(s.kept[i]) >= line })
}

// hidden is how many lines are folded away behind a position.
func (s *sieve) hidden(pos int) int {
	if !s.folded || s.re != nil || pos+1 >= len(s.kept) {
		return 0
	}
	return int(s.kept[pos+1]-s.kept[pos]) - 1
}

// folding knows which lines belong to one that stands for them: the system's
// own ("ci: …") after their first, and groups that a script marks as
// GitHub's runners have it ("::group::name" … "::endgroup::").
type folding struct {
	own   bool
	group bool
}

func (f *folding) hides(text []byte) bool {
	if f.group {
		f.group = !bytes.HasPrefix(text, []byte("::endgroup::"))
		return true
	}
	if bytes.HasPrefix(text, []byte("::group::")) {
		f.own, f.group = false, true
		return false
	}
	was := f.own
	f.own = bytes.HasPrefix(text, []byte("ci: "))
	return f.own && was
}

// bare is a line without its colours. It may share the line's memory.
func bare(text []byte) []byte {
	if bytes.IndexByte(text, 0x1b) < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		i := bytes.IndexByte(text, 0x1b)
		if i < 0 {
			return append(out, text...)
		}
		out = append(out, text[:i]...)
		end := bytes.IndexByte(text[i:], 'm') // the scrollback holds SGR only
		if end < 0 {
			return out
		}
		text = text[i+end+1:]
	}
	return out
}

// last is what a terminal shows of a line that was written over: the text after its last return.
func last(text []byte) []byte {
	text = bytes.TrimRight(text, "\r")
	return text[bytes.LastIndexByte(text, '\r')+1:]
}

// plain is a line as people would copy it.
func plain(text []byte) string { return string(bare(last(text))) }

// matches are the places of all matches in a text, in bytes.
func matches(re *regexp.Regexp, text string) [][]int {
	return slices.DeleteFunc(re.FindAllStringIndex(text, 64), func(m []int) bool { return m[0] == m[1] })
}
