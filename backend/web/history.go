package web

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
	"ci/pkg/junit"
)

const (
	// remembered is how many runs the history of tests goes over.
	remembered = 20
	// maxTests is how many tests it shows; each has a square for each run, so that a
	// page of them has its weight.
	maxTests = 100
)

// historyPage shows a job's tests over its newest runs, oldest run first.
type historyPage struct {
	Job    string
	Runs   []historyRun
	Tests  []testLine
	Total  int // of all tests
	Failed int // tests that fail at present
	Flaky  int
}

type historyRun struct {
	Run ci.Run
	junit.Summary
	Error *ci.Error
	// X, Bad and Good place its bar in the chart; heights of 100.
	X, Bad, Good int
}

// testLine is one test over the runs.
type testLine struct {
	Name   string
	Suite  string
	Cells  []testCell
	Bad    int // runs in which it failed
	Ran    int
	Flaky  string // why it counts as flaky; "" if it does not
	Broken bool   // it fails in the newest run that has it
	Median time.Duration
}

// Slots is how many bars the chart has room for.
func (p *historyPage) Slots() int { return remembered }

// Percent is how often it failed.
func (t *testLine) Percent() int { return percent(float64(t.Bad), float64(t.Ran)) }

type testCell struct {
	Run    ci.Run
	Status junit.Status // "" where the run does not have the test
	Flaky  bool
	Took   time.Duration
}

// Mood is the class of the cell.
func (c testCell) Mood() string {
	switch c.Status {
	case junit.Failed, junit.Errored:
		return "bad"
	case junit.Passed:
		return "good"
	}
	return "off"
}

// history shows how a job's tests did over its newest runs.
func (v *visit) history() error {
	name, err := v.jobName()
	if err != nil {
		return err
	}
	ctx := v.r.Context()
	if _, err := v.api.GetJob(ctx, name); err != nil {
		return err
	}
	runs, reports, err := v.newestReports(ctx, name)
	if err != nil {
		return err
	}
	p := historyPage{Job: name, Runs: runs}
	p.Tests = testLines(runs, reports)
	p.Total = len(p.Tests)
	for _, t := range p.Tests {
		if t.Broken {
			p.Failed++
		}
		if t.Flaky != "" {
			p.Flaky++
		}
	}
	p.Tests = p.Tests[:min(len(p.Tests), maxTests)]
	p.chart()
	return v.show("history", frame{Title: "Tests of " + name, Tab: "jobs", Page: &p})
}

