package cli

import (
	"context"
	"fmt"
	"strings"

	"ci/pkg/ci"
	"ci/pkg/junit"
)

// How much is shown of the tests that failed in a run, and how large a report
// may be to be fetched for it.
const (
	shownFailures  = 3
	shownLines     = 6
	maxGlancedSize = 8 << 20
)

// failures shows on Err which tests failed, when the run saved a report.
func (a *app) failures(ctx context.Context, c Client, r *ci.Run) {
	results, err := c.Results(ctx, r.Job, r.ID)
	if err != nil {
		return // the run's end is told anyway
	}
	for _, result := range results {
		if !mayReport(result) {
			continue
		}
		report, err := a.testReport(ctx, c, refOf(r), result.Name)
		if err != nil {
			continue // it was saved as something else
		}
		if bad := report.Unsuccessful(); len(bad) > 0 {
			a.printFailures(r, result.Name, bad)
			return
		}
	}
}

// mayReport says whether a result looks like a JUnit report of sensible size.
func mayReport(r ci.Result) bool {
	name := strings.ToLower(r.Name)
	return r.Size > 0 && r.Size <= maxGlancedSize && r.Name != ci.ConsoleResult &&
		(strings.Contains(name, "junit") || strings.Contains(name, "test") || strings.Contains(r.ContentType, "xml"))
}

func (a *app) printFailures(r *ci.Run, result string, bad []junit.Case) {
	for _, c := range bad[:min(len(bad), shownFailures)] {
		a.note("%s %s", a.errStyle(red, string(c.Status)), testName(c))
		lines := (&testsOptions{app: a, failed: true}).said(c)
		for _, line := range lines[:min(len(lines), shownLines)] {
			a.note("    %s", line)
		}
		if len(lines) > shownLines {
			a.note("    …")
		}
	}
	more := ""
	if n := len(bad) - shownFailures; n > 0 {
		more = fmt.Sprintf("%d more failed. ", n)
	}
	name := ""
	if result != "junit" {
		name = " " + clean(result)
	}
	a.note("%sAll that failed: ci tests %s%s --failed", more, refOf(r), name)
}
