package runview

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"ci/pkg/ci"
	"ci/pkg/junit"
	"ci/pkg/terminal"
	"ci/tui/theme"
	"ci/tui/widget"
)

// headLines is how many lines are above a part.
const headLines = 3

// View implements screen.Screen.
func (v *View) View(w, h int) string {
	head := v.head(w) + "\n" + v.tabs(w) + "\n" + v.world.Theme.Rest.Render(strings.Repeat("─", w)) + "\n"
	h -= headLines
	switch {
	case v.tab == Console && v.log != nil:
		return head + v.log.View(w, h)
	case !v.loaded && v.err != nil:
		return head + widget.Box(prose(v.world.Theme.Bad, v.err.Error(), w), w, h)
	case !v.loaded:
		return head + widget.Box([]string{v.world.Theme.Faint.Render("Loading …")}, w, h)
	}
	switch v.tab {
	case Tests:
		return head + v.tests.view(w, h)
	case Results:
		return head + v.results.View(w, h)
	case Queue:
		return head + v.queueView(w, h)
	}
	return head + v.page.view(v.overview(w), w, h)
}

// head says what became of the run in one line.
func (v *View) head(w int) string {
	t := v.world.Theme
	name := t.Strong.Clean(v.ref.String())
	if !v.loaded {
		return widget.Fit(name, w)
	}
	r := v.d.Run
	left := t.StateStyle(r).Render(t.Glyph(r)+" "+t.State(r)) + "  " + name
	var right []string
	if r.ExitCode != nil {
		right = append(right, fmt.Sprintf("exit %d", *r.ExitCode))
	}
	if d := Took(r, v.world.Now()); d > 0 {
		right = append(right, terminal.Duration(d))
	}
	right = append(right, terminal.Age(v.world.Now(), r.Times.Triggered))
	return widget.Sides(left, t.Faint.Clean(strings.Join(right, " · ")), w)
}

// label is how a tab is called, with what can be said of it.
func (v *View) label(tab Tab) string {
	name := tabNames[tab]
	switch {
	case tab == Tests && v.tests.report != nil && unsuccessful(v.tests.report) > 0:
		name += fmt.Sprintf(" %d✗", unsuccessful(v.tests.report))
	case tab == Results && len(v.d.Results) > 0:
		name += fmt.Sprintf(" %d", len(v.d.Results))
	}
	return fmt.Sprintf("%d %s", tab+1, name)
}

func (v *View) tabs(w int) string {
	t := v.world.Theme
	parts := make([]string, len(tabNames))
	for i := range tabNames {
		style := t.Tab
		if Tab(i) == v.tab {
			style = t.TabOn
		}
		parts[i] = style.Render(v.label(Tab(i)))
	}
	return widget.Fit(strings.Join(parts, "   "), w)
}

// tabAt is the tab at column x of the line of tabs.
func (v *View) tabAt(x int) (Tab, bool) {
	at := 0
	for i := range tabNames {
		n := ansi.StringWidth(v.label(Tab(i)))
		if x >= at && x < at+n {
			return Tab(i), true
		}
		at += n + 3
	}
	return 0, false
}

// overview is the whole first part, however long it gets.
func (v *View) overview(w int) []string {
	r, t := v.d.Run, v.world.Theme
	var lines []string
	if v.err != nil {
		lines = append(lines, t.Warn.Clean("not up to date: "+v.err.Error()))
	}
	if r.Reason != "" {
		lines = append(lines, prose(t.StateStyle(r), sentence(r.Reason), w)...)
	} else if v.d.Queue != nil {
		lines = append(lines, prose(t.Warn, sentence(v.d.Queue.Reason), w)...)
	}
	if !r.AbortRequestedAt.IsZero() && !r.Done() {
		lines = append(lines, t.Warn.Render("An abort was asked for "+terminal.Age(v.world.Now(), r.AbortRequestedAt)+"; its agent has to confirm it."))
	}
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	lines = append(lines, v.timeline(w)...)
	lines = append(lines, v.failedTests(w)...)
	lines = append(lines, v.lastLines(w)...)
	lines = append(lines, v.facts(w)...)
	return append(lines, v.relatives()...)
}

// prose is a foreign sentence in as many lines as it takes.
func prose(s theme.Style, text string, w int) []string {
	lines := widget.Wrap(terminal.Clean(text), w)
	for i := range lines {
		lines[i] = s.Render(lines[i])
	}
	return lines
}

func section(t *theme.Theme, name string) []string { return []string{"", t.Head.Render(name)} }

// span is one bar of the timeline.
type span struct {
	name     string
	from, to time.Time
	open     bool // it goes on
	detail   string
	step     bool
}

