package ghtest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// CheckRun is one check of one commit, as tests see it.
type CheckRun struct {
	ID         int64
	Name       string
	HeadSHA    string
	Status     string
	Conclusion string // "" until completed
	ExternalID string
	DetailsURL string
	Output     Output
	Actions    []Action
	// Annotations are all that it got, in the order in which they came.
	Annotations []Annotation
	// History is each status that it was given, in order: "queued", "in_progress",
	// "completed success". One that only got more annotations repeats the last.
	History []string
	// Updates is how many requests changed it, the first included.
	Updates int

	suite              *suite
	started, completed time.Time
}

// Output is what a check run shows.
type Output struct {
	Title   *string `json:"title"`
	Summary *string `json:"summary"`
	Text    *string `json:"text"`
}

// Annotation is a remark at lines of a file.
type Annotation struct {
	Path       string `json:"path"`
	StartLine  int    `json:"start_line"`
	EndLine    int    `json:"end_line"`
	StartCol   *int   `json:"start_column"`
	EndCol     *int   `json:"end_column"`
	Level      string `json:"annotation_level"`
	Message    string `json:"message"`
	Title      string `json:"title"`
	RawDetails string `json:"raw_details"`
}

// Action is a button of a check run.
type Action struct {
	Label       string `json:"label"`
	Description string `json:"description"`
	Identifier  string `json:"identifier"`
}

// suite holds the check runs of one App at one commit.
type suite struct {
	id      int64
	app     *App
	repo    *Repo
	sha     string
	branch  string
	created time.Time
}

// CheckRuns returns the check runs of a commit, oldest first.
func (r *Repo) CheckRuns(sha string) []CheckRun {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	var list []CheckRun
	for _, c := range r.runs {
		if c.HeadSHA == sha {
			one := *c
			one.Annotations, one.History = slices.Clone(c.Annotations), slices.Clone(c.History)
			list = append(list, one)
		}
	}
	return list
}

// Check returns the newest check run of that name at a commit; ok is false when there is none.
func (r *Repo) Check(sha, name string) (run CheckRun, ok bool) {
	for _, c := range r.CheckRuns(sha) {
		if c.Name == name {
			run, ok = c, true
		}
	}
	return run, ok
}

func (r *Repo) suiteOf(a *App, sha, branch string) *suite {
	for _, x := range r.suites {
		if x.app == a && x.sha == sha {
			return x
		}
	}
	x := &suite{id: r.server.id(), app: a, repo: r, sha: sha, branch: branch, created: r.server.now()}
	r.suites = append(r.suites, x)
	return x
}

// checkRequest is the body that creates or changes a check run.
type checkRequest struct {
	Name        *string    `json:"name"`
	HeadSHA     string     `json:"head_sha"`
	DetailsURL  *string    `json:"details_url"`
	ExternalID  *string    `json:"external_id"`
	Status      *string    `json:"status"`
	StartedAt   *time.Time `json:"started_at"`
	Conclusion  *string    `json:"conclusion"`
	CompletedAt *time.Time `json:"completed_at"`
	Output      *struct {
		Output
		Annotations []Annotation `json:"annotations"`
	} `json:"output"`
	Actions []Action `json:"actions"`
}

func (q *checkRequest) wrong() *answer {
	var a answer
	switch {
	case q.Status != nil && *q.Status == "completed" && q.Conclusion == nil:
		a = invalid("CheckRun", "conclusion", "is required when the status is completed")
	case q.Output != nil && (q.Output.Title == nil || q.Output.Summary == nil):
		a = invalid("CheckRun", "output", "needs a title and a summary")
	case q.Output != nil && len(q.Output.Annotations) > 50:
		a = invalid("CheckRun", "annotations", "must have 50 items at most, not %d", len(q.Output.Annotations))
	case len(q.Actions) > 3:
		a = invalid("CheckRun", "actions", "must have 3 items at most")
	case q.badAnnotation() != "":
		a = invalid("CheckRun", "annotations", "%s", q.badAnnotation())
	default:
		return nil
	}
	return &a
}

// badAnnotation are the rules that the description tells in words alone.
func (q *checkRequest) badAnnotation() string {
	if q.Output == nil {
		return ""
	}
	for _, n := range q.Output.Annotations {
		switch {
		case n.StartLine > n.EndLine:
			return "end_line is before start_line"
		case n.StartLine != n.EndLine && (n.StartCol != nil || n.EndCol != nil):
			return "columns are for one line alone"
		case len(n.Message) > 64<<10, len(n.RawDetails) > 64<<10, len(n.Title) > 255:
			return "is too long"
		case n.Path == "" || n.Message == "" || strings.HasPrefix(n.Path, "/"):
			return "path and message can't be blank, and path is relative"
		}
	}
	return ""
}

func createCheckRun(c *call) answer {
	var q checkRequest
	if bad := c.decode(&q); bad != nil {
		return *bad
	}
	if bad := q.wrong(); bad != nil {
		return *bad
	}
	sha := c.repo.resolve(q.HeadSHA)
	if !isSHA(q.HeadSHA) || sha == "" || q.Name == nil {
		return refuse422("No commit found for SHA: " + q.HeadSHA)
	}
	run := &CheckRun{ID: c.s.id(), HeadSHA: sha, Status: "queued", suite: c.repo.suiteOf(c.who.installation.app, sha, c.repo.branchOf(sha))}
	c.repo.runs = append(c.repo.runs, run)
	run.change(c.s, &q)
	c.later(run.event("created", c.who.installation.app.bot()))
	return created(run.describe())
}

