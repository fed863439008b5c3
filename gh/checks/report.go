package checks

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"ci/pkg/ci"
	"ci/pkg/junit"
	"ci/pkg/terminal"
)

// The identifiers of the buttons, which come back in webhooks.
const (
	ActionAbort   = "abort"
	ActionRerun   = "rerun"
	ActionApprove = "approve"
)

// held is the conclusion of a check that waits for somebody.
const held = "action_required"

// report is all that is told of a check, in the words of no forge.
type report struct {
	state      ci.CheckState
	outcome    ci.Outcome // "" until completed, and of held ones
	conclusion string     // GitHub's; "" until completed
	title      string     // one line of plain text
	summary    string     // Markdown
	text       string     // Markdown
	url        string
	external   string // our number, as the check carries it
	started    time.Time
	done       time.Time
	// annotations are always the same in the same order for a run that is done.
	annotations []annotation
	actions     []action
}

type action struct{ label, description, identifier string }

// annotation is a remark at one line of a file of the repository.
type annotation struct {
	path    string
	line    int
	column  int // 0: the whole line
	level   string
	title   string
	message string
	details string
}

// Limits of what is shown, well below GitHub's (65,535 characters of summary and text each).
const (
	maxSummary     = 48 << 10
	maxAnnotations = 500
	maxTail        = 1 << 20 // bytes of console that are looked through
	lastLines      = 60
	maxLastLines   = 32 << 10
	maxFailedTests = 25
)

// report builds what is to be told of a check now; nil when there is nothing
// any more, since the run was deleted.
func (c *Checks) report(ctx context.Context, check ci.Check) (*report, error) {
	if check.Held != nil {
		return &report{
			state: ci.CheckCompleted, conclusion: held, title: cut(check.Held.Title, maxTitle), summary: cut(check.Held.Summary, maxSummary), url: c.URL,
			actions: []action{{"Approve", "Run the jobs for this commit", ActionApprove}},
		}, nil
	}
	run, err := c.Runs.Run(ctx, check.Run)
	if ci.CodeOf(err) == ci.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &report{
		state: run.CheckState(), outcome: run.Outcome, url: c.runURL(run), external: number(run.ID), started: run.Times.Claimed, done: run.Times.Done,
	}
	switch r.state {
	case ci.CheckCompleted:
		return r, c.completed(ctx, r, run)
	case ci.CheckQueued:
		r.title, r.summary = "Queued", "The run waits for its turn. "+c.links(run)
	default:
		r.title, r.summary = "Running", "Agent "+code(run.Agent)+" carries it out. "+c.links(run)
	}
	r.actions = []action{{"Abort", "Abort this run", ActionAbort}}
	return r, nil
}

func (c *Checks) runURL(run *ci.Run) string {
	return strings.TrimRight(c.URL, "/") + "/jobs/" + url.PathEscape(run.Job) + "/runs/" + number(run.ID)
}

func (c *Checks) links(run *ci.Run) string {
	return fmt.Sprintf("[Run %s](%s) · [console](%s/results/console)", text(run.Job+" "+number(run.ID)), c.runURL(run), c.runURL(run))
}

// conclusion is GitHub's word for how a run ended.
func conclusion(o ci.Outcome) string {
	switch o {
	case ci.OutcomeSucceeded:
		return "success"
	case ci.OutcomeAborted:
		return "cancelled"
	case ci.OutcomeTimedOut:
		return "timed_out"
	}
	return "failure"
}

// completed fills in what is known of a run that is done.
func (c *Checks) completed(ctx context.Context, r *report, run *ci.Run) error {
	results, err := c.Runs.Results(ctx, run.ID)
	if err != nil {
		return err
	}
	tests, unread, err := c.tests(ctx, run.ID, results)
	if err != nil {
		return err
	}
	tail, err := c.Runs.ConsoleTail(ctx, run.ID, maxTail)
	if err != nil {
		return err
	}
	lines := consoleLines(tail, int64(len(tail)) < run.Console.Bytes)
	r.conclusion = conclusion(run.Outcome)
	r.title = title(run, tests)
	r.annotations = remarks(run, tests, lines)
	r.summary = cut(c.summary(run, results, tests, unread, len(r.annotations)), maxSummary)
	r.text = consoleText(lines)
	r.actions = []action{{"Run again", "Trigger a new run of the same", ActionRerun}}
	return nil
}

