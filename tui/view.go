package tui

import (
	"errors"
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/widget"
)

// The smallest terminal that anything is shown on.
const (
	leastWidth  = 40
	leastHeight = 10
)

// View implements tea.Model. Whatever screens draw, nothing but text and
// colours leaves here.
func (p *program) View() string {
	if p.w == 0 {
		return ""
	}
	if p.w < leastWidth || p.h < leastHeight {
		return widget.Box(widget.Wrap(fmt.Sprintf("The terminal has %d×%d cells; ci needs %d×%d.", p.w, p.h, leastWidth, leastHeight), p.w), p.w, p.h)
	}
	var b strings.Builder
	b.Grow(p.w * p.h * 2)
	_, _ = terminal.NewFilter(&b, true).Write([]byte(p.draw())) // a Builder takes all
	return b.String()
}

func (p *program) draw() string {
	h := p.h - p.above() - 1
	body := p.top().View(p.w, h)
	if strings.Count(body, "\n") != h-1 { // parts that don't fit a very small terminal
		body = widget.Box(strings.Split(body, "\n"), p.w, h)
	}
	if box := p.over(h); box != nil {
		body = widget.Over(body, box, p.w, h)
	}
	head := p.head()
	if p.offline() {
		head += "\n" + p.banner()
	}
	return head + "\n" + body + "\n" + p.foot()
}

// above is how many lines are above the screen.
func (p *program) above() int {
	if p.offline() {
		return 2
	}
	return 1
}

func (p *program) offline() bool { return !p.link.Since.IsZero() && !p.link.Online }

// banner says that the server is away, when it is tried again, why, and how
// old is what is shown.
func (p *program) banner() string {
	now := p.world.Now()
	text := " OFFLINE · trying again now"
	if wait := p.link.NextTry.Sub(now); wait > 0 {
		text = fmt.Sprintf(" OFFLINE · trying again in %ds", int(wait.Seconds()+0.999))
	}
	if p.world.Last != nil {
		text += " · shown is " + p.world.Last.At.In(now.Location()).Format("15:04:05")
	}
	return p.world.Theme.Banner.Render(widget.Fit(terminal.Clean(text+" · "+short(p.link.Err)), p.w))
}

// short is an error without what the banner says already.
func short(err error) string {
	if err == nil {
		return ""
	}
	if ci.CodeOf(err) == ci.CodeUnauthorized {
		return "the token is not valid; log in with `ci login`"
	}
	s := err.Error()
	if i := strings.LastIndex(s, ": "); i >= 0 && ci.CodeOf(err) == ci.CodeUnavailable && strings.Contains(s, "can't be reached") {
		return s[i+2:]
	}
	return s
}

// tabLabels are the lists' names with their digits.
func (p *program) tabLabels() []string {
	labels := make([]string, len(p.lists))
	for i, l := range p.lists {
		labels[i] = fmt.Sprintf("%d %s", i+1, l.Title())
	}
	return labels
}

// brand begins the first line.
const brand = " ci  "

// head is the first line: the lists, the way to what is seen, and the server.
func (p *program) head() string {
	t := p.world.Theme
	parts := make([]string, len(p.lists))
	for i, label := range p.tabLabels() {
		style := t.Tab
		if i == p.list {
			style = t.TabOn
		}
		parts[i] = style.Render(label)
	}
	left := t.Strong.Render(brand) + strings.Join(parts, "  ")
	for _, s := range p.stack {
		left += t.Faint.Render(" › ") + t.Accent.Clean(s.Title())
	}
	state := t.Good.Render("● live")
	switch {
	case p.offline():
		state = t.Bad.Render("○ offline")
	case p.link.Since.IsZero():
		state = t.Faint.Render("○ connecting")
	}
	right := " " + state + " "
	if server := t.Faint.Clean(p.server); ansi.StringWidth(left)+ansi.StringWidth(server)+ansi.StringWidth(right) < p.w {
		right = " " + server + right
	}
	return widget.Sides(left, right, p.w)
}

// tabAt is the list whose name is at column x of the first line.
func (p *program) tabAt(x int) (int, bool) {
	at := len(brand)
	for i, label := range p.tabLabels() {
		if n := ansi.StringWidth(label); x >= at && x < at+n {
			return i, true
		}
		at += ansi.StringWidth(label) + 2
	}
	return 0, false
}

// foot is the last line: a note, or the keys that are most useful now.
func (p *program) foot() string {
	t := p.world.Theme
	if p.note != "" {
		return t.Note.Render(widget.Fit(" "+terminal.Clean(p.note), p.w))
	}
	tail := t.Key.Render("?") + t.Faint.Render(" help  ") + t.Key.Render(":") + t.Faint.Render(" commands  ") + t.Key.Render("q") + t.Faint.Render(" back")
	if len(p.stack) == 0 {
		tail = strings.Replace(tail, "back", "quit", 1)
	}
	room := p.w - ansi.StringWidth(tail) - 3
	line := " "
	for _, b := range p.top().Keys() {
		hint := t.Key.Render(b.Help().Key) + t.Faint.Render(" "+b.Help().Desc+"  ")
		if ansi.StringWidth(line)+ansi.StringWidth(hint) > room {
			break
		}
		line += hint
	}
	return widget.Sides(line, tail+" ", p.w)
}

// over is the box over the screen, nil for none.
func (p *program) over(h int) []string {
	t := p.world.Theme
	width := min(p.w-2, 76)
	switch {
	case p.fail != nil:
		var lines []string
		for _, l := range errorLines(p.fail) {
			lines = append(lines, widget.Wrap(terminal.Clean(l), width-4)...)
		}
		lines = lines[:min(len(lines), max(1, h-4))]
		return widget.Frame(t.Bad.Render("That did not work"), append(lines, "", t.Faint.Render("any key goes on")), width)
	case p.form != nil:
		return p.form.View(t, p.w, h)
	case p.confirm != nil:
		var lines []string
		for _, l := range strings.Split(p.confirm.Question, "\n") {
			lines = append(lines, widget.Wrap(terminal.Clean(l), width-4)...)
		}
		lines = lines[:min(len(lines), max(1, h-4))]
		return widget.Frame(t.Warn.Render("Sure?"), append(lines, "", t.Key.Render("y")+" yes   "+t.Key.Render("n")+" no"), width)
	case p.palette != nil:
		return p.palette.view(t, p.w, h)
	case p.help != nil:
		return p.help.view(t, p.w, h)
	}
	return nil
}

func asCI(err error, e **ci.Error) bool { return errors.As(err, e) }
