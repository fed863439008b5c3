package pipelineview

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/theme"
	"ci/tui/widget"
)

// View implements screen.Screen.
func (v *View) View(w, h int) string {
	head := v.head(w)
	if v.run == nil {
		line := v.world.Theme.Faint.Render("Loading …")
		if v.err != nil {
			line = v.world.Theme.Bad.Clean(v.err.Error())
		}
		return widget.Box(append(head, line), w, h)
	}
	head = append(head[:min(len(head), max(1, h/3))], v.world.Theme.Rest.Render(strings.Repeat("─", w)))
	v.above = len(head)
	h -= len(head)
	below := v.details(w)
	room := min(len(below)+1, h/3)
	if len(below) == 0 {
		room = 0
	}
	out := widget.Box(head, w, len(head)) + "\n" + v.table.View(w, h-room)
	if room > 0 {
		out += "\n" + v.world.Theme.Rest.Render(strings.Repeat("─", w))
	}
	if room > 1 {
		out += "\n" + widget.Box(below, w, room-1)
	}
	return out
}

// head says what became of the run, and what it asks for.
func (v *View) head(w int) []string {
	t, now := v.world.Theme, v.world.Now()
	if v.run == nil {
		return []string{t.Strong.Clean(v.Title())}
	}
	r := v.run
	state := feed.PipelineAsRun(r)
	left := t.StateStyle(state).Render(t.Glyph(state)+" "+t.State(state)) + "  " + t.Strong.Clean(v.Title())
	lines := []string{widget.Sides(left, t.Faint.Clean(terminal.Duration(feed.PipelineTook(r, now))+" · "+terminal.Age(now, r.Triggered)), w)}
	facts := []string{fmt.Sprintf("version %d", r.Version), "by " + r.TriggeredBy}
	if r.RerunOf > 0 {
		facts = append(facts, fmt.Sprintf("reuses %s/%d", r.Pipeline, r.RerunOf))
	}
	for _, p := range slices.Sorted(maps.Keys(r.Parameters)) {
		facts = append(facts, p+"="+r.Parameters[p])
	}
	lines = append(lines, t.Faint.Clean(strings.Join(facts, " · ")))
	if r.Trace != nil {
		lines = append(lines, t.Faint.Clean("trace "+r.Trace.ID))
	}
	if v.err != nil {
		lines = append(lines, t.Warn.Clean("not up to date: "+v.err.Error()))
	}
	if !r.AbortRequestedAt.IsZero() && !r.Finished() {
		lines = append(lines, t.Warn.Render("An abort was asked for "+terminal.Age(now, r.AbortRequestedAt)+"; the runs that it has triggered have to end first."))
	}
	if r.Reason != "" {
		lines = append(lines, prose(t.StateStyle(state), r.Reason, w)...)
	}
	for _, c := range v.questions() {
		lines = append(lines, t.Warn.Clean("? "+c.Title)+t.Faint.Clean(" asked "+terminal.Age(now, c.Began))+"  "+t.Key.Render("a")+" approve  "+t.Key.Render("x")+" reject")
	}
	return lines
}

// prose is a foreign sentence in as many lines as it takes.
func prose(s theme.Style, text string, w int) []string {
	lines := widget.Wrap(terminal.Clean(text), w)
	for i := range lines {
		lines[i] = s.Render(lines[i])
	}
	return lines
}

// deepest is how far the tree is indented.
const deepest = 10

