package ghtest

import (
	"fmt"
	"maps"
	"net/http"
	"time"
)

// Pull is a pull request.
type Pull struct {
	Number int
	ID     int64
	Title  string

	base          *Repo
	head          *Repo
	baseRef       string
	headRef       string
	headSHA       string
	user          string
	closed        bool
	merged        bool
	draft         bool
	created, ends time.Time
}

// HeadSHA is the commit that the pull request stands at.
func (p *Pull) HeadSHA() string {
	p.base.server.mu.Lock()
	defer p.base.server.mu.Unlock()
	return p.headSHA
}

// OpenPull opens a pull request of a branch of head (the repository itself, or
// a fork) into a branch of r, and tells the Apps.
func (r *Repo) OpenPull(login string, head *Repo, branch, into, title string) *Pull {
	s := r.server
	s.mu.Lock()
	p := &Pull{
		Number: len(r.pulls) + 1, ID: s.id(), Title: title, base: r, head: head, baseRef: into, headRef: branch, user: login,
		headSHA: head.resolve(branch), created: s.now(),
	}
	s.user(login)
	if p.headSHA == "" || r.resolve(into) == "" {
		s.t.Errorf("a pull request of %s:%s into %s:%s: there is no such branch", head.FullName(), branch, r.FullName(), into)
	}
	p.mirror()
	r.pulls = append(r.pulls, p)
	e := p.event("opened", login)
	s.mu.Unlock()
	s.emit(e...)
	return p
}

// mirror keeps refs/pull/N/head of the base repository at the head.
func (p *Pull) mirror() {
	p.base.take(p.head, p.headSHA)
	p.base.git(p.base.Dir, "update-ref", fmt.Sprintf("refs/pull/%d/head", p.Number), p.headSHA)
}

// Close closes it, merged or not.
func (p *Pull) Close(login string, merged bool) {
	p.change("closed", login, func() { p.closed, p.merged, p.ends = true, merged, p.base.server.now() })
}

// Reopen opens it again.
func (p *Pull) Reopen(login string) {
	p.change("reopened", login, func() { p.closed, p.ends = false, time.Time{} })
}

// Label puts a label on it, for an event that changes nothing to build.
func (p *Pull) Label(login string) { p.change("labeled", login, func() {}) }

func (p *Pull) change(action, login string, do func()) {
	s := p.base.server
	s.mu.Lock()
	do()
	e := p.event(action, login)
	s.mu.Unlock()
	s.emit(e...)
}

// moved follows a push to its head branch.
func (p *Pull) moved(before, login string) []event {
	p.headSHA = p.head.resolve(p.headRef)
	p.mirror()
	list := p.event("synchronize", login)
	for _, e := range list {
		e.body["before"], e.body["after"] = before, p.headSHA
	}
	return list
}

func (p *Pull) event(action, login string) []event {
	body := p.describe()
	for _, end := range []string{"head", "base"} {
		delete(at(body, end, "repo"), "permissions") // whose they would be is not said
	}
	return p.base.events("pull_request", action, login, fields{"number": p.Number, "pull_request": body})
}

func (p *Pull) state() string {
	if p.closed {
		return "closed"
	}
	return "open"
}

func (p *Pull) end(r *Repo, ref, sha string) fields {
	repo := r.describe()
	repo["permissions"] = fields{"admin": false, "maintain": false, "push": false, "triage": false, "pull": true}
	return fields{"label": r.Owner + ":" + ref, "ref": ref, "sha": sha, "user": r.server.user(r.Owner).describe(), "repo": repo}
}

func (p *Pull) association() string {
	switch p.base.roleOf(p.base.server.user(p.user)) {
	case "admin":
		return "OWNER"
	case "write", "maintain":
		return "COLLABORATOR"
	}
	return "NONE"
}