// branchOf names a branch whose head is sha, if there is one.
func (r *Repo) branchOf(sha string) string {
	out := lines(r.git(r.Dir, "for-each-ref", "--format=%(refname:short)", "--points-at", sha, "refs/heads"))
	if len(out) == 0 {
		return ""
	}
	return out[0]
}

func updateCheckRun(c *call) answer {
	run := c.checkRun()
	if run == nil {
		return notFound()
	}
	if run.suite.app != c.who.installation.app {
		return refuse(http.StatusForbidden, "Invalid app_id `%d` - check run can only be modified by the GitHub App that created it.", c.who.installation.app.ID)
	}
	var q checkRequest
	if bad := c.decode(&q); bad != nil {
		return *bad
	}
	if bad := q.wrong(); bad != nil {
		return *bad
	}
	was := run.Status
	run.change(c.s, &q)
	if was != "completed" && run.Status == "completed" {
		c.later(run.event("completed", run.suite.app.bot()))
	}
	return ok(run.describe())
}

func (run *CheckRun) change(s *Server, q *checkRequest) {
	set := func(to *string, v *string) {
		if v != nil {
			*to = *v
		}
	}
	set(&run.Name, q.Name)
	set(&run.DetailsURL, q.DetailsURL)
	set(&run.ExternalID, q.ExternalID)
	set(&run.Status, q.Status)
	if q.Status != nil && *q.Status != "completed" {
		run.Conclusion, run.completed = "", time.Time{}
	}
	if q.Conclusion != nil {
		run.Status, run.Conclusion, run.completed = "completed", *q.Conclusion, s.now()
	}
	if q.StartedAt != nil {
		run.started = *q.StartedAt
	}
	if q.CompletedAt != nil {
		run.completed = *q.CompletedAt
	}
	if q.Output != nil {
		run.Output = q.Output.Output
		run.Annotations = append(run.Annotations, q.Output.Annotations...)
	}
	if q.Actions != nil {
		run.Actions = q.Actions
	}
	run.Updates++
	run.History = append(run.History, strings.TrimSpace(run.Status+" "+run.Conclusion))
}

func orNil(v string) any {
	if v == "" {
		return nil
	}
	return v
}

func (run *CheckRun) describe() fields {
	r := run.suite.repo
	api, web := path(r.api(), "check-runs", run.ID), path(r.web(), "runs", run.ID)
	pulls := []fields{}
	for _, p := range r.pulls {
		if p.headSHA == run.HeadSHA && p.head == r { // GitHub names none of forks
			pulls = append(pulls, p.minimal())
		}
	}
	return fields{
		"id": run.ID, "node_id": node("CheckRun", run.ID), "head_sha": run.HeadSHA, "name": run.Name, "url": api, "html_url": web,
		"details_url": cmp.Or(run.DetailsURL, web), "external_id": run.ExternalID, "status": run.Status, "conclusion": orNil(run.Conclusion),
		"started_at": stamp(run.started), "completed_at": stamp(run.completed), "check_suite": fields{"id": run.suite.id},
		"app": run.suite.app.describe(), "pull_requests": pulls,
		"output": fields{
			"title": run.Output.Title, "summary": run.Output.Summary, "text": run.Output.Text,
			"annotations_count": len(run.Annotations), "annotations_url": api + "/annotations",
		},
	}
}

func (c *call) checkRun() *CheckRun {
	for _, run := range c.repo.runs {
		if run.ID == c.number("check_run_id") {
			return run
		}
	}
	return nil
}

func getCheckRun(c *call) answer {
	if run := c.checkRun(); run != nil {
		return ok(run.describe())
	}
	return notFound()
}

func listAnnotations(c *call) answer {
	run := c.checkRun()
	if run == nil {
		return notFound()
	}
	list, header := page(c, run.Annotations)
	out := []fields{}
	for _, n := range list {
		out = append(out, fields{
			"path": n.Path, "start_line": n.StartLine, "end_line": n.EndLine, "start_column": n.StartCol, "end_column": n.EndCol,
			"annotation_level": n.Level, "title": n.Title, "message": n.Message, "raw_details": n.RawDetails,
			"blob_href": path(c.repo.web(), "blob", run.HeadSHA, escaped(n.Path)),
		})
	}
	return answer{status: http.StatusOK, body: out, header: header}
}

// listCheckRuns answers for a commit, or for a suite: the newest of each name,
// unless all are asked for.
func listCheckRuns(c *call) answer {
	sha := c.repo.resolve(c.vars["ref"])
	var all []*CheckRun
	for _, run := range c.repo.runs {
		if c.vars["ref"] != "" && run.HeadSHA != sha || c.vars["check_suite_id"] != "" && run.suite.id != c.number("check_suite_id") || !run.selected(c) {
			continue
		}
		if c.query.Get("filter") != "all" {
			all = slices.DeleteFunc(all, func(o *CheckRun) bool { return o.Name == run.Name && o.suite == run.suite })
		}
		all = append(all, run)
	}
	slices.Reverse(all)
	list, header := page(c, all)
	out := []fields{}
	for _, run := range list {
		out = append(out, run.describe())
	}
	return answer{status: http.StatusOK, header: header, body: fields{"total_count": len(all), "check_runs": out}}
}

func (run *CheckRun) selected(c *call) bool {
	name, status, app := c.query.Get("check_name"), c.query.Get("status"), c.query.Get("app_id")
	return (name == "" || name == run.Name) && (status == "" || status == run.Status) && (app == "" || app == fmt.Sprint(run.suite.app.ID))
}
