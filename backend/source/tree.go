package source

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"ci/pkg/ci"
)

// target is the ref under which a fetched commit is found.
const target = "refs/ci/commit"

// maxFiles is how many files of one commit are read; each may be a
// conversation with the server.
const maxFiles = 64

// tree is one look into a repository: one commit, a few of its files.
type tree struct {
	source *Source
	remote remote
	key    *key           // nil: none is needed
	http   *ci.HTTPAccess // nil: none is needed
	addrs  []netip.Addr
	dir    string
	sha    string
	branch string
	// whole fetches all files of the commit, for servers that can't give a single one.
	whole bool
}

// plan fetches the commit, reads the file at path and hands both to parse.
func (t *tree) plan(ctx context.Context, path string, parse func(commit string, file []byte, read Read) error) error {
	commit, err := t.fetch(ctx)
	if err != nil {
		return err
	}
	file, err := t.read(ctx, commit, path, "a job file")
	if e := (*ci.Error)(nil); errors.As(err, &e) && e.Code == ci.CodeNotFound {
		return &ci.Error{Code: ci.CodeInvalid, Message: e.Message}
	}
	if err != nil {
		return err
	}
	left := maxFiles - 1
	return parse(commit, file, func(path string) ([]byte, error) {
		if why := ci.CheckRepoPath(path); why != "" {
			return nil, ci.Errorf(ci.CodeInvalid, "%q %s", path, why)
		}
		if left--; left < 0 {
			return nil, ci.Errorf(ci.CodeInvalid, "a run's description may take %d files; %s is one more", maxFiles, path)
		}
		return t.read(ctx, commit, path, "a file that it is described with")
	})
}

// read fetches one file of the commit, whose trees are here. That is a
// conversation of its own: the server's filter can leave all files out, but no
// protocol lets one ask for a file by its path. what is what errors call the file.
func (t *tree) read(ctx context.Context, commit, path, what string) ([]byte, error) {
	file, err := t.file(ctx, commit, path, what)
	if says(err, "from promisor remote") && says(err, "unadvertised object", "not our ref") {
		// The server filters, but does not give single files (an old protocol, mostly).
		t.sha, t.whole = commit, true
		if _, err = t.fetch(ctx); err != nil {
			return nil, err
		}
		file, err = t.file(ctx, commit, path, what)
	}
	return file, t.explain(err)
}

// fetch brings the commit and its trees, and returns its id. Where a server
// says that it can't do it so, it is done in another way.
func (t *tree) fetch(ctx context.Context) (commit string, err error) {
	format := "sha1"
	if len(t.sha) == 64 {
		format = "sha256"
	}
	if err := t.renew(format); err != nil {
		return "", err
	}
	from := "HEAD"
	switch {
	case t.sha != "":
		from = t.sha
	case t.branch != "":
		from = "refs/heads/" + t.branch
	}
	err = t.fetchRefs(ctx, true, "+"+from+":"+target)
	if says(err, "mismatched algorithms") && t.sha == "" {
		if err := t.renew("sha256"); err != nil {
			return "", err
		}
		err = t.fetchRefs(ctx, true, "+"+from+":"+target)
	}
	switch {
	case says(err, "does not allow request for unadvertised object"):
		err = t.fetchAll(ctx)
	case says(err, "does not support shallow") && t.sha == "":
		err = t.fetchRefs(ctx, false, "+"+from+":"+target)
	case says(err, "does not support shallow"):
		err = t.fetchAll(ctx)
	case t.sha != "" && says(err, "not our ref", "couldn't find remote ref"):
		err = t.noCommit()
	}
	if err != nil {
		return "", t.explain(err)
	}
	return t.fetched()
}

// renew makes the repository anew.
func (t *tree) renew(format string) error {
	err := os.RemoveAll(t.dir)
	if err == nil {
		err = repository(t.dir, format)
	}
	if err != nil {
		return ci.Errorf(ci.CodeUnavailable, "there is no room to read the job file: %w", err)
	}
	return nil
}