// spans are the run's phases, and the steps of its preparation below theirs.
func spans(r *ci.Run, now time.Time) []span {
	times := []time.Time{r.Times.Triggered, r.Times.Queued, r.Times.Claimed, r.Times.Started, r.Times.Collecting, r.Times.Done}
	var out []span
	for i, p := range ci.Phases {
		from := times[i]
		if from.IsZero() {
			continue
		}
		s := span{name: string(p), from: from, to: now, open: !r.Done()}
		for _, end := range times[i+1:] {
			if !end.IsZero() {
				s.to, s.open = end, false
				break
			}
		}
		out = append(out, s)
		if p != ci.PhasePreparing {
			continue
		}
		for _, st := range r.Steps {
			out = append(out, span{name: st.Name, from: st.Began, to: st.Began.Add(time.Duration(st.Took)), detail: st.Detail, step: true})
		}
	}
	return out
}

// timeline draws the phases as bars over one scale of time.
func (v *View) timeline(w int) []string {
	t, now := v.world.Theme, v.world.Now()
	all := spans(v.d.Run, now)
	if len(all) == 0 {
		return nil
	}
	begin, end, names := all[0].from, all[0].to, 0
	for _, s := range all {
		if s.to.After(end) {
			end = s.to
		}
		names = max(names, ansi.StringWidth(terminal.Clean(s.name))+2)
	}
	names = min(names, 24)
	room := max(10, min(w-names-24, 100))
	total := max(end.Sub(begin), time.Millisecond)
	lines := []string{t.Head.Render(widget.Fit("PHASE", names) + " " + widget.Fit("0s", room-8) + fmt.Sprintf("%8s", terminal.Duration(total)))}
	for _, s := range all {
		lines = append(lines, v.bar(s, begin, total, names, room))
	}
	return lines
}

// bar draws a span; even a short one is one cell wide.
func (v *View) bar(s span, begin time.Time, total time.Duration, names, room int) string {
	t := v.world.Theme
	at := min(max(int(int64(room)*int64(s.from.Sub(begin))/int64(total)), 0), room-1)
	n := max(1, min(int((int64(room)*int64(s.to.Sub(s.from))+int64(total)-1)/int64(total)), room-at))
	style, name, cell := t.Bar, s.name, "━"
	switch {
	case s.step:
		style, name, cell = t.Faint, "  "+s.name, "─"
	case s.open:
		style = t.Warn
	case s.name == string(ci.PhasePlanning) || s.name == string(ci.PhaseQueued): // nothing was done for it yet
		style = t.Faint
	}
	line := widget.Fit(terminal.Clean(name), names) + " " + t.Rest.Render(strings.Repeat("·", at)) + style.Render(strings.Repeat(cell, n)) +
		t.Rest.Render(strings.Repeat("·", max(0, room-at-n))) + " " + fmt.Sprintf("%7s", terminal.Duration(max(0, s.to.Sub(s.from))))
	if s.open {
		line += t.Warn.Render(" …")
	}
	if s.detail != "" {
		line += " " + t.Faint.Clean(s.detail)
	}
	return line
}

const (
	maxFailed = 5
	maxTail   = 10
)

// failedTests names the first tests that failed.
func (v *View) failedTests(w int) []string {
	t := v.world.Theme
	if v.tests.report == nil || unsuccessful(v.tests.report) == 0 {
		return nil
	}
	bad := v.tests.report.Unsuccessful()
	lines := section(t, fmt.Sprintf("FAILED TESTS  %d of %d, 3 shows them", len(bad), len(v.tests.report.Cases)))
	for i := range bad[:min(len(bad), maxFailed)] {
		lines = append(lines, failed(t, &bad[i], w)...)
	}
	return lines
}

func failed(t *theme.Theme, c *junit.Case, w int) []string {
	lines := []string{t.Bad.Render("✗ ") + t.Strong.Clean(caseName(c))}
	if c.Message != "" {
		lines = append(lines, "  "+ansi.Truncate(terminal.Clean(c.Message), max(1, w-2), "…"))
	}
	return lines
}

// lastLines is the end of the console of a run that did not succeed.
func (v *View) lastLines(w int) []string {
	if len(v.d.Tail) == 0 || v.d.Run.Outcome == ci.OutcomeSucceeded {
		return nil
	}
	var clean strings.Builder
	_, _ = terminal.NewFilter(&clean, false).Write(v.d.Tail) // a Builder takes all
	all := strings.Split(strings.TrimRight(clean.String(), "\r\n"), "\n")
	if len(all) > 1 && int64(len(v.d.Tail)) < v.d.Run.Console.Bytes {
		all = all[1:] // it was cut
	}
	lines := section(v.world.Theme, "LAST LINES  2 shows the console")
	for _, l := range all[max(0, len(all)-maxTail):] {
		l = strings.TrimRight(l, "\r")
		l = widget.Expand(l[strings.LastIndexByte(l, '\r')+1:])
		lines = append(lines, v.world.Theme.Rest.Render("│ ")+ansi.Truncate(l, max(1, w-2), "…"))
	}
	return lines
}

