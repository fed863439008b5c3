package runview

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"ci/pkg/ci"
	"ci/pkg/junit"
	"ci/pkg/terminal"
	"ci/tui/feed"
	"ci/tui/theme"
	"ci/tui/widget"
)

// tests is the part that shows JUnit results: what failed first, with message and stack.
type tests struct {
	theme  *theme.Theme
	table  widget.Table
	source ci.Result // what was, or is being, read
	asked  bool
	report *junit.Report
	err    error
	all    bool
	detail int // the first line of the details that is shown
}

func newTests(t *theme.Theme) tests {
	return tests{theme: t, table: widget.Table{Theme: t, Columns: []widget.Column{
		{Head: "STATUS"}, {Head: "TEST", Flex: true}, {Head: "TOOK", Right: true, Drop: 2}, {Head: "MESSAGE", Flex: true, Drop: 3},
	}}}
}

// wants says whether there is a result to be read that was not read yet. A run
// stores results once, at its end.
func (t *tests) wants(run *ci.Run, results []ci.Result) bool {
	if t.asked || !run.Done() {
		return false
	}
	best := -1
	for i, r := range results {
		if feed.HoldsTests(r) && best < 0 {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	t.source, t.asked = results[best], true
	return true
}

func (t *tests) take(m feed.TestsLoaded) {
	t.report, t.err = m.Report, m.Err
	if m.Err != nil {
		return
	}
	t.all = unsuccessful(m.Report) == 0
	t.fill()
}

// fill lists failed tests first, then the others when all are wanted.
func (t *tests) fill() {
	if t.report == nil {
		return
	}
	var bad, rest []widget.Row
	for i := range t.report.Cases {
		c := &t.report.Cases[i]
		row := t.row(i, c)
		if c.Status == junit.Failed || c.Status == junit.Errored {
			bad = append(bad, row)
		} else if t.all {
			rest = append(rest, row)
		}
	}
	t.table.SetRows(append(bad, rest...))
}

func (t *tests) row(i int, c *junit.Case) widget.Row {
	status := string(c.Status)
	if c.Flaky {
		status += " flaky"
	}
	return widget.Row{ID: fmt.Sprint(i), Cells: []widget.Cell{
		{Text: status, Style: t.style(c.Status)}, {Text: caseName(c)}, {Text: terminal.Duration(c.Duration), Style: t.theme.Faint}, {Text: c.Message, Style: t.theme.Faint},
	}}
}

func (t *tests) style(s junit.Status) theme.Style {
	return map[junit.Status]theme.Style{junit.Passed: t.theme.Good, junit.Failed: t.theme.Bad, junit.Errored: t.theme.Odd, junit.Skipped: t.theme.Faint}[s]
}

// caseName is a test's class and name.
func caseName(c *junit.Case) string {
	if c.Class == "" {
		return c.Name
	}
	return c.Class + " › " + c.Name
}

// key takes a key and says whether it was one of this part's.
func (t *tests) key(m tea.KeyMsg) bool {
	switch {
	case key.Matches(m, keyPassed):
		t.all = !t.all
		t.fill()
	case m.String() == "J":
		t.detail++
	case m.String() == "K":
		t.detail = max(0, t.detail-1)
	default:
		before := t.table.Selected()
		moved := scroll(&t.table, m)
		if t.table.Selected() != before {
			t.detail = 0
		}
		return moved
	}
	return true
}

// selected is the test under the cursor; nil for none.
func (t *tests) selected() *junit.Case {
	var i int
	if _, err := fmt.Sscan(t.table.Selected(), &i); err != nil || t.report == nil {
		return nil
	}
	return &t.report.Cases[i]
}

// summary counts the tests.
func (t *tests) summary() string {
	s := t.report.Summary()
	parts := []string{fmt.Sprintf("%d tests", s.Total())}
	for _, p := range []struct {
		n    int
		what junit.Status
	}{{s.Failed, junit.Failed}, {s.Errored, junit.Errored}, {s.Skipped, junit.Skipped}, {s.Passed, junit.Passed}} {
		if p.n > 0 {
			parts = append(parts, t.style(p.what).Render(fmt.Sprintf("%d %s", p.n, p.what)))
		}
	}
	if s.Flaky > 0 {
		parts = append(parts, t.theme.Warn.Render(fmt.Sprintf("%d flaky", s.Flaky)))
	}
	return strings.Join(parts, "  ") + t.theme.Faint.Render("  in "+terminal.Duration(s.Duration))
}

// view draws the part: the list, and the details of the test under the cursor
// beside it, or below it on a narrow terminal.
func (t *tests) view(w, h int) string {
	switch {
	case t.err != nil:
		return widget.Box([]string{t.theme.Bad.Clean("The tests of result " + t.source.Name + " can't be read: " + t.err.Error())}, w, h)
	case t.report == nil && t.asked:
		return widget.Box([]string{t.theme.Faint.Render("Loading …")}, w, h)
	case t.report == nil:
		return widget.Box([]string{t.theme.Faint.Render("No result holds JUnit reports. A result called junit, or of type application/xml, would.")}, w, h)
	}
	head := widget.Fit(t.summary(), w) + "\n"
	h--
	t.table.Empty = "No test failed; a shows all."
	if w >= 120 {
		left := w / 2
		return head + widget.Beside(t.table.View(left, h), t.details(w-left-3, h), t.theme.Rest.Render(" │ "))
	}
	top := max(4, min(h/2, t.table.Len()+1))
	return head + t.table.View(w, top) + "\n" + t.theme.Rest.Render(strings.Repeat("─", w)) + "\n" + t.details(w, h-top-1)
}

func (t *tests) details(w, h int) string {
	c := t.selected()
	if c == nil {
		return widget.Box(nil, w, h)
	}
	lines := []string{t.theme.Strong.Clean(caseName(c))}
	if len(c.Suites) > 0 {
		lines = append(lines, t.theme.Faint.Clean("in "+strings.Join(c.Suites, " › ")))
	}
	if c.File != "" {
		lines = append(lines, t.theme.Faint.Clean(fmt.Sprintf("%s:%d", c.File, c.Line)))
	}
	if c.Message != "" {
		for _, l := range widget.Wrap(terminal.CleanLines(c.Message), w) {
			lines = append(lines, t.theme.Bad.Render(l))
		}
	}
	if c.Details != "" {
		lines = append(lines, "")
		lines = append(lines, widget.Wrap(terminal.CleanLines(strings.ReplaceAll(c.Details, "\t", "    ")), w)...)
	}
	t.detail = max(0, min(t.detail, len(lines)-h))
	shown := lines[t.detail:]
	if len(shown) > h && h > 1 {
		more := len(shown) - h + 1
		shown = append(shown[:h-1:h-1], t.theme.Faint.Render(fmt.Sprintf("… %d more lines, J and K scroll", more)))
	}
	return widget.Box(shown, w, h)
}
