package checks

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"ci/gh/app"
	"ci/pkg/ci"
)

// batch is the most annotations that GitHub takes in one request.
const batch = 50

// checkRun is one check on its way to GitHub.
type checkRun struct {
	checks      *Checks
	client      *github.Client
	check       ci.Check
	report      *report
	owner, repo string
	id          int64 // 0: GitHub has none yet
	noted       int   // annotations that GitHub has
}

// tellCheckRun brings the check run at GitHub to what the report says. Whoever
// was here before may have been killed after GitHub had heard and before that
// was written down, so then GitHub is asked first what it knows.
func (c *Checks) tellCheckRun(ctx context.Context, check ci.Check, r *report) (int64, error) {
	client, err := c.Apps.Client(ctx, check.Origin.Forge, check.Origin.Installation)
	if err != nil {
		return 0, err
	}
	owner, repo, ok := strings.Cut(check.Origin.FullName, "/")
	if !ok {
		return 0, ci.Errorf(ci.CodeInvalid, "%q is no repository of GitHub", check.Origin.FullName)
	}
	t := &checkRun{checks: c, client: client, check: check, report: r, owner: owner, repo: repo, id: check.External}
	if check.Attempts > 1 {
		heard, err := t.heard(ctx)
		if err != nil || heard {
			return t.id, err
		}
	}
	return t.id, t.send(ctx)
}

// heard looks up what GitHub knows, and says whether that is all.
func (t *checkRun) heard(ctx context.Context) (bool, error) {
	there, err := t.find(ctx)
	if err != nil || there == nil {
		return false, app.Explain(err, "look up the check")
	}
	t.id, t.noted = there.GetID(), there.GetOutput().GetAnnotationsCount()
	return there.GetStatus() == string(t.report.state) && there.GetConclusion() == t.report.conclusion, nil
}

func (t *checkRun) find(ctx context.Context) (*github.CheckRun, error) {
	if t.id != 0 {
		there, _, err := t.client.Checks.GetCheckRun(ctx, t.owner, t.repo, t.id)
		return there, err
	}
	o := github.ListCheckRunsOptions{
		CheckName: github.String(t.check.Origin.Trigger), Filter: github.String("all"), ListOptions: github.ListOptions{PerPage: 100},
	}
	for {
		list, resp, err := t.client.Checks.ListCheckRunsForRef(ctx, t.owner, t.repo, t.check.Origin.HeadSHA, &o)
		if err != nil {
			return nil, err
		}
		for _, there := range list.CheckRuns {
			if t.same(there) {
				return there, nil
			}
		}
		if resp.NextPage == 0 {
			return nil, nil
		}
		o.Page = resp.NextPage
	}
}

// same recognises our own by the run's number. A held one has none: there it is
// the title, as nobody else may write checks in our App's name.
func (t *checkRun) same(there *github.CheckRun) bool {
	if t.check.Run == 0 {
		return there.GetExternalID() == "" && there.GetOutput().GetTitle() == t.report.title && there.GetConclusion() == t.report.conclusion
	}
	return there.GetExternalID() == t.report.external
}

// send tells all of the report: its annotations in batches, and with the last
// of them the state itself, so that who sees a completed check sees it whole.
func (t *checkRun) send(ctx context.Context) error {
	rest := t.report.annotations[min(t.noted, len(t.report.annotations)):]
	for {
		part := rest[:min(batch, len(rest))]
		rest = rest[len(part):]
		state := t.report.state
		if len(rest) > 0 {
			state = ci.CheckInProgress
		}
		if err := t.request(ctx, state, part); err != nil {
			return app.Explain(err, "tell of the check")
		}
		if len(rest) == 0 {
			return nil
		}
		mine, err := t.checks.Outbox.KeepCheck(ctx, t.check.ID, t.checks.holder, lease)
		if err != nil || !mine {
			return ours{ci.Errorf(ci.CodeConflict, "the check is another worker's by now: %w", err)}
		}
	}
}

// request makes the check run, or changes it.
func (t *checkRun) request(ctx context.Context, state ci.CheckState, part []annotation) error {
	r := t.report
	output := &github.CheckRunOutput{Title: &r.title, Summary: &r.summary, Annotations: annotations(part)}
	if r.text != "" {
		output.Text = &r.text
	}
	status, name := github.String(string(state)), t.check.Origin.Trigger
	var conclusion *string
	var completed *github.Timestamp
	if state == ci.CheckCompleted {
		conclusion, completed = &r.conclusion, moment(r.done)
	}
	if t.id != 0 {
		_, _, err := t.client.Checks.UpdateCheckRun(ctx, t.owner, t.repo, t.id, github.UpdateCheckRunOptions{
			Name: name, DetailsURL: optional(r.url), ExternalID: optional(r.external), Status: status, Conclusion: conclusion,
			CompletedAt: completed, Output: output, Actions: actions(r.actions),
		})
		return err
	}
	made, _, err := t.client.Checks.CreateCheckRun(ctx, t.owner, t.repo, github.CreateCheckRunOptions{
		Name: name, HeadSHA: t.check.Origin.HeadSHA, DetailsURL: optional(r.url), ExternalID: optional(r.external), Status: status,
		Conclusion: conclusion, StartedAt: moment(r.started), CompletedAt: completed, Output: output, Actions: actions(r.actions),
	})
	t.id = made.GetID()
	return err
}

// optional leaves out what is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func moment(t time.Time) *github.Timestamp {
	if t.IsZero() {
		return nil
	}
	return &github.Timestamp{Time: t.UTC().Truncate(time.Second)}
}

func annotations(list []annotation) []*github.CheckRunAnnotation {
	var out []*github.CheckRunAnnotation
	for _, a := range list {
		n := &github.CheckRunAnnotation{
			Path: &a.path, StartLine: &a.line, EndLine: &a.line, AnnotationLevel: &a.level, Message: &a.message, Title: optional(a.title),
			RawDetails: optional(a.details),
		}
		if a.column > 0 {
			n.StartColumn, n.EndColumn = &a.column, &a.column
		}
		out = append(out, n)
	}
	return out
}

func actions(list []action) []*github.CheckRunAction {
	var out []*github.CheckRunAction
	for _, a := range list {
		out = append(out, &github.CheckRunAction{Label: a.label, Description: a.description, Identifier: a.identifier})
	}
	return out
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
