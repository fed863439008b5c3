package logview

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/scrollback"
	"ci/tui/theme"
	"ci/tui/widget"
)

// View implements screen.Screen. Its last line says where one is.
func (v *View) View(w, h int) string {
	v.height, v.width = max(1, h-1), w
	v.clamp()
	v.settle()
	rows := make([]string, 0, v.height)
	for _, l := range v.visible() {
		rows = append(rows, v.rows(l)...)
	}
	if len(rows) > v.height {
		rows = rows[:v.height]
		if v.follow { // with wrapped lines the end is what counts
			rows = v.tail()
		}
	}
	if len(rows) == 0 {
		rows = append(rows, v.world.Theme.Faint.Render(v.emptiness()))
	}
	return widget.Box(rows, w, v.height) + "\n" + v.status(w)
}

func (v *View) emptiness() string {
	switch {
	case v.sieve.on() && v.sieve.busy:
		return "looking …"
	case v.sieve.on():
		return "no line matches"
	case v.over:
		return "the run printed nothing"
	}
	return "nothing was printed yet"
}

// settle moves the window so that the cursor is in it.
func (v *View) settle() {
	if v.cursor < v.top {
		v.top = v.cursor
	}
	if v.cursor >= v.top+v.height {
		v.top = v.cursor - v.height + 1
	}
	v.top = max(v.base(), min(v.top, v.base()+v.count()-v.height))
	if !v.wrap {
		return
	}
	// Wrapped lines take several rows: let lines go at the top until the cursor's fits.
	sum := 0
	for pos := v.cursor; pos >= v.top; pos-- {
		for _, l := range v.lines.Lines(v.lineAt(pos), 1) {
			sum += len(v.rows(shownLine{pos, l}))
		}
		if sum > v.height {
			v.top = min(pos+1, v.cursor)
			return
		}
	}
}

// shownLine is a line and its position.
type shownLine struct {
	pos int
	scrollback.Line
}

// visible are the lines from the top on, as many as there are rows.
func (v *View) visible() []shownLine {
	var out []shownLine
	if !v.sieve.on() {
		for _, l := range v.lines.Lines(v.top, v.height) {
			out = append(out, shownLine{l.N, l})
		}
		return out
	}
	for pos := v.top; pos < min(v.top+v.height, len(v.sieve.kept)); pos++ {
		for _, l := range v.lines.Lines(v.lineAt(pos), 1) {
			out = append(out, shownLine{pos, l})
		}
	}
	return out
}

// tail are the rows at the end, for following with wrapped lines.
func (v *View) tail() []string {
	var rows []string
	for pos := v.base() + v.count() - 1; pos >= v.base() && len(rows) < v.height; pos-- {
		for _, l := range v.lines.Lines(v.lineAt(pos), 1) {
			rows = append(v.rows(shownLine{pos, l}), rows...)
		}
	}
	return rows[max(0, len(rows)-v.height):]
}

// rows are a line's rows on the screen: one, or several when lines are wrapped.
func (v *View) rows(l shownLine) []string {
	gutter := v.gutter(l)
	room := max(1, v.width-ansi.StringWidth(gutter))
	text := v.text(l)
	if n := v.sieve.hidden(l.pos); n > 0 {
		text += "\x1b[0m " + v.world.Theme.Faint.Render(fmt.Sprintf("⋯ %d more", n))
	}
	if !v.wrap {
		if v.left > 0 {
			text = ansi.Cut(text, v.left, v.left+room)
		}
		return []string{gutter + widget.Fit(text, room) + "\x1b[0m"}
	}
	parts := strings.Split(ansi.Hardwrap(text, room, true), "\n")
	colours := ""
	for i, p := range parts {
		parts[i] = gutter + colours + widget.Fit(p, room) + "\x1b[0m"
		colours = string(sgrAfter(colours, p))
		gutter = strings.Repeat(" ", v.width-room)
	}
	return parts
}

