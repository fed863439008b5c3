package ghtest

import (
	"cmp"
	"maps"
	"strings"
)

// event is something that Apps are told.
type event struct {
	name, action string
	app          *App
	installation *Installation // nil for those of the App itself
	repo         *Repo
	sender       string
	body         fields
}

// always are told to every App that they concern, subscribed or not.
func always(name, action string) bool {
	return name == "installation" || name == "installation_repositories" || name == "ping" ||
		(name == "check_run" && (action == "rerequested" || action == "requested_action")) || (name == "check_suite" && action != "completed")
}

// events addresses something that happened in a repository to each App that is
// installed there and wants to hear of it. s.mu is held.
func (r *Repo) events(name, action, sender string, body fields) []event {
	var list []event
	for _, a := range r.server.sortedApps() {
		for _, i := range a.sorted() {
			if i.suspended || !i.covers(r) || !a.hears(name, action) {
				continue
			}
			list = append(list, event{name: name, action: action, app: a, installation: i, repo: r, sender: sender, body: maps.Clone(body)})
		}
	}
	return list
}

func (a *App) hears(name, action string) bool {
	for _, e := range a.events {
		if e == name {
			return true
		}
	}
	return always(name, action)
}

// only keeps what is for one App: checks are their own App's alone.
func (a *App) only(list []event) []event {
	var mine []event
	for _, e := range list {
		if e.app == a {
			mine = append(mine, e)
		}
	}
	return mine
}

func (s *Server) sortedApps() []*App {
	var list []*App
	for _, name := range sortedKeys(bySlug(s.apps)) {
		list = append(list, bySlug(s.apps)[name])
	}
	return list
}

func bySlug(apps map[int64]*App) map[string]*App {
	m := map[string]*App{}
	for _, a := range apps {
		m[a.Slug] = a
	}
	return m
}

// bot is the account that an App acts as.
func (a *App) bot() string { return a.Slug + "[bot]" }

// payload is what is delivered. s.mu is held.
func (e *event) payload() fields {
	f := maps.Clone(e.body)
	if e.action != "" {
		f["action"] = e.action
	}
	s := e.app.server
	f["sender"] = s.user(e.sender).describe()
	if e.repo != nil {
		if f["repository"] == nil {
			f["repository"] = e.repo.describe()
		}
		if owner := s.user(e.repo.Owner); owner.organisation {
			f["organization"] = owner.organization()
		}
	}
	if e.installation != nil && f["installation"] == nil {
		f["installation"] = fields{"id": e.installation.ID, "node_id": node("Installation", e.installation.ID)}
	}
	return f
}

// organization is how events name the organisation of a repository.
func (u *User) organization() fields {
	api := path(u.server.URL+apiPath, "orgs", u.Login)
	return fields{
		"login": u.Login, "id": u.ID, "node_id": node("Org", u.ID), "url": api, "repos_url": api + "/repos", "events_url": api + "/events",
		"hooks_url": api + "/hooks", "issues_url": api + "/issues", "members_url": api + "/members{/member}",
		"public_members_url": api + "/public_members{/member}", "avatar_url": path(u.server.URL, "avatars", u.ID), "description": "",
	}
}

const noCommit = "0000000000000000000000000000000000000000"

// Push commits files to a branch, tells the Apps, and moves the pull requests
// of that branch. It returns the new head.
func (r *Repo) Push(login, branch string, files map[string]string) string {
	s := r.server
	s.mu.Lock()
	before := cmp.Or(r.resolve("refs/heads/"+branch), noCommit)
	if head, err := tryGit(r.Dir, "", "rev-parse", "-q", "--verify", "refs/heads/"+branch); err == nil {
		before = head
	}
	after := r.commit(login, branch, files)
	e := r.pushedRef(login, "refs/heads/"+branch, before, after)
	s.mu.Unlock()
	s.emit(e...)
	return after
}

// Reset moves a branch to a commit that is there, as a forced push does.
func (r *Repo) Reset(login, branch, sha string) {
	s := r.server
	s.mu.Lock()
	before := r.resolve(branch)
	r.git(r.Dir, "update-ref", "refs/heads/"+branch, sha)
	e := r.pushedRef(login, "refs/heads/"+branch, before, sha)
	s.mu.Unlock()
	s.emit(e...)
}

// DeleteBranch removes a branch.
func (r *Repo) DeleteBranch(login, branch string) {
	s := r.server
	s.mu.Lock()
	before := r.resolve(branch)
	r.git(r.Dir, "update-ref", "-d", "refs/heads/"+branch)
	e := r.pushedRef(login, "refs/heads/"+branch, before, noCommit)
	e = append(e, r.events("delete", "", login, fields{"ref": branch, "ref_type": "branch", "pusher_type": "user"})...)
	s.mu.Unlock()
	s.emit(e...)
}

// Tag puts a tag on a commit.
func (r *Repo) Tag(login, name, sha string) {
	s := r.server
	s.mu.Lock()
	r.git(r.Dir, "update-ref", "refs/tags/"+name, sha)
	e := r.pushedRef(login, "refs/tags/"+name, noCommit, sha)
	e = append(e, r.events("create", "", login, fields{
		"ref": name, "ref_type": "tag", "master_branch": r.Default, "description": nil, "pusher_type": "user",
	})...)
	s.mu.Unlock()
	s.emit(e...)
}

