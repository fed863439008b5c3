package widget

import (
	"cmp"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"ci/pkg/terminal"
	"ci/tui/theme"
)

// Column is one column of a table.
type Column struct {
	Head string
	// Max is the widest that it gets; 0 does not limit.
	Max int
	// Drop says how early the column gives way on a narrow terminal: the highest first, 0 never.
	Drop int
	// Right aligns it to the right.
	Right bool
	// Flex lets it shrink when all are too wide together, down to Least cells; 0 is 12.
	Flex  bool
	Least int
}

// Cell is a foreign text and its colour.
type Cell struct {
	Text  string
	Style theme.Style
}

// Row is one line of a table.
type Row struct {
	// ID tells the row from others, also after it has moved.
	ID    string
	Cells []Cell
	// Title makes the row a heading over those that follow, with no cells; it can't be selected.
	Title string
}

// Table is a list with a cursor. Rows are foreign text, made harmless here.
type Table struct {
	Theme   *theme.Theme
	Columns []Column
	// Empty is shown in place of rows.
	Empty string

	rows   []Row
	cursor int
	top    int
	height int // of the rows at the last View
}

const gap = "  "

// SetRows replaces the rows; the cursor stays on the row that it was on.
func (t *Table) SetRows(rows []Row) {
	id := t.Selected()
	t.rows = rows
	if i := slices.IndexFunc(rows, func(r Row) bool { return r.ID == id && id != "" }); i >= 0 {
		t.cursor = i
	}
	t.settle(1)
}

// Select puts the cursor on a row, if it is there.
func (t *Table) Select(id string) {
	if i := slices.IndexFunc(t.rows, func(r Row) bool { return r.ID == id }); i >= 0 {
		t.cursor = i
	}
}

// Selected is the ID of the row under the cursor; "" when there is none.
func (t *Table) Selected() string {
	if t.cursor < 0 || t.cursor >= len(t.rows) {
		return ""
	}
	return t.rows[t.cursor].ID
}

// Len is the number of rows that can be selected.
func (t *Table) Len() int {
	n := 0
	for i := range t.rows {
		if t.rows[i].Title == "" {
			n++
		}
	}
	return n
}

// Move moves the cursor by n rows.
func (t *Table) Move(n int) {
	t.cursor += n
	t.settle(n)
}

// Page moves the cursor by n pages.
func (t *Table) Page(n int) { t.Move(n * max(1, t.height-1)) }

// Ends moves the cursor to the first (-1) or the last (1) row.
func (t *Table) Ends(which int) { t.Move(which * (len(t.rows) + 1)) }

// settle keeps the cursor on a row that can be selected, looking on in direction dir first.
func (t *Table) settle(dir int) {
	t.cursor = min(max(t.cursor, 0), max(len(t.rows)-1, 0))
	step := 1
	if dir < 0 {
		step = -1
	}
	for _, s := range []int{step, -step} {
		for i := t.cursor; i >= 0 && i < len(t.rows); i += s {
			if t.rows[i].Title == "" {
				t.cursor = i
				return
			}
		}
	}
}

// Click selects the row at line y of the last View; hit says whether there is
// one, again whether it was selected already.
func (t *Table) Click(y int) (hit, again bool) {
	i := t.top + y - 1
	if y < 1 || i >= len(t.rows) || t.rows[i].Title != "" {
		return false, false
	}
	again = i == t.cursor
	t.cursor = i
	return true, again
}

// View draws the table into w by h cells, the first line of which are heads.
func (t *Table) View(w, h int) string {
	t.height = max(1, h-1)
	t.scroll()
	cols, widths := t.layout(w)
	lines := []string{t.heads(cols, widths, w)}
	if len(t.rows) == 0 {
		for _, l := range Wrap(t.Empty, w-2) {
			lines = append(lines, "  "+t.Theme.Faint.Render(l))
		}
	}
	for i := t.top; i < min(len(t.rows), t.top+t.height); i++ {
		lines = append(lines, t.line(&t.rows[i], i == t.cursor, cols, widths, w))
	}
	return Box(lines, w, h)
}

