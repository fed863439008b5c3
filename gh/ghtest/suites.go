package ghtest

import (
	"cmp"
	"maps"
	"net/http"
)

func (x *suite) runs() []*CheckRun {
	var list []*CheckRun
	for _, run := range x.repo.runs {
		if run.suite == x {
			list = append(list, run)
		}
	}
	return list
}

// state sums the runs up: queued without any, the first bad conclusion when all are completed.
func (x *suite) state() (status string, conclusion any) {
	runs := x.runs()
	if len(runs) == 0 {
		return "queued", nil
	}
	end := "success"
	for _, run := range runs {
		if run.Status != "completed" {
			return "in_progress", nil
		}
		if run.Conclusion != "success" && run.Conclusion != "neutral" && run.Conclusion != "skipped" {
			end = run.Conclusion
		}
	}
	return "completed", end
}

func (x *suite) describe() fields {
	r, facts := x.repo, x.repo.facts(x.sha)
	status, conclusion := x.state()
	api := path(r.api(), "check-suites", x.id)
	before := "0000000000000000000000000000000000000000"
	if len(facts.parents) > 0 {
		before = facts.parents[0]
	}
	pulls := []fields{}
	for _, p := range r.pulls {
		if p.headSHA == x.sha && p.head == r {
			pulls = append(pulls, p.minimal())
		}
	}
	return fields{
		"id": x.id, "node_id": node("CheckSuite", x.id), "head_branch": orNil(x.branch), "head_sha": x.sha, "status": status, "conclusion": conclusion,
		"url": api, "before": before, "after": x.sha, "pull_requests": pulls, "app": x.app.describe(), "repository": r.describe(),
		"created_at": stamp(x.created), "updated_at": stamp(r.server.now()), "head_commit": r.simpleCommit(x.sha),
		"latest_check_runs_count": len(x.runs()), "check_runs_url": api + "/check-runs",
	}
}

// simpleCommit is how webhooks and suites show a commit.
func (r *Repo) simpleCommit(sha string) fields {
	c := r.facts(sha)
	person := func() fields { return fields{"name": c.author, "email": c.email} }
	return fields{"id": sha, "tree_id": c.tree, "message": c.message, "timestamp": c.when, "author": person(), "committer": person()}
}

func (c *call) suite() *suite {
	for _, x := range c.repo.suites {
		if x.id == c.number("check_suite_id") {
			return x
		}
	}
	return nil
}

func getSuite(c *call) answer {
	if x := c.suite(); x != nil {
		return ok(x.describe())
	}
	return notFound()
}

func listSuites(c *call) answer {
	sha := c.repo.resolve(c.vars["ref"])
	all := []fields{}
	for _, x := range c.repo.suites {
		if x.sha == sha {
			all = append(all, x.describe())
		}
	}
	list, header := page(c, all)
	return answer{status: http.StatusOK, header: header, body: fields{"total_count": len(all), "check_suites": list}}
}

func rerequestSuite(c *call) answer {
	x := c.suite()
	if x == nil {
		return notFound()
	}
	c.later(x.event("rerequested", x.app.bot()))
	return created(fields{})
}

func (x *suite) event(action, login string) []event {
	body := x.describe()
	delete(body, "repository") // it stands beside it
	return x.app.only(x.repo.events("check_suite", action, login, fields{"check_suite": body}))
}

func (run *CheckRun) event(action, login string) []event {
	body := run.describe()
	within := run.suite.describe()
	for _, name := range []string{"repository", "head_commit", "latest_check_runs_count", "check_runs_url"} {
		delete(within, name) // an event's suite is shorter
	}
	body["check_suite"] = within
	return run.suite.app.only(run.suite.repo.events("check_run", action, login, fields{"check_run": body}))
}

// Rerequest is a person's click on "Re-run" of one check.
func (s *Server) Rerequest(login string, run CheckRun) {
	s.mu.Lock()
	e := run.event("rerequested", login)
	s.mu.Unlock()
	s.emit(e...)
}

