package ghtest

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// User is an account: a person, or an organisation.
type User struct {
	Login string
	ID    int64

	server       *Server
	organisation bool
}

// Repo is a repository, with a real git repository behind it.
type Repo struct {
	ID      int64
	Owner   string
	Name    string
	Private bool
	// Dir is the bare git repository.
	Dir string
	// Default is the default branch.
	Default string

	server   *Server
	parent   *Repo // of a fork
	roles    map[string]string
	pulls    []*Pull
	suites   []*suite
	runs     []*CheckRun
	statuses []*Status
	created  time.Time
	pushed   time.Time
}

// User returns the account of that name, and makes it if need be.
func (s *Server) User(login string) *User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user(login)
}

func (s *Server) user(login string) *User {
	key := strings.ToLower(login)
	u := s.users[key]
	if u == nil {
		u = &User{Login: login, ID: s.id(), server: s}
		s.users[key] = u
	}
	return u
}

// NewOrganisation makes an account an organisation.
func (s *Server) NewOrganisation(login string) *User {
	u := s.User(login)
	s.mu.Lock()
	defer s.mu.Unlock()
	u.organisation = true
	return u
}

// NewRepo makes an empty public repository: "octo/hello".
func (s *Server) NewRepo(fullName string) *Repo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.makeRepo(fullName, nil)
}

// NewPrivateRepo is NewRepo for one that strangers can't see.
func (s *Server) NewPrivateRepo(fullName string) *Repo {
	r := s.NewRepo(fullName)
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Private = true
	return r
}

func (s *Server) makeRepo(fullName string, parent *Repo) *Repo {
	owner, name, ok := strings.Cut(fullName, "/")
	if !ok {
		s.t.Errorf("%q is not owner/name", fullName)
	}
	s.user(owner)
	r := &Repo{
		ID: s.id(), Owner: owner, Name: name, Default: "main", server: s, parent: parent, roles: map[string]string{},
		Dir: filepath.Join(s.dir, owner, name+".git"), created: s.now(), pushed: s.now(),
	}
	s.repos[strings.ToLower(fullName)] = r
	if err := os.MkdirAll(filepath.Dir(r.Dir), 0o755); err != nil {
		s.t.Errorf("%v", err)
	}
	if parent == nil {
		r.git("", "init", "-q", "--bare", "-b", r.Default, r.Dir)
	} else {
		r.git("", "clone", "-q", "--bare", parent.Dir, r.Dir)
	}
	for _, key := range []string{"uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"} {
		r.git(r.Dir, "config", key, "true")
	}
	return r
}

// Fork copies the repository to another account.
func (r *Repo) Fork(owner string) *Repo {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.makeRepo(owner+"/"+r.Name, r)
	f.Private = r.Private
	return f
}

// Grant gives somebody a role on the repository: "read", "triage", "write", "maintain", "admin"; "" takes it away.
func (r *Repo) Grant(login, role string) {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user(login)
	r.roles[strings.ToLower(login)] = role
}

// FullName is "owner/name".
func (r *Repo) FullName() string { return r.Owner + "/" + r.Name }

// CloneURL is where git gets it.
func (r *Repo) CloneURL() string { return r.server.URL + "/" + r.FullName() + ".git" }

func (r *Repo) roleOf(u *User) string {
	if strings.EqualFold(u.Login, r.Owner) {
		return "admin"
	}
	return r.roles[strings.ToLower(u.Login)]
}

func node(kind string, id int64) string { return fmt.Sprintf("MDg6%s%d", kind, id) }

// path joins an URL of parts.
func path(base string, parts ...any) string {
	for _, p := range parts {
		base += fmt.Sprintf("/%v", p)
	}
	return base
}

func (u *User) kind() string {
	if u.organisation {
		return "Organization"
	}
	return "User"
}

func (u *User) describe() fields {
	api := path(u.server.URL+apiPath, "users", u.Login)
	return fields{
		"login": u.Login, "id": u.ID, "node_id": node("User", u.ID), "avatar_url": path(u.server.URL, "avatars", u.ID), "gravatar_id": "",
		"url": api, "html_url": path(u.server.URL, u.Login), "followers_url": api + "/followers", "following_url": api + "/following{/other_user}",
		"gists_url": api + "/gists{/gist_id}", "starred_url": api + "/starred{/owner}{/repo}", "subscriptions_url": api + "/subscriptions",
		"organizations_url": api + "/orgs", "repos_url": api + "/repos", "events_url": api + "/events{/privacy}",
		"received_events_url": api + "/received_events", "type": u.kind(), "site_admin": false,
	}
}