// simple is how lists show it.
func (p *Pull) simple() fields {
	r, n := p.base, p.Number
	api, web, issue := path(r.api(), "pulls", n), path(r.web(), "pull", n), path(r.api(), "issues", n)
	statuses := path(r.api(), "statuses", p.headSHA)
	link := func(url string) fields { return fields{"href": url} }
	var mergedAt any
	if p.merged {
		mergedAt = stamp(p.ends)
	}
	return fields{
		"url": api, "id": p.ID, "node_id": node("PullRequest", p.ID), "html_url": web, "diff_url": web + ".diff", "patch_url": web + ".patch",
		"issue_url": issue, "commits_url": api + "/commits", "review_comments_url": api + "/comments",
		"review_comment_url": r.api() + "/pulls/comments{/number}", "comments_url": issue + "/comments", "statuses_url": statuses,
		"number": n, "state": p.state(), "locked": false, "title": p.Title, "user": r.server.user(p.user).describe(), "body": nil,
		"labels": []fields{}, "milestone": nil, "active_lock_reason": nil, "created_at": stamp(p.created), "updated_at": stamp(r.server.now()),
		"closed_at": stamp(p.ends), "merged_at": mergedAt, "merge_commit_sha": nil, "assignee": nil, "assignees": []fields{},
		"requested_reviewers": []fields{}, "requested_teams": []fields{}, "head": p.end(p.head, p.headRef, p.headSHA),
		"base": p.end(r, p.baseRef, r.resolve(p.baseRef)), "author_association": p.association(), "auto_merge": nil, "draft": p.draft,
		"_links": fields{
			"self": link(api), "html": link(web), "issue": link(issue), "comments": link(issue + "/comments"),
			"review_comments": link(api + "/comments"), "review_comment": link(r.api() + "/pulls/comments{/number}"),
			"commits": link(api + "/commits"), "statuses": link(statuses),
		},
	}
}

func (p *Pull) files() []changed {
	merge, err := tryGit(p.base.Dir, "", "merge-base", p.base.resolve(p.baseRef), p.headSHA)
	if err != nil {
		merge = ""
	}
	return p.base.diff(merge, p.headSHA)
}

func (p *Pull) commits() []string {
	return lines(p.base.git(p.base.Dir, "rev-list", "--reverse", p.base.resolve(p.baseRef)+".."+p.headSHA))
}

func (p *Pull) describe() fields {
	f, files := p.simple(), p.files()
	add, del := 0, 0
	for _, c := range files {
		add, del = add+c.additions, del+c.deletions
	}
	maps.Copy(f, fields{
		"merged": p.merged, "mergeable": nil, "rebaseable": nil, "mergeable_state": "unknown", "merged_by": nil, "comments": 0,
		"review_comments": 0, "maintainer_can_modify": false, "commits": len(p.commits()), "additions": add, "deletions": del, "changed_files": len(files),
	})
	return f
}

// minimal is how check runs name it.
func (p *Pull) minimal() fields {
	end := func(r *Repo, ref, sha string) fields {
		return fields{"ref": ref, "sha": sha, "repo": fields{"id": r.ID, "url": r.api(), "name": r.Name}}
	}
	return fields{
		"id": p.ID, "number": p.Number, "url": path(p.base.api(), "pulls", p.Number),
		"head": end(p.head, p.headRef, p.headSHA), "base": end(p.base, p.baseRef, p.base.resolve(p.baseRef)),
	}
}

func (c *call) pull() *Pull {
	if n := c.number("pull_number"); n > 0 && int(n) <= len(c.repo.pulls) {
		return c.repo.pulls[n-1]
	}
	return nil
}

func getPull(c *call) answer {
	if p := c.pull(); p != nil {
		return ok(p.describe())
	}
	return notFound()
}

// maxPullFiles is the most that GitHub lists of one pull request.
const maxPullFiles = 3000

func listPullFiles(c *call) answer {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	all := p.files()
	list, header := page(c, all[:min(len(all), maxPullFiles)])
	return answer{status: http.StatusOK, body: p.base.describeFiles(list, p.headSHA), header: header}
}

func listPullCommits(c *call) answer {
	p := c.pull()
	if p == nil {
		return notFound()
	}
	list, header := page(c, p.commits())
	out := []fields{}
	for _, sha := range list {
		out = append(out, p.base.describeCommit(sha))
	}
	return answer{status: http.StatusOK, body: out, header: header}
}

// listCommitPulls answers with the pull requests that hold a commit.
func listCommitPulls(c *call) answer {
	out := []fields{}
	for _, p := range c.repo.pulls {
		if p.headSHA == c.vars["commit_sha"] {
			out = append(out, p.simple())
		}
	}
	return ok(out)
}