// newestReports reads the reports of the newest done runs that have any, oldest first.
func (v *visit) newestReports(ctx context.Context, job string) ([]historyRun, []*junit.Report, error) {
	done, err := first(2*remembered, v.api.ListRuns(ctx, ci.RunFilter{Job: job, Status: ci.StatusDone}))
	if err != nil {
		return nil, nil, err
	}
	runs, reports := make([]historyRun, len(done)), make([]*junit.Report, len(done))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, r := range done {
		g.Go(func() error {
			runs[i].Run = r
			report, err := v.reportOf(ctx, r)
			if err != nil && ctx.Err() == nil {
				runs[i].Error = asError(err)
				return nil // one broken report must not hide the others
			}
			if report != nil {
				reports[i], runs[i].Summary = report, report.Summary()
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	var withRuns []historyRun
	var with []*junit.Report
	for i := range runs {
		if (reports[i] != nil || runs[i].Error != nil) && len(with) < remembered {
			withRuns, with = append(withRuns, runs[i]), append(with, reports[i])
		}
	}
	slices.Reverse(withRuns)
	slices.Reverse(with)
	return withRuns, with, nil
}

// reportOf joins all reports of a run; nil when it has none.
func (v *visit) reportOf(ctx context.Context, run ci.Run) (*junit.Report, error) {
	results, err := v.api.Results(ctx, run.Job, run.ID)
	if err != nil {
		return nil, err
	}
	var all *junit.Report
	for _, r := range results {
		if !holdsTests(r) {
			continue
		}
		report, err := v.readReport(ctx, ci.RunRef{Job: run.Job, Run: run.ID}, r)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = &junit.Report{}
		}
		all.Cases = append(all.Cases, report.Cases...)
	}
	return all, nil
}

// testLines joins the reports by test: those that fail first, then the flaky ones.
func testLines(runs []historyRun, reports []*junit.Report) []testLine {
	at := map[string]int{}
	var lines []testLine
	for i, report := range reports {
		if report == nil {
			continue
		}
		for _, c := range report.Cases {
			suite := strings.Join(c.Suites, " › ")
			if c.Class != "" && c.Class != suite {
				suite = strings.TrimPrefix(suite+" › "+c.Class, " › ")
			}
			key := suite + "\x00" + c.Name
			n, ok := at[key]
			if !ok {
				n = len(lines)
				at[key], lines = n, append(lines, testLine{Name: c.Name, Suite: suite, Cells: emptyCells(runs)})
			}
			lines[n].see(i, c)
		}
	}
	for i := range lines {
		lines[i].judge()
	}
	slices.SortStableFunc(lines, func(a, b testLine) int { return cmp.Or(cmp.Compare(b.rank(), a.rank()), cmp.Compare(b.Bad, a.Bad)) })
	return lines
}

func emptyCells(runs []historyRun) []testCell {
	cells := make([]testCell, len(runs))
	for i := range runs {
		cells[i].Run = runs[i].Run
	}
	return cells
}

// see notes how the test did in a run. A name that comes twice in one counts by its worst.
func (t *testLine) see(run int, c junit.Case) {
	cell := &t.Cells[run]
	bad := c.Status == junit.Failed || c.Status == junit.Errored
	if cell.Status == "" || bad {
		cell.Status = c.Status
	}
	cell.Flaky = cell.Flaky || c.Flaky
	cell.Took += c.Duration
}

// judge counts over the cells, and says whether the test is flaky: it passed on
// a second try within a run, it failed and passed at one commit, or it has changed its mind more than once.
func (t *testLine) judge() {
	byCommit := map[string]string{}
	turns, last := 0, ""
	var times []time.Duration
	for _, c := range t.Cells {
		m := c.Mood()
		if c.Flaky {
			t.Flaky = "passed after it had failed, within one run"
		}
		if m == "off" {
			continue
		}
		t.Ran++
		times = append(times, c.Took)
		t.Broken = m == "bad"
		if t.Broken {
			t.Bad++
		}
		if last != "" && last != m {
			turns++
		}
		last = m
		if sha := c.Run.CommitSHA; sha != "" {
			if before, ok := byCommit[sha]; ok && before != m && t.Flaky == "" {
				t.Flaky = "failed and passed at the same commit"
			}
			byCommit[sha] = m
		}
	}
	if t.Flaky == "" && turns > 1 {
		t.Flaky = "went back and forth over these runs"
	}
	if slices.Sort(times); len(times) > 0 {
		t.Median = times[len(times)/2]
	}
}

func (t *testLine) rank() int {
	switch {
	case t.Broken && t.Flaky == "":
		return 3
	case t.Broken:
		return 2
	case t.Flaky != "":
		return 1
	}
	return 0
}

// chart places a bar for each run: as high as it has tests, the failed ones below.
func (p *historyPage) chart() {
	most := 1
	for _, r := range p.Runs {
		most = max(most, r.Passed+r.Failed+r.Errored)
	}
	for i := range p.Runs {
		r := &p.Runs[i]
		r.X = remembered - len(p.Runs) + i // the newest is on the right
		bad := r.Failed + r.Errored
		r.Bad = 100 * bad / most
		if bad > 0 {
			r.Bad = max(r.Bad, 4) // one failure among thousands is seen
		}
		r.Good = min(100*r.Passed/most, 100-r.Bad)
	}
}