// Click is a person's click on a button of a check.
func (s *Server) Click(login string, run CheckRun, identifier string) {
	s.mu.Lock()
	e := run.event("requested_action", login)
	for i := range e {
		e[i].body["requested_action"] = fields{"identifier": identifier}
	}
	s.mu.Unlock()
	s.emit(e...)
}

// RerequestSuite is a person's click on "Re-run all checks" of an App's suite.
func (r *Repo) RerequestSuite(login string, a *App, sha string) {
	s := r.server
	s.mu.Lock()
	e := r.suiteOf(a, sha, r.branchOf(sha)).event("rerequested", login)
	s.mu.Unlock()
	s.emit(e...)
}

// Status is a commit status.
type Status struct {
	ID          int64
	SHA         string
	State       string
	Context     string
	Description string
	TargetURL   string

	creator string
	created string
}

// Statuses returns all statuses that a commit got, oldest first.
func (r *Repo) Statuses(sha string) []Status {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	var list []Status
	for _, x := range r.statuses {
		if x.SHA == sha {
			list = append(list, *x)
		}
	}
	return list
}

func createStatus(c *call) answer {
	var q struct {
		State       string
		TargetURL   string `json:"target_url"`
		Description string
		Context     string
	}
	if bad := c.decode(&q); bad != nil {
		return *bad
	}
	switch {
	case c.repo.resolve(c.vars["sha"]) == "":
		return refuse422("No commit found for SHA: " + c.vars["sha"])
	case len(q.Description) > 140:
		return invalid("Status", "description", "is too long (maximum is 140 characters)")
	}
	creator := "someone"
	if c.who.user != nil {
		creator = c.who.user.Login
	} else if c.who.installation != nil {
		creator = c.who.installation.app.bot()
	}
	x := &Status{
		ID: c.s.id(), SHA: c.vars["sha"], State: q.State, Context: cmp.Or(q.Context, "default"), Description: q.Description,
		TargetURL: q.TargetURL, creator: creator, created: c.s.now().Format("2006-01-02T15:04:05Z"),
	}
	c.repo.statuses = append(c.repo.statuses, x)
	a := created(x.describe(c.repo))
	a.header = map[string]string{"Location": path(c.repo.api(), "statuses", x.SHA)}
	return a
}

func (x *Status) describe(r *Repo) fields {
	f := x.simple(r)
	maps.Copy(f, fields{"creator": r.server.user(x.creator).describe()})
	return f
}

func (x *Status) simple(r *Repo) fields {
	return fields{
		"url": path(r.api(), "statuses", x.SHA), "avatar_url": path(r.server.URL, "avatars", 1), "id": x.ID, "node_id": node("Status", x.ID), "state": x.State,
		"description": x.Description, "target_url": x.TargetURL, "context": x.Context, "created_at": x.created, "updated_at": x.created,
	}
}

func listStatuses(c *call) answer {
	sha := c.repo.resolve(c.vars["ref"])
	all := []fields{}
	for i := len(c.repo.statuses) - 1; i >= 0; i-- {
		if x := c.repo.statuses[i]; x.SHA == sha {
			all = append(all, x.describe(c.repo))
		}
	}
	list, header := page(c, all)
	return answer{status: http.StatusOK, body: list, header: header}
}

// combinedStatus is the newest of each context, and what they come to.
func combinedStatus(c *call) answer {
	r, sha := c.repo, c.repo.resolve(c.vars["ref"])
	if sha == "" {
		return notFound()
	}
	newest := map[string]*Status{}
	for _, x := range r.statuses {
		if x.SHA == sha {
			newest[x.Context] = x
		}
	}
	state, list := "pending", []fields{}
	if len(newest) > 0 {
		state = "success"
	}
	for _, name := range sortedKeys(newest) {
		x := newest[name]
		list = append(list, x.simple(r))
		if x.State == "failure" || x.State == "error" {
			state = "failure"
		} else if x.State == "pending" && state == "success" {
			state = "pending"
		}
	}
	return ok(fields{
		"state": state, "statuses": list, "sha": sha, "total_count": len(list), "repository": r.describe(),
		"commit_url": path(r.api(), "commits", sha), "url": path(r.api(), "commits", sha, "status"),
	})
}
