package ghtest

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	gopath "path"
	"strconv"
	"strings"
)

// The most that GitHub's comparison shows, on its first page alone.
const maxCompared = 300

func (r *Repo) describeCommit(sha string) fields {
	c := r.facts(sha)
	person := fields{"name": c.author, "email": c.email, "date": c.when}
	parents := []fields{}
	for _, p := range c.parents {
		parents = append(parents, fields{"sha": p, "url": path(r.api(), "commits", p), "html_url": path(r.web(), "commit", p)})
	}
	user := r.server.user(c.author).describe()
	return fields{
		"sha": sha, "node_id": "C_" + sha, "url": path(r.api(), "commits", sha), "html_url": path(r.web(), "commit", sha),
		"comments_url": path(r.api(), "commits", sha, "comments"), "author": user, "committer": user, "parents": parents,
		"commit": fields{
			"url": path(r.api(), "git/commits", sha), "author": person, "committer": person, "message": c.message, "comment_count": 0,
			"tree":         fields{"sha": c.tree, "url": path(r.api(), "git/trees", c.tree)},
			"verification": fields{"verified": false, "reason": "unsigned", "signature": nil, "payload": nil},
		},
	}
}

func (r *Repo) describeFile(f changed, at string) fields {
	out := fields{
		"sha": f.sha, "filename": f.name, "status": f.status, "additions": f.additions, "deletions": f.deletions,
		"changes": f.additions + f.deletions, "blob_url": path(r.web(), "blob", at, escaped(f.name)), "raw_url": path(r.web(), "raw", at, escaped(f.name)),
		"contents_url": path(r.api(), "contents", escaped(f.name)) + "?ref=" + at,
	}
	if f.previous != "" {
		out["previous_filename"] = f.previous
	}
	return out
}

func (r *Repo) describeFiles(list []changed, at string) []fields {
	out := []fields{}
	for _, f := range list {
		out = append(out, r.describeFile(f, at))
	}
	return out
}

// escaped is a file's name in an URL's path.
func escaped(name string) string {
	return (&url.URL{Path: name}).EscapedPath()
}

func getCommit(c *call) answer {
	sha := c.repo.resolve(c.vars["ref"])
	if sha == "" {
		return refuse422("No commit found for SHA: " + c.vars["ref"])
	}
	facts := c.repo.facts(sha)
	parent := ""
	if len(facts.parents) > 0 {
		parent = facts.parents[0]
	}
	files := c.repo.diff(parent, sha)
	list, header := page(c, files)
	f := c.repo.describeCommit(sha)
	add, del := 0, 0
	for _, x := range files {
		add, del = add+x.additions, del+x.deletions
	}
	f["stats"] = fields{"additions": add, "deletions": del, "total": add + del}
	f["files"] = c.repo.describeFiles(list, sha)
	return answer{status: http.StatusOK, body: f, header: header}
}

func listCommits(c *call) answer {
	from := c.repo.resolve(cmp.Or(c.query.Get("sha"), c.repo.Default))
	if from == "" {
		return notFound()
	}
	list, header := page(c, lines(c.repo.git(c.repo.Dir, "rev-list", from)))
	out := []fields{}
	for _, sha := range list {
		out = append(out, c.repo.describeCommit(sha))
	}
	return answer{status: http.StatusOK, body: out, header: header}
}

// side finds one end of a comparison: a commit, a branch, or OWNER:BRANCH of a fork.
func (c *call) side(name string) string {
	owner, branch, isFork := strings.Cut(name, ":")
	if !isFork {
		return c.repo.resolve(name)
	}
	for _, r := range c.s.repos {
		if strings.EqualFold(r.Owner, owner) && (r.parent == c.repo || r == c.repo) {
			if sha := r.resolve(branch); sha != "" {
				c.repo.take(r, sha)
				return sha
			}
		}
	}
	return ""
}