// fill makes a row of each call. A call stands below what it waited for, one step further in.
func (v *View) fill() {
	if v.run == nil {
		return
	}
	t, depth := v.world.Theme, map[string]int{}
	rows := make([]widget.Row, 0, len(v.run.Calls))
	for i := range v.run.Calls {
		c := &v.run.Calls[i]
		for _, before := range c.After {
			depth[c.ID] = max(depth[c.ID], depth[before]+1)
		}
		step := feed.CallName(c)
		if d := min(depth[c.ID], deepest); d > 0 {
			step = strings.Repeat("  ", d-1) + "└ " + step
		}
		ref := ""
		if c.Run != nil {
			ref = c.Run.String()
		}
		state, style := stateOf(t, c)
		rows = append(rows, widget.Row{ID: c.ID, Cells: []widget.Cell{
			{Text: step, Style: t.Strong},
			{Text: state, Style: style},
			{Text: ref},
			{Text: v.took(c)},
			{Text: v.bar(c), Style: style},
			{Text: c.ID, Style: t.Faint},
			{Text: strings.Join(c.After, " "), Style: t.Faint},
			{Text: note(c), Style: t.Faint},
		}})
	}
	v.table.Empty = "Its program has done nothing yet."
	v.table.SetRows(rows)
}

// note is what there is to say of a call beside its state.
func note(c *ci.PipelineCall) string {
	switch {
	case c.Reason != "":
		return c.Reason
	case c.By != "":
		return "by " + c.By
	}
	return ""
}

func stateOf(t *theme.Theme, c *ci.PipelineCall) (string, theme.Style) {
	switch {
	case feed.Asks(c):
		return "? asks", t.Warn
	case c.Kind == ci.CallPrint:
		return "· printed", t.Faint
	case !c.Done && c.Run == nil:
		return "○ " + feed.CallState(c), t.Faint
	}
	as := &ci.Run{Status: ci.StatusInProgress, Phase: ci.PhaseRunning, Outcome: c.Outcome}
	if c.Done {
		as.Status = ci.StatusDone
	}
	return t.Glyph(as) + " " + feed.CallState(c), t.StateStyle(as)
}

// took is how long a call took, or has taken so far.
func (v *View) took(c *ci.PipelineCall) string {
	end := c.Ended
	if !c.Done {
		end = v.world.Now()
	}
	if c.Began.IsZero() || c.Reused || c.Kind == ci.CallPrint || c.Kind == ci.CallNow {
		return ""
	}
	return terminal.Duration(max(0, end.Sub(c.Began)))
}

// cells is how wide the line of time is.
const cells = 24

// bar is when a call was under way, on the line of time of its run.
func (v *View) bar(c *ci.PipelineCall) string {
	now := v.world.Now()
	whole := feed.PipelineTook(v.run, now)
	if whole <= 0 || c.Began.IsZero() || c.Reused {
		return ""
	}
	end := c.Ended
	if !c.Done {
		end = now
	}
	at := func(when time.Time) int {
		return min(max(int(when.Sub(v.run.Triggered)*cells/whole), 0), cells-1)
	}
	from, to := at(c.Began), at(end)
	return strings.Repeat("·", from) + strings.Repeat("█", to-from+1) + strings.Repeat("·", cells-1-to)
}

// details are all about the call under the cursor.
func (v *View) details(w int) []string {
	c, t := v.selected(), v.world.Theme
	if c == nil {
		return nil
	}
	state, style := stateOf(t, c)
	lines := []string{style.Render(state) + "  " + t.Strong.Clean(feed.CallName(c))}
	zone := v.world.Now().Location()
	facts := []string{"step " + c.ID, fmt.Sprintf("line %d", c.Line)}
	if !c.Began.IsZero() {
		facts = append(facts, "began "+c.Began.In(zone).Format("15:04:05"))
	}
	if c.Done && !c.Ended.IsZero() {
		facts = append(facts, "ended "+c.Ended.In(zone).Format("15:04:05"))
	}
	if c.By != "" {
		facts = append(facts, "answered by "+c.By)
	}
	if len(c.After) > 0 {
		facts = append(facts, "after "+strings.Join(c.After, " "))
	}
	lines = append(lines, t.Faint.Clean(strings.Join(facts, " · ")))
	if c.Reason != "" {
		lines = append(lines, prose(style, c.Reason, w)...)
	}
	return lines
}