// sgrAfter is the SGR that is on after s.
func sgrAfter(colours, s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return colours
		}
		end := strings.IndexByte(s[i:], 'm')
		if end < 0 {
			return colours
		}
		if seq := s[i : i+end+1]; seq == "\x1b[0m" || seq == "\x1b[m" {
			colours = ""
		} else {
			colours += seq
		}
		s = s[i+end+1:]
	}
}

func (v *View) gutter(l shownLine) string {
	t := v.world.Theme
	mark := " "
	switch {
	case v.mark >= 0 && l.pos >= min(v.mark, v.cursor) && l.pos <= max(v.mark, v.cursor):
		mark = t.Accent.Render("┃")
	case l.pos == v.cursor && !v.follow:
		mark = t.Accent.Render("▸")
	}
	if v.clock.on {
		mark += v.clockAt(l.Offset)
	}
	if v.number {
		mark += t.Faint.Render(fmt.Sprintf("%7d ", l.N+1))
	}
	return mark
}

// text is a line with its colours, or with the search's where it matches.
func (v *View) text(l shownLine) string {
	t := v.world.Theme
	raw := last(l.Text)
	if v.pattern != nil {
		p := widget.Expand(string(bare(raw)))
		if hits := matches(v.pattern, p); len(hits) > 0 {
			style := t.Match
			if l.pos == v.cursor {
				style = t.MatchNow
			}
			return highlight(p, hits, style)
		}
	}
	if strings.HasPrefix(string(raw), "ci: ") {
		return t.Faint.Render(widget.Expand(string(bare(raw))))
	}
	if t.Profile.Name() == "Ascii" {
		return widget.Expand(string(bare(raw)))
	}
	return l.Colours + widget.Expand(string(raw))
}

func highlight(text string, hits [][]int, style theme.Style) string {
	var b strings.Builder
	at := 0
	for _, h := range hits {
		b.WriteString(text[at:h[0]] + style.Render(text[h[0]:h[1]]))
		at = h[1]
	}
	return b.String() + text[at:]
}

// status says where one is, and what is going on.
func (v *View) status(w int) string {
	t := v.world.Theme
	if v.prompt.on {
		label := map[string]string{"/": "search: ", "&": "only lines with: "}[v.prompt.kind]
		line := t.Accent.Render(label) + v.prompt.input.View(max(1, w-len(label)-1), true)
		if v.prompt.wrong != "" {
			line = widget.Sides(line, t.Bad.Clean(" "+v.prompt.wrong), w)
		}
		return widget.Fit(line, w)
	}
	var left []string
	switch {
	case v.err != nil && v.over:
		left = append(left, t.Bad.Clean(v.err.Error()))
	case v.err != nil:
		left = append(left, t.Warn.Clean(fmt.Sprintf("broken off, trying again in %s", terminal.Duration(max(0, v.again.Sub(v.world.Now()))))))
	case v.follow && !v.over:
		left = append(left, t.Good.Render("following"))
	case v.over:
		left = append(left, t.Faint.Render("complete"))
	default:
		left = append(left, t.Faint.Render("not following, f follows"))
	}
	if !v.over && v.total > 0 && v.bytes < v.total {
		left = append(left, fmt.Sprintf("loading %d%%", v.bytes*100/v.total))
	}
	if v.sieve.re != nil {
		left = append(left, t.Accent.Clean("only "+v.sieve.re.text))
	}
	if v.sieve.folded {
		left = append(left, t.Accent.Render("folded"))
	}
	if v.mark >= 0 {
		left = append(left, t.Accent.Render("selecting, y copies"))
	}
	if v.clock.on && v.clock.err != nil {
		left = append(left, t.Warn.Clean("no times: "+v.clock.err.Error()))
	}
	if v.said != "" {
		left = append(left, t.Text.Clean(v.said))
	}
	return widget.Sides(strings.Join(left, t.Faint.Render(" · ")), t.Faint.Render(v.place()), w)
}

func (v *View) place() string {
	_, end := v.lines.Range()
	line := v.lineAt(v.cursor) + 1
	return fmt.Sprintf(" line %d of %d  %s", max(0, min(line, end)), end, ci.Bytes(v.bytes))
}
