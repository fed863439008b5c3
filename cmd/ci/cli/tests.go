package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/api"
	"ci/pkg/ci"
	"ci/pkg/junit"
)

type testsOptions struct {
	*app
	failed bool
}

const testsHelp = `List the tests in the JUnit reports of a result (default: junit), those that failed first, with their messages.
On a terminal a summary follows. The exit code says whether there is a report, not what is in it.

`

func newTests(a *app) *cobra.Command {
	o := &testsOptions{app: a}
	cmd := &cobra.Command{
		Use:     "tests RUN [NAME]",
		Aliases: []string{"test"},
		Short:   "List the tests that a run reported",
		Long:    testsHelp + pipedColumns(testPiped()),
		Example: "  ci tests unit-test@latest --failed\n  ci tests unit-test@main --json status,name,message",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	a.takesRun(cmd, 1)
	cmd.Flags().BoolVar(&o.failed, "failed", false, "only tests that failed, with what they said")
	return document(cmd, "cases", testFields)
}

// newResultTests is the same among the verbs of results, which lists failed tests by default.
func newResultTests(a *app) *cobra.Command {
	o := &testsOptions{app: a}
	all := false
	cmd := &cobra.Command{
		Use:     "tests RUN [NAME]",
		Aliases: []string{"junit", "summary"},
		Short:   "Summarise the JUnit reports that a run saved",
		Long:    "Summarise the JUnit reports in a result (default: junit): which tests failed, and how many there are. `ci tests` is the same and lists all.\n\n" + pipedColumns(testPiped()),
		Example: "  ci result tests unit-test@latest\n  ci result tests unit-test@latest junit --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.failed = !all
			return o.run(cmd.Context(), args)
		},
	}
	a.takesRun(cmd, 1)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list all tests, not only those that failed")
	return document(cmd, "cases", testFields)
}

func testPiped() []column[junit.Case] {
	return []column[junit.Case]{
		{"status", func(c junit.Case) string { return string(c.Status) }, nil},
		{"suite", func(c junit.Case) string { return strings.Join(c.Suites, "/") }, nil},
		{"class", func(c junit.Case) string { return c.Class }, nil},
		{"name", func(c junit.Case) string { return c.Name }, nil},
		{"seconds", func(c junit.Case) string { return fmt.Sprintf("%.3f", c.Duration.Seconds()) }, nil},
		{"message", func(c junit.Case) string { return c.Message }, nil},
	}
}

func (o *testsOptions) run(ctx context.Context, args []string) error {
	c, ref, names, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	name := "junit"
	if len(names) == 1 {
		name = names[0]
	}
	report, err := o.testReport(ctx, c, ref, name)
	if err != nil {
		return err
	}
	cases := report.Unsuccessful()
	if !o.failed {
		cases = failedFirst(report.Cases)
	}
	if o.wantsJSON() {
		return o.printItem(ctx, testsDocument(report.Summary(), cases))
	}
	if !o.OutTTY {
		printTable(o.app, cases, nil, testPiped())
		return nil
	}
	o.printTests(report.Summary(), cases)
	return nil
}

// testReport fetches and reads a result: a zip of XML files, or one.
func (a *app) testReport(ctx context.Context, c Client, ref ci.RunRef, name string) (*junit.Report, error) {
	results, err := c.Results(ctx, ref.Job, ref.Run)
	if err != nil {
		return nil, err
	}
	r, err := pick(results, name, ref)
	if err != nil {
		return nil, err
	}
	if r.Size > 2*junit.MaxBytes {
		return nil, ci.Errorf(ci.CodeTooLarge, "result %s has %s; that is too much for a report", name, ci.Bytes(r.Size))
	}
	var b bytes.Buffer
	if err := api.CopyResult(ctx, c, ref, r, &b); err != nil {
		return nil, err
	}
	return junit.ParseResult(name, b.Bytes())
}

// failedFirst moves what failed to the front, and leaves the order as it is besides.
func failedFirst(cases []junit.Case) []junit.Case {
	bad := map[junit.Status]bool{junit.Failed: true, junit.Errored: true}
	sorted := slices.Clone(cases)
	slices.SortStableFunc(sorted, func(x, y junit.Case) int {
		switch {
		case bad[x.Status] == bad[y.Status]:
			return 0
		case bad[x.Status]:
			return -1
		}
		return 1
	})
	return sorted
}

// testName is a test with its suites and class.
func testName(c junit.Case) string {
	return clean(strings.TrimPrefix(strings.Join(append(c.Suites[:len(c.Suites):len(c.Suites)], c.Class, c.Name), " › "), " › "))
}

func (o *testsOptions) printTests(s junit.Summary, cases []junit.Case) {
	styles := map[junit.Status]style{junit.Passed: green, junit.Failed: red, junit.Errored: purple, junit.Skipped: dim}
	for _, c := range cases {
		fmt.Fprintf(o.Out, "%s %s\n", o.outStyle(styles[c.Status], string(c.Status)), testName(c))
		for _, line := range o.said(c) {
			fmt.Fprintf(o.Out, "    %s\n", line)
		}
	}
	line := fmt.Sprintf("%d tests: %d passed, %d failed, %d errored, %d skipped", s.Total(), s.Passed, s.Failed, s.Errored, s.Skipped)
	if s.Flaky > 0 {
		line += fmt.Sprintf(", %d flaky", s.Flaky)
	}
	fmt.Fprintf(o.Out, "%s in %s\n", line, short(s.Duration))
}

// said are the lines that a test has to say: its message, and with --failed where it was.
func (o *testsOptions) said(c junit.Case) []string {
	text := c.Message
	if o.failed && c.Details != "" && !strings.HasPrefix(c.Details, c.Message) {
		text = strings.Trim(text+"\n"+c.Details, "\n")
	} else if o.failed && c.Details != "" {
		text = c.Details
	}
	if text == "" {
		return nil
	}
	return strings.Split(cleanLines(strings.TrimRight(text, "\n ")), "\n")
}

// testsDocument is what --json says of a report.
func testsDocument(s junit.Summary, cases []junit.Case) any {
	list := make([]map[string]any, 0, len(cases))
	for _, c := range cases {
		list = append(list, map[string]any{
			"status": c.Status, "suites": c.Suites, "class": c.Class, "name": c.Name, "file": c.File, "line": c.Line,
			"seconds": c.Duration.Seconds(), "message": c.Message, "details": c.Details, "flaky": c.Flaky,
		})
	}
	return map[string]any{
		"total": s.Total(), "passed": s.Passed, "failed": s.Failed, "errored": s.Errored, "skipped": s.Skipped, "flaky": s.Flaky,
		"seconds": s.Duration.Seconds(), "cases": list,
	}
}