// fetchAll fetches what the server offers of its own accord, for servers that
// don't give a commit by its id.
func (t *tree) fetchAll(ctx context.Context) error {
	if err := t.fetchRefs(ctx, false, "+refs/heads/*:refs/ci/heads/*", "+refs/tags/*:refs/ci/tags/*"); err != nil {
		return err
	}
	if _, _, err := t.git(ctx, 1<<10, "update-ref", target, t.sha); err != nil {
		return t.noCommit()
	}
	return nil
}

func (t *tree) fetchRefs(ctx context.Context, shallow bool, refs ...string) error {
	args := []string{
		"fetch", "--quiet", "--no-progress", "--no-tags", "--no-write-fetch-head", "--refmap=", "--no-recurse-submodules",
	}
	if shallow {
		args = append(args, "--depth=1")
	}
	if !t.whole {
		args = append(args, "--filter=blob:none")
	}
	_, _, err := t.git(ctx, 64<<10, append(append(args, "--", "origin"), refs...)...)
	return err
}

// fetched returns the commit that was fetched.
func (t *tree) fetched() (string, error) {
	ref, err := os.ReadFile(filepath.Join(t.dir, target))
	if err != nil {
		return "", ci.Errorf(ci.CodeUnavailable, "git fetched %s but no commit came: %w", t.remote.raw, err)
	}
	commit := string(bytes.TrimSpace(ref))
	switch {
	case !ci.ValidCommit(commit):
		return "", ci.Errorf(ci.CodeUnavailable, "git fetched %s but said %q instead of a commit", t.remote.raw, commit)
	case t.sha != "" && commit != t.sha:
		return "", t.noCommit()
	}
	return commit, nil
}

// file reads a file of a commit that is here.
func (t *tree) file(ctx context.Context, commit, path, what string) ([]byte, error) {
	out, _, err := t.git(ctx, 64<<10, "ls-tree", "-z", "--full-tree", commit, "--", path)
	if err != nil {
		if says(err, "not a tree object") {
			return nil, ci.Errorf(ci.CodeInvalid, "%s is not a commit in %s", commit, t.remote.raw)
		}
		return nil, err
	}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		meta, name, _ := strings.Cut(entry, "\t")
		fields := strings.Fields(meta)
		if name != path || len(fields) != 3 {
			continue
		}
		if why := unfit(fields[0]); why != "" {
			return nil, ci.Errorf(ci.CodeInvalid, "%s at commit %s of %s is %s; %s must be a regular file", path, commit, t.remote.raw, why, what)
		}
		return t.blob(ctx, commit, path, fields[2])
	}
	return nil, ci.Errorf(ci.CodeNotFound, "file %s does not exist at commit %s of %s", path, commit, t.remote.raw)
}

// unfit says why an entry of a tree with this mode can't be read as a file.
func unfit(mode string) string {
	switch mode {
	case "100644", "100755", "100664":
		return ""
	case "120000":
		return "a symbolic link"
	case "040000":
		return "a directory"
	case "160000":
		return "a submodule"
	}
	return "of mode " + mode
}

// blob reads a file; git fetches it when it is not here.
func (t *tree) blob(ctx context.Context, commit, path, id string) ([]byte, error) {
	data, over, err := t.git(ctx, MaxFile, "cat-file", "blob", id)
	if err != nil {
		return nil, err
	}
	if over {
		return nil, ci.Errorf(ci.CodeInvalid, "file %s at commit %s of %s is larger than %s; job files must be smaller", path, commit, t.remote.raw, ci.Bytes(MaxFile))
	}
	return data, nil
}

func (t *tree) noCommit() error {
	return ci.Errorf(ci.CodeInvalid, "commit %s is not in %s", t.sha, t.remote.raw)
}

// says says whether git complained in one of these words.
func says(err error, words ...string) bool {
	var g *gitError
	if !errors.As(err, &g) {
		return false
	}
	for _, w := range words {
		if strings.Contains(g.stderr, w) {
			return true
		}
	}
	return false
}
