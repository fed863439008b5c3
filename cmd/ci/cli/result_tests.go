package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ci/pkg/ci"
	"ci/pkg/junit"
)

type resultTestsOptions struct {
	*app
	all bool
}

func newResultTests(a *app) *cobra.Command {
	o := &resultTestsOptions{app: a}
	cmd := &cobra.Command{
		Use:     "tests JOB RUN [NAME]",
		Aliases: []string{"junit", "summary"},
		Short:   "Summarise the JUnit reports that a run saved",
		Long: "Summarise the JUnit reports in a result (default: junit): which tests failed, and how many there are.\n\n" +
			pipedColumns(testPiped()),
		Args: runArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVarP(&o.all, "all", "a", false, "list all tests, not only those that failed")
	return cmd
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

func (o *resultTestsOptions) run(ctx context.Context, args []string) error {
	_, names, err := parseRef(args)
	if err != nil {
		return err
	}
	name := "junit"
	if len(names) == 1 {
		name = names[0]
	}
	c, ref, err := o.openRun(ctx, args)
	if err != nil {
		return err
	}
	report, err := o.report(ctx, c, ref, name)
	if err != nil {
		return err
	}
	cases := report.Unsuccessful()
	if o.all {
		cases = report.Cases
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

// report fetches and reads a result: a zip of XML files, or one.
func (o *resultTestsOptions) report(ctx context.Context, c Client, ref runRef, name string) (*junit.Report, error) {
	results, err := c.Results(ctx, ref.job, ref.id)
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
	if err := o.fetch(ctx, c, ref, r, &b); err != nil {
		return nil, err
	}
	if bytes.HasPrefix(b.Bytes(), []byte("PK")) {
		return junit.ParseZip(bytes.NewReader(b.Bytes()), int64(b.Len()))
	}
	return junit.Parse(name, &b)
}

func (o *resultTestsOptions) printTests(s junit.Summary, cases []junit.Case) {
	styles := map[junit.Status]style{junit.Passed: green, junit.Failed: red, junit.Errored: purple, junit.Skipped: dim}
	for _, c := range cases {
		name := strings.TrimPrefix(strings.Join(append(c.Suites[:len(c.Suites):len(c.Suites)], c.Class, c.Name), " › "), " › ")
		fmt.Fprintf(o.Out, "%s %s\n", o.outStyle(styles[c.Status], string(c.Status)), clean(name))
		if c.Message != "" {
			fmt.Fprintf(o.Out, "    %s\n", clean(c.Message))
		}
	}
	line := fmt.Sprintf("%d tests: %d passed, %d failed, %d errored, %d skipped", s.Total(), s.Passed, s.Failed, s.Errored, s.Skipped)
	if s.Flaky > 0 {
		line += fmt.Sprintf(", %d flaky", s.Flaky)
	}
	fmt.Fprintf(o.Out, "%s in %s\n", line, short(s.Duration))
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