// Release publishes a release of a tag that is there.
func (r *Repo) Release(login, tag string) {
	s := r.server
	s.mu.Lock()
	id := s.id()
	api := path(r.api(), "releases", id)
	e := r.events("release", "published", login, fields{"release": fields{
		"url": api, "assets_url": api + "/assets", "upload_url": api + "/assets{?name,label}", "html_url": path(r.web(), "releases/tag", tag), "id": id,
		"node_id": node("Release", id), "tag_name": tag, "target_commitish": r.Default, "name": tag, "draft": false, "prerelease": false,
		"author": s.user(login).describe(), "created_at": stamp(s.now()), "published_at": stamp(s.now()), "assets": []fields{}, "body": nil,
		"tarball_url": path(r.api(), "tarball", tag), "zipball_url": path(r.api(), "zipball", tag),
	}})
	s.mu.Unlock()
	s.emit(e...)
}

// pushedRef is what a push of one ref tells: the push, the suites that GitHub
// begins by itself, and the pull requests that move with it.
func (r *Repo) pushedRef(login, ref, before, after string) []event {
	s := r.server
	r.pushed = s.now()
	repo := r.describe()
	repo["created_at"], repo["pushed_at"], repo["master_branch"] = r.created.Unix(), r.pushed.Unix(), r.Default // so it is, in this event alone
	repo["stargazers"] = 0
	owner := object(repo["owner"])
	owner["name"], owner["email"] = r.Owner, nil
	list := r.events("push", "", login, fields{
		"ref": ref, "before": before, "after": after, "created": before == noCommit, "deleted": after == noCommit,
		"forced": r.forced(before, after), "base_ref": nil, "compare": path(r.web(), "compare", before+"..."+after),
		"commits": r.pushedCommits(before, after), "head_commit": r.headCommit(after), "repository": repo,
		"pusher": fields{"name": login, "email": login + "@example.org"},
	})
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	if !isBranch || after == noCommit {
		return list
	}
	for _, a := range s.sortedApps() {
		for _, i := range a.sorted() {
			if i.covers(r) && i.permissions["checks"] == "write" {
				list = append(list, r.suiteOf(a, after, branch).event("requested", login)...)
			}
		}
	}
	for _, base := range s.repos {
		for _, p := range base.pulls {
			if p.head == r && p.headRef == branch && !p.closed {
				list = append(list, p.moved(before, login)...)
			}
		}
	}
	return list
}

func (r *Repo) forced(before, after string) bool {
	if before == noCommit || after == noCommit {
		return false
	}
	_, err := tryGit(r.Dir, "", "merge-base", "--is-ancestor", before, after)
	return err != nil
}

func (r *Repo) headCommit(sha string) any {
	if sha == noCommit {
		return nil
	}
	return r.pushedCommit(sha)
}

// maxPushed is the most commits that a push tells of.
const maxPushed = 2048

func (r *Repo) pushedCommits(before, after string) []fields {
	out := []fields{}
	if after == noCommit || before == noCommit {
		return out
	}
	list := lines(r.git(r.Dir, "rev-list", "--reverse", before+".."+after))
	for _, sha := range list[:min(len(list), maxPushed)] {
		out = append(out, r.pushedCommit(sha))
	}
	return out
}

func (r *Repo) pushedCommit(sha string) fields {
	f := r.simpleCommit(sha)
	for _, role := range []string{"author", "committer"} {
		who := object(f[role])
		who["username"] = who["name"]
	}
	parent := ""
	if p := r.facts(sha).parents; len(p) > 0 {
		parent = p[0]
	}
	kinds := map[string][]string{"added": {}, "removed": {}, "modified": {}}
	for _, c := range r.diff(parent, sha) {
		kind := map[string]string{"added": "added", "removed": "removed"}[c.status]
		kind = cmp.Or(kind, "modified")
		kinds[kind] = append(kinds[kind], c.name)
	}
	maps.Copy(f, fields{"distinct": true, "url": path(r.web(), "commit", sha), "added": kinds["added"], "removed": kinds["removed"], "modified": kinds["modified"]})
	return f
}

// Comment writes a comment on a pull request.
func (p *Pull) Comment(login, text string) {
	s := p.base.server
	s.mu.Lock()
	r, id := p.base, s.id()
	api, web := path(r.api(), "issues", p.Number), path(r.web(), "pull", p.Number)
	issue := fields{
		"url": api, "repository_url": r.api(), "labels_url": api + "/labels{/name}", "comments_url": api + "/comments", "events_url": api + "/events",
		"html_url": web, "id": p.ID, "node_id": node("PullRequest", p.ID), "number": p.Number, "title": p.Title, "user": s.user(p.user).describe(),
		"labels": []fields{}, "state": p.state(), "locked": false, "assignee": nil, "assignees": []fields{}, "milestone": nil, "comments": 1,
		"created_at": stamp(p.created), "updated_at": stamp(s.now()), "closed_at": stamp(p.ends), "author_association": p.association(),
		"active_lock_reason": nil, "body": nil, "draft": p.draft, "performed_via_github_app": nil,
		"pull_request": fields{"url": path(r.api(), "pulls", p.Number), "html_url": web, "diff_url": web + ".diff", "patch_url": web + ".patch"},
	}
	e := r.events("issue_comment", "created", login, fields{"issue": issue, "comment": fields{
		"url": path(r.api(), "issues/comments", id), "html_url": web + "#issuecomment", "issue_url": api, "id": id, "node_id": node("Comment", id),
		"user": s.user(login).describe(), "created_at": stamp(s.now()), "updated_at": stamp(s.now()), "body": text, "performed_via_github_app": nil,
		"author_association": "NONE",
	}})
	s.mu.Unlock()
	s.emit(e...)
}