// facts are what is known of the run beside its times.
func (v *View) facts(w int) []string {
	r, t := v.d.Run, v.world.Theme
	pairs := [][2]string{
		{"branch", r.BranchName},
		{"commit", r.CommitSHA},
		{"agent", r.Agent},
		{"class", r.Class},
		{"priority", string(r.Priority)},
		{"by", r.TriggeredBy},
		{"trace", traceOf(r.Trace)},
		{"triggered", stamp(r.Times.Triggered, v.world.Now())},
		{"output", ci.Bytes(r.Console.Bytes)},
	}
	for _, im := range r.Images {
		pairs = append(pairs, [2]string{im.For, im.Reference + " " + im.Digest})
	}
	lines := section(t, "ABOUT")
	for _, p := range pairs {
		if p[1] != "" {
			lines = append(lines, t.Faint.Clean(widget.Fit(terminal.Clean(p[0]), 12))+" "+terminal.Clean(p[1]))
		}
	}
	if len(r.Parameters) == 0 {
		return lines
	}
	lines = append(lines, section(t, "PARAMETERS")...)
	for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
		lines = append(lines, t.Accent.Clean(name)+"="+ansi.Truncate(terminal.Clean(r.Parameters[name]), max(1, w-len(name)-1), "…"))
	}
	return lines
}

// traceOf is a trace as places name it that keep traces; "" for none.
func traceOf(t *ci.Trace) string {
	if t == nil {
		return ""
	}
	return t.ID
}

// relatives are the run's parent and children; o goes through them.
func (v *View) relatives() []string {
	t := v.world.Theme
	if len(v.links) == 0 {
		return nil
	}
	lines := section(t, "PARENT AND CHILDREN  o chooses, enter opens")
	for i, ref := range v.links {
		mark, what, state := "  ", "child ", ""
		if i == 0 && v.d.Run.Parent != nil {
			what = "parent"
		}
		if i == v.link {
			mark = t.Accent.Render("▸ ")
		}
		for j := range v.d.Children {
			if c := &v.d.Children[j]; c.ID == ref.Run {
				state = t.StateStyle(c).Render(t.Glyph(c) + " " + t.State(c))
			}
		}
		lines = append(lines, mark+t.Faint.Render(what)+" "+t.Strong.Clean(ref.String())+" "+state)
	}
	return lines
}

// stamp is a time on the clock that now is of.
func stamp(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.In(now.Location()).Format("2006-01-02 15:04:05 MST")
}

// queueView says why the run waits.
func (v *View) queueView(w, h int) string {
	t, q := v.world.Theme, v.d.Queue
	if q == nil {
		what := "The run does not wait: an agent has it."
		if v.d.Run.Done() {
			what = "The run does not wait: it is done."
		}
		return widget.Box([]string{t.Faint.Render(what)}, w, h)
	}
	lines := prose(t.Warn, sentence(q.Reason), w)
	if q.Unschedulable {
		lines = append(lines, t.Bad.Render("No agent that is known could ever take it."))
	}
	lines = append(lines, t.Faint.Clean(fmt.Sprintf("%d ahead of it, class %s, priority %s", q.Position, q.Class, q.Priority)), "")
	v.queue.Empty = "There is no agent."
	return widget.Box(lines, w, len(lines)) + "\n" + v.queue.View(w, max(2, h-len(lines)))
}

// pager shows a part of a text that is longer than the screen.
type pager struct{ top, height, lines int }

func (p *pager) view(lines []string, w, h int) string {
	p.lines, p.height = len(lines), h
	p.top = max(0, min(p.top, len(lines)-h))
	shown := lines[p.top:min(len(lines), p.top+h)]
	if p.top+h < len(lines) && h > 2 {
		shown = append(shown[:h-1:h-1], fmt.Sprintf("  ↓ %d more lines", len(lines)-p.top-h+1))
	}
	return widget.Box(shown, w, h)
}

func (p *pager) key(m tea.KeyMsg) {
	switch {
	case key.Matches(m, keyUp):
		p.top--
	case key.Matches(m, keyDown):
		p.top++
	case key.Matches(m, keyPgUp):
		p.top -= max(1, p.height-1)
	case key.Matches(m, keyPgDown):
		p.top += max(1, p.height-1)
	case key.Matches(m, keyTop):
		p.top = 0
	case key.Matches(m, keyBottom):
		p.top = p.lines
	}
}