func (t *Table) scroll() {
	t.top = min(t.top, max(0, len(t.rows)-t.height))
	if t.cursor < t.top {
		t.top = t.cursor
		if t.top > 0 && t.rows[t.top-1].Title != "" {
			t.top-- // its heading belongs to it
		}
	}
	if t.cursor >= t.top+t.height {
		t.top = t.cursor - t.height + 1
	}
}

// layout picks the columns that fit w, and their widths.
func (t *Table) layout(w int) (cols, widths []int) {
	all := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		if c.Drop > 0 && t.blank(i) {
			continue
		}
		all[i] = ansi.StringWidth(c.Head)
		for j := t.top; j < min(len(t.rows), t.top+t.height); j++ {
			if i < len(t.rows[j].Cells) {
				all[i] = max(all[i], ansi.StringWidth(terminal.Clean(t.rows[j].Cells[i].Text)))
			}
		}
		if c.Max > 0 {
			all[i] = min(all[i], c.Max)
		}
		cols = append(cols, i)
	}
	sum := func() int {
		n := 2
		for _, i := range cols {
			n += all[i] + len(gap)
		}
		return n - len(gap)
	}
	t.shrink(all, cols, sum()-w, func(c Column) int { return cmp.Or(c.Least, 12) })
	for sum() > w {
		worst := -1
		for k, i := range cols {
			if d := t.Columns[i].Drop; d > 0 && (worst < 0 || d > t.Columns[cols[worst]].Drop) {
				worst = k
			}
		}
		if worst < 0 {
			break
		}
		cols = slices.Delete(cols, worst, worst+1)
	}
	t.shrink(all, cols, sum()-w, func(Column) int { return 4 })
	for _, i := range cols {
		widths = append(widths, all[i])
	}
	return cols, widths
}

// blank says whether a column has nothing to say about any row.
func (t *Table) blank(i int) bool {
	return len(t.rows) > 0 && !slices.ContainsFunc(t.rows, func(r Row) bool { return i < len(r.Cells) && r.Cells[i].Text != "" })
}

// shrink takes what is too much from the columns that give way, down to the least.
func (t *Table) shrink(all, cols []int, over int, least func(Column) int) {
	for over > 0 {
		widest := -1
		for _, i := range cols {
			if t.Columns[i].Flex && all[i] > least(t.Columns[i]) && (widest < 0 || all[i] > all[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		all[widest]--
		over--
	}
}

func (t *Table) heads(cols, widths []int, w int) string {
	parts := make([]string, len(cols))
	for k, i := range cols {
		parts[k] = t.align(t.Columns[i].Head, widths[k], t.Columns[i].Right)
	}
	return t.Theme.Head.Render(Fit("  "+strings.Join(parts, gap), w))
}

func (t *Table) align(s string, w int, right bool) string {
	if n := ansi.StringWidth(s); right && n < w {
		return strings.Repeat(" ", w-n) + s
	}
	return Fit(s, w)
}

func (t *Table) line(r *Row, on bool, cols, widths []int, w int) string {
	if r.Title != "" {
		return t.Theme.Strong.Render(Fit(terminal.Clean(r.Title), w))
	}
	parts := make([]string, len(cols))
	for k, i := range cols {
		var c Cell
		if i < len(r.Cells) {
			c = r.Cells[i]
		}
		parts[k] = t.align(terminal.Clean(c.Text), widths[k], t.Columns[i].Right)
		if !on {
			parts[k] = c.Style.Render(parts[k])
		}
	}
	if on { // one colour for the whole line, so that it is seen on every ground
		return t.Theme.Selected.Render(Fit("▸ "+strings.Join(parts, gap), w))
	}
	return Fit("  "+strings.Join(parts, gap), w)
}
