package runlist

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/runview"
	"ci/tui/theme"
	"ci/tui/widget"
)

// fill makes the table's rows of the runs.
func (l *List) fill() {
	now := l.world.Now()
	shown := make([]*ci.Run, 0, len(l.runs))
	for i := range l.runs {
		if matches(&l.runs[i], l.filter.Value(), l.world.Theme) {
			shown = append(shown, &l.runs[i])
		}
	}
	l.sort(shown, now)
	l.table.Empty = l.empty()
	l.table.SetRows(l.rows(shown, now))
}

func (l *List) empty() string {
	switch {
	case !l.ready:
		return "Loading …"
	case l.filter.Value() != "":
		return "No run matches the filter; esc takes it away."
	}
	return "No runs yet. Go to the jobs (2) and trigger one (t)."
}

// matches says whether each word of the filter is somewhere in what is shown of a run.
func matches(r *ci.Run, filter string, t *theme.Theme) bool {
	text := strings.ToLower(strings.Join([]string{
		ci.RunRef{Job: r.Job, Run: r.ID}.String(), t.State(r), r.BranchName, r.CommitSHA, r.Agent, r.TriggeredBy, string(r.Priority), r.Reason,
	}, " "))
	for word := range strings.FieldsSeq(strings.ToLower(filter)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// severity orders states by how much they need somebody.
func severity(r *ci.Run) int {
	if !r.Done() {
		return 1
	}
	return map[ci.Outcome]int{ci.OutcomeSucceeded: 3, ci.OutcomeAborted: 2}[r.Outcome] // 0 is trouble
}

func (l *List) sort(runs []*ci.Run, now time.Time) {
	slices.SortStableFunc(runs, func(a, b *ci.Run) int {
		switch l.order {
		case byState:
			return severity(a) - severity(b)
		case byName:
			return strings.Compare(a.Job, b.Job)
		case byDuration:
			return int(runview.Took(b, now) - runview.Took(a, now))
		}
		return 0
	})
}

// rows are the table's, under headings when they are grouped. Groups come in
// the order of their first run.
func (l *List) rows(runs []*ci.Run, now time.Time) []widget.Row {
	if l.group == ungrouped {
		rows := make([]widget.Row, 0, len(runs))
		for _, r := range runs {
			rows = append(rows, l.row(r, now))
		}
		return rows
	}
	var titles []string
	groups := map[string][]*ci.Run{}
	for _, r := range runs {
		k := l.groupOf(r)
		if groups[k] == nil {
			titles = append(titles, k)
		}
		groups[k] = append(groups[k], r)
	}
	var rows []widget.Row
	for _, k := range titles {
		rows = append(rows, widget.Row{Title: fmt.Sprintf("%s (%d)", k, len(groups[k]))})
		for _, r := range groups[k] {
			rows = append(rows, l.row(r, now))
		}
	}
	return rows
}

func (l *List) groupOf(r *ci.Run) string {
	v, none := r.BranchName, "no branch"
	switch l.group {
	case byCommit:
		v, none = r.CommitSHA, "no commit"
	case byJob:
		v = r.Job
	}
	if v == "" {
		return none
	}
	return v
}

func (l *List) row(r *ci.Run, now time.Time) widget.Row {
	t := l.world.Theme
	took := ""
	if d := runview.Took(r, now); d > 0 {
		took = terminal.Duration(d)
	}
	return widget.Row{ID: rowID(r), Cells: []widget.Cell{
		{Text: t.Glyph(r) + " " + t.State(r), Style: t.StateStyle(r)},
		{Text: ci.RunRef{Job: r.Job, Run: r.ID}.String(), Style: t.Strong},
		{Text: r.BranchName},
		{Text: r.CommitSHA[:min(8, len(r.CommitSHA))], Style: t.Faint},
		{Text: terminal.Age(now, r.Times.Triggered), Style: t.Faint},
		{Text: took},
		{Text: r.TriggeredBy, Style: t.Faint},
		{Text: r.Reason, Style: t.Faint},
	}}
}