// tests reads the reports of a run. One that can't be read is named, and stops nothing.
func (c *Checks) tests(ctx context.Context, run int64, results []ci.Result) (all *junit.Report, unread []string, err error) {
	all = &junit.Report{}
	for _, r := range results {
		if !isJUnit(r) {
			continue
		}
		if r.Size > 2*junit.MaxBytes {
			unread = append(unread, fmt.Sprintf("%s has %s, which is too much for a report", code(r.Name), ci.Bytes(r.Size)))
			continue
		}
		data, err := c.Runs.ReadResult(ctx, run, r.Name)
		if err != nil {
			return nil, nil, err
		}
		report, err := junit.ParseResult(r.Name, data)
		if err != nil {
			unread = append(unread, text(err.Error()))
			continue
		}
		all.Cases = append(all.Cases, report.Cases...)
	}
	return all, unread, nil
}

// isJUnit goes by what the job file says of a result: reports are called junit,
// as `ci tests` expects them, or are XML.
func isJUnit(r ci.Result) bool {
	kind, _, _ := strings.Cut(r.ContentType, ";")
	return strings.Contains(strings.ToLower(r.Name), "junit") || kind == "application/xml" || kind == "text/xml"
}

// title is one line that says how it went.
func title(run *ci.Run, tests *junit.Report) string {
	s := tests.Summary()
	bad := s.Failed + s.Errored
	switch {
	case run.Outcome == ci.OutcomeFailed && bad > 0:
		return fmt.Sprintf("%d of %s failed", bad, plural(s.Total(), "test"))
	case run.Outcome == ci.OutcomeFailed && run.ExitCode != nil:
		return fmt.Sprintf("Failed with exit code %d", *run.ExitCode)
	case run.Outcome == ci.OutcomeSucceeded && s.Total() > 0:
		return fmt.Sprintf("%s passed in %s", plural(s.Passed+s.Skipped, "test"), took(run))
	case run.Outcome == ci.OutcomeSucceeded:
		return "Succeeded in " + took(run)
	}
	return map[ci.Outcome]string{
		ci.OutcomeFailed: "Failed", ci.OutcomeError: "The run could not be carried out", ci.OutcomeAborted: "Aborted",
		ci.OutcomeTimedOut: "Timed out after " + took(run), ci.OutcomeLost: "Lost: its agent went away",
	}[run.Outcome]
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// took is how long the script ran, or the whole run when there was none.
func took(run *ci.Run) string {
	from := run.Times.Started
	if from.IsZero() {
		from = run.Times.Triggered
	}
	return terminal.Duration(max(run.Times.Done.Sub(from), 0))
}

// summary is what stands below the title.
func (c *Checks) summary(run *ci.Run, results []ci.Result, tests *junit.Report, unread []string, remarks int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s", text(run.Reason), c.links(run))
	for _, r := range results {
		fmt.Fprintf(&b, " · [%s](%s/results/%s)", text(r.Name), c.runURL(run), url.PathEscape(r.Name))
	}
	b.WriteString("\n")
	if run.Agent != "" {
		fmt.Fprintf(&b, "\n%s on agent %s\n", took(run), code(run.Agent))
	}
	if s := tests.Summary(); s.Total() > 0 {
		fmt.Fprintf(&b, "\n%s: %d passed, %d failed, %d skipped, %d flaky\n", plural(s.Total(), "test"), s.Passed, s.Failed+s.Errored, s.Skipped, s.Flaky)
	}
	for _, why := range unread {
		fmt.Fprintf(&b, "\n⚠ A test report can't be read: %s\n", why)
	}
	failedTests(&b, tests.Unsuccessful())
	if remarks >= maxAnnotations {
		fmt.Fprintf(&b, "\nOnly the first %d remarks are shown at their lines.\n", maxAnnotations)
	}
	return b.String()
}

// failedTests lists the first tests that failed, with what they said.
func failedTests(b *strings.Builder, bad []junit.Case) {
	if len(bad) == 0 {
		return
	}
	b.WriteString("\n### Failed tests\n")
	for i, t := range bad {
		if i == maxFailedTests {
			fmt.Fprintf(b, "\n… and %d more\n", len(bad)-i)
			return
		}
		fmt.Fprintf(b, "\n- %s", code(testName(t)))
		if t.File != "" {
			fmt.Fprintf(b, " (%s)", code(fmt.Sprintf("%s:%d", t.File, t.Line)))
		}
		b.WriteString("\n")
		if said := strings.TrimSpace(t.Message + "\n" + t.Details); said != "" {
			b.WriteString(indented(block(cut(said, 1200)), "  "))
		}
	}
}

func testName(t junit.Case) string {
	if t.Class != "" {
		return t.Class + " " + t.Name
	}
	return t.Name
}

// consoleText is the end of the console.
func consoleText(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	last := lines[max(len(lines)-lastLines, 0):]
	for size(last) > maxLastLines && len(last) > 1 {
		last = last[1:]
	}
	return "### Last lines\n\n" + block(cut(strings.Join(last, "\n"), maxLastLines))
}

func size(lines []string) int {
	n := len(lines)
	for _, l := range lines {
		n += len(l)
	}
	return n
}