func compare(c *call) answer {
	r := c.repo
	baseName, headName, ok := strings.Cut(c.vars["basehead"], "...")
	base, head := c.side(baseName), c.side(headName)
	if !ok || base == "" || head == "" {
		return notFound()
	}
	merge, err := tryGit(r.Dir, "", "merge-base", base, head)
	if err != nil {
		return refuse(http.StatusNotFound, "No common ancestor between %s and %s.", baseName, headName)
	}
	commits := lines(r.git(r.Dir, "rev-list", "--reverse", base+".."+head))
	behind, _ := strconv.Atoi(r.git(r.Dir, "rev-list", "--count", head+".."+base))
	size, number := c.pageOf(250, 250)
	from := min((number-1)*size, len(commits))
	shown := []fields{}
	for _, sha := range commits[from:min(from+size, len(commits))] {
		shown = append(shown, r.describeCommit(sha))
	}
	web := path(r.web(), "compare", base+"..."+head)
	f := fields{
		"url": path(r.api(), "compare", base+"..."+head), "html_url": web, "permalink_url": web, "diff_url": web + ".diff", "patch_url": web + ".patch",
		"base_commit": r.describeCommit(base), "merge_base_commit": r.describeCommit(merge), "status": standing(len(commits), behind),
		"ahead_by": len(commits), "behind_by": behind, "total_commits": len(commits), "commits": shown,
	}
	if number == 1 {
		files := r.diff(merge, head)
		f["files"] = r.describeFiles(files[:min(len(files), maxCompared)], head)
	}
	_, header := paged(c, commits, size, number)
	return answer{status: http.StatusOK, body: f, header: header}
}

func standing(ahead, behind int) string {
	switch {
	case ahead > 0 && behind > 0:
		return "diverged"
	case ahead > 0:
		return "ahead"
	case behind > 0:
		return "behind"
	}
	return "identical"
}

func getRef(c *call) answer {
	ref := "refs/" + c.vars["ref"]
	sha, err := tryGit(c.repo.Dir, "", "rev-parse", "-q", "--verify", ref)
	if err != nil {
		return notFound()
	}
	kind := c.repo.git(c.repo.Dir, "cat-file", "-t", sha)
	return ok(fields{
		"ref": ref, "node_id": "R_" + sha[:8], "url": path(c.repo.api(), "git", ref),
		"object": fields{"type": kind, "sha": sha, "url": path(c.repo.api(), "git", kind+"s", sha)},
	})
}

// getContents answers with a file or a folder at a commit.
func getContents(c *call) answer {
	r := c.repo
	commit := r.resolve(cmp.Or(c.query.Get("ref"), r.Default))
	if commit == "" {
		return refuse(http.StatusNotFound, "No commit found for the ref %s", c.query.Get("ref"))
	}
	name := strings.Trim(gopath.Clean("/"+c.vars["path"]), "/")
	kind, err := tryGit(r.Dir, "", "cat-file", "-t", commit+":"+name)
	switch {
	case err != nil:
		return notFound()
	case kind == "tree":
		return ok(r.folder(commit, name))
	}
	content, err := gitBytes(r.Dir, "", "cat-file", "blob", commit+":"+name)
	if err != nil {
		return notFound()
	}
	if strings.Contains(c.http.Header.Get("Accept"), "raw") {
		return answer{status: http.StatusOK, raw: content, kind: "application/vnd.github.raw; charset=utf-8"}
	}
	f := r.entry(commit, name, "file", r.git(r.Dir, "rev-parse", commit+":"+name), len(content))
	f["encoding"], f["content"] = "base64", wrapped(base64.StdEncoding.EncodeToString(content))
	if len(content) > 1<<20 { // GitHub leaves out what is larger than a MiB
		f["encoding"], f["content"] = "none", ""
	}
	return ok(f)
}

func (r *Repo) entry(commit, name, kind, sha string, size int) fields {
	self := path(r.api(), "contents", escaped(name)) + "?ref=" + commit
	blob, web := path(r.api(), "git/blobs", sha), path(r.web(), "blob", commit, escaped(name))
	return fields{
		"type": kind, "size": size, "name": gopath.Base(name), "path": name, "sha": sha, "url": self, "git_url": blob, "html_url": web,
		"download_url": path(r.web(), "raw", commit, escaped(name)), "_links": fields{"self": self, "git": blob, "html": web},
	}
}

func (r *Repo) folder(commit, name string) []fields {
	out := []fields{}
	for _, line := range strings.Split(r.git(r.Dir, "ls-tree", "-z", "-l", commit+":"+name), "\x00") {
		meta, file, ok := strings.Cut(line, "\t")
		part := strings.Fields(meta) // mode, kind, id, size
		if !ok || len(part) < 4 {
			continue
		}
		size, _ := strconv.Atoi(part[3])
		kind := map[string]string{"tree": "dir", "blob": "file", "commit": "submodule"}[part[1]]
		out = append(out, r.entry(commit, strings.TrimPrefix(name+"/"+file, "/"), kind, part[2], size))
	}
	return out
}

// wrapped breaks base64 into lines of 60, as GitHub's is.
func wrapped(s string) string {
	var b strings.Builder
	for len(s) > 60 {
		b.WriteString(s[:60] + "\n")
		s = s[60:]
	}
	return b.String() + s + "\n"
}