// links are the addresses below a repository's own, by the part of their name before "_url".
func links() map[string]string {
	return map[string]string{
		"archive": "{archive_format}{/ref}", "assignees": "assignees{/user}", "blobs": "git/blobs{/sha}", "branches": "branches{/branch}",
		"collaborators": "collaborators{/collaborator}", "comments": "comments{/number}", "commits": "commits{/sha}",
		"compare": "compare/{base}...{head}", "contents": "contents/{+path}", "contributors": "contributors", "deployments": "deployments",
		"downloads": "downloads", "events": "events", "forks": "forks", "git_commits": "git/commits{/sha}", "git_refs": "git/refs{/sha}",
		"git_tags": "git/tags{/sha}", "hooks": "hooks", "issue_comment": "issues/comments{/number}", "issue_events": "issues/events{/number}",
		"issues": "issues{/number}", "keys": "keys{/key_id}", "labels": "labels{/name}", "languages": "languages", "merges": "merges",
		"milestones": "milestones{/number}", "notifications": "notifications{?since,all,participating}", "pulls": "pulls{/number}",
		"releases": "releases{/id}", "stargazers": "stargazers", "statuses": "statuses/{sha}", "subscribers": "subscribers",
		"subscription": "subscription", "tags": "tags", "teams": "teams", "trees": "git/trees{/sha}",
	}
}

func (r *Repo) api() string { return path(r.server.URL+apiPath, "repos", r.FullName()) }

func (r *Repo) web() string { return path(r.server.URL, r.FullName()) }

// short is how a repository is named within other things.
func (r *Repo) short() fields {
	f := fields{
		"id": r.ID, "node_id": node("Repo", r.ID), "name": r.Name, "full_name": r.FullName(), "private": r.Private,
		"owner": r.server.user(r.Owner).describe(), "html_url": r.web(), "description": nil, "fork": r.parent != nil, "url": r.api(),
	}
	for name, below := range links() {
		f[name+"_url"] = r.api() + "/" + below
	}
	return f
}

func shorts(list []*Repo) []fields {
	out := []fields{}
	for _, r := range list {
		out = append(out, fields{"id": r.ID, "node_id": node("Repo", r.ID), "name": r.Name, "full_name": r.FullName(), "private": r.Private})
	}
	return out
}

// describe is a whole repository.
func (r *Repo) describe() fields {
	f := r.short()
	visibility := "public"
	if r.Private {
		visibility = "private"
	}
	maps.Copy(f, fields{
		"git_url": "git://" + strings.TrimPrefix(r.web(), "http://") + ".git", "ssh_url": "git@localhost:" + r.FullName() + ".git",
		"clone_url": r.CloneURL(), "svn_url": r.web(), "mirror_url": nil, "homepage": nil, "language": nil, "license": nil,
		"forks": 0, "forks_count": 0, "stargazers_count": 0, "watchers": 0, "watchers_count": 0, "size": 1, "default_branch": r.Default,
		"open_issues": 0, "open_issues_count": 0, "has_issues": true, "has_projects": true, "has_wiki": true, "has_pages": false,
		"has_downloads": true, "archived": false, "disabled": false, "visibility": visibility, "is_template": false, "topics": []string{},
		"pushed_at": stamp(r.pushed), "created_at": stamp(r.created), "updated_at": stamp(r.pushed), "allow_forking": true,
		"web_commit_signoff_required": false, "custom_properties": fields{},
	})
	return f
}

func getRepo(c *call) answer {
	f := c.repo.describe()
	f["subscribers_count"], f["network_count"] = 0, 0
	if p := c.repo.parent; p != nil {
		f["parent"], f["source"] = p.describe(), p.describe()
	}
	return ok(f)
}

// getPermission answers for a collaborator: what GitHub calls "permission" knows four levels alone.
func getPermission(c *call) answer {
	u := c.s.users[strings.ToLower(c.vars["username"])]
	if u == nil {
		return notFound()
	}
	role := c.repo.roleOf(u)
	permission := map[string]string{"maintain": "write", "triage": "read", "": "none"}[role]
	if permission == "" {
		permission = role
	}
	if permission == "none" && !c.repo.Private {
		permission = "read"
	}
	return ok(fields{"permission": permission, "role_name": cmp.Or(role, permission), "user": u.describe()})
}

// isSHA says whether v is a whole commit id.
func isSHA(v string) bool {
	return len(v) == 40 && !slices.ContainsFunc([]byte(v), func(b byte) bool { return !strings.ContainsRune("0123456789abcdef", rune(b)) })
}
