package ghtest

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// gitEnv keeps the user's own settings out.
func gitEnv() []string {
	return append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0")
}

// tryGit runs git in a folder.
func tryGit(dir, input string, args ...string) (string, error) {
	out, err := gitBytes(dir, input, args...)
	return strings.TrimRight(string(out), "\n"), err
}

func gitBytes(dir, input string, args ...string) ([]byte, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, gitEnv(), strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// git is tryGit where a failure is the test's.
func (r *Repo) git(dir string, args ...string) string {
	out, err := tryGit(dir, "", args...)
	if err != nil {
		r.server.t.Errorf("%s: %v", r.FullName(), err)
	}
	return out
}

// resolve returns the commit that a name stands for: an id, a branch, a tag; "" for none.
func (r *Repo) resolve(name string) string {
	if name == "" || strings.HasPrefix(name, "-") {
		return ""
	}
	for _, ref := range []string{name, "refs/heads/" + name, "refs/tags/" + name, "refs/" + name} {
		if !isSHA(name) && ref == name {
			continue
		}
		if sha, err := tryGit(r.Dir, "", "rev-parse", "-q", "--verify", ref+"^{commit}"); err == nil {
			return sha
		}
	}
	return ""
}

// Deleted as a file's content removes the file.
const Deleted = "\x00deleted"

// Commit puts a new commit on a branch, which begins at the default branch (or
// with no history) when it is new, and tells nobody. files are path to content;
// Deleted removes one. It returns the commit's id.
func (r *Repo) Commit(login, branch string, files map[string]string) string {
	s := r.server
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.commit(login, branch, files)
}

func (r *Repo) commit(login, branch string, files map[string]string) string {
	ref := "refs/heads/" + branch
	parent := r.resolve(branch)
	if parent == "" {
		parent = r.resolve(r.Default)
	}
	message := "change " + strings.Join(sortedKeys(files), ", ")
	var b strings.Builder
	who := fmt.Sprintf("%s <%s@example.org> %d +0000", login, login, time.Now().Unix())
	fmt.Fprintf(&b, "commit %s\nauthor %s\ncommitter %s\ndata %d\n%s\n", ref, who, who, len(message), message)
	if parent != "" {
		fmt.Fprintf(&b, "from %s\n", parent)
	}
	for _, name := range sortedKeys(files) {
		if content := files[name]; content == Deleted {
			fmt.Fprintf(&b, "D %s\n", name)
		} else {
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", name, len(content), content)
		}
	}
	b.WriteString("done\n")
	if _, err := tryGit(r.Dir, b.String(), "fast-import", "--quiet", "--done", "--force"); err != nil {
		r.server.t.Errorf("%s: commit on %s: %v", r.FullName(), branch, err)
	}
	return r.resolve(branch)
}

func sortedKeys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// take brings a commit of another repository into this one, as GitHub has all
// of a network's objects in one place.
func (r *Repo) take(from *Repo, sha string) {
	if from != r {
		r.git(r.Dir, "fetch", "-q", from.Dir, sha)
	}
}

// commitFacts is what git knows of a commit.
type commitFacts struct {
	sha, tree, message  string
	author, email, when string
	parents             []string
}

func (r *Repo) facts(sha string) commitFacts {
	out := r.git(r.Dir, "show", "-s", "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%B", sha)
	part := strings.SplitN(out, "\x00", 7)
	if len(part) < 7 {
		return commitFacts{sha: sha}
	}
	return commitFacts{
		sha: part[0], tree: part[1], parents: strings.Fields(part[2]), author: part[3], email: part[4], when: part[5],
		message: strings.TrimSpace(part[6]),
	}
}

// changed is one file between two commits.
type changed struct {
	sha, name, previous, status string
	additions, deletions        int
}

// diff lists what changed from one commit to another; from "" is the empty tree.
func (r *Repo) diff(from, to string) []changed {
	if from == "" {
		from = "4b825dc642cb6eb9a060e54bf8d69288fbee4904" // git's empty tree
	}
	raw := strings.Split(r.git(r.Dir, "diff", "--raw", "--no-abbrev", "-M", "-z", from, to), "\x00")
	counts := r.counts(from, to)
	words := map[byte]string{'A': "added", 'D': "removed", 'M': "modified", 'R': "renamed", 'C': "copied", 'T': "changed"}
	var list []changed
	for i := 0; i+1 < len(raw); i += 2 {
		f := strings.Fields(raw[i]) // :mode mode sha sha status
		if len(f) < 5 {
			break
		}
		c := changed{sha: f[3], status: words[f[4][0]], name: raw[i+1]}
		if f[4][0] == 'D' {
			c.sha = f[2]
		}
		if f[4][0] == 'R' || f[4][0] == 'C' {
			c.previous, c.name = raw[i+1], raw[i+2]
			i++
		}
		c.additions, c.deletions = counts[c.name][0], counts[c.name][1]
		list = append(list, c)
	}
	return list
}

// counts are lines added and removed, by file.
func (r *Repo) counts(from, to string) map[string][2]int {
	m := map[string][2]int{}
	parts := strings.Split(r.git(r.Dir, "diff", "--numstat", "--no-renames", "-z", from, to), "\x00")
	for _, line := range parts {
		f := strings.SplitN(line, "\t", 3)
		if len(f) == 3 {
			var n [2]int
			_, _ = fmt.Sscan(f[0], &n[0]) // "-" for binary files: zero
			_, _ = fmt.Sscan(f[1], &n[1])
			m[f[2]] = n
		}
	}
	return m
}

// lines of git's output; none for "".
func lines(out string) []string {
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

// serveGit is git's smart protocol, for who may read the repository: a token
// is the password, whatever the user's name.
func (s *Server) serveGit(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	_, password, _ := r.BasicAuth()
	s.mu.Lock()
	repo, t := s.repos[strings.ToLower(name)], s.tokens[password]
	if t != nil && !t.expires.IsZero() && !s.now().Before(t.expires) {
		t = nil
	}
	allowed := repo != nil && (!repo.Private || (t != nil && t.may(repo, "contents", "read")))
	s.mu.Unlock()
	switch {
	case password != "" && t == nil, !allowed && password == "":
		w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		http.Error(w, "Invalid username or password.", http.StatusUnauthorized)
		return
	case !allowed:
		http.NotFound(w, r)
		return
	}
	folder, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		http.Error(w, "no git", http.StatusInternalServerError)
		return
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(folder)), "git-http-backend"),
		Env: []string{
			"GIT_PROJECT_ROOT=" + s.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.receivepack", "GIT_CONFIG_VALUE_0=false",
		},
		Stderr: discard{},
	}
	backend.ServeHTTP(w, r)
}

// discard drops what git-http-backend complains of: a client that leaves is no news.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
