// Package checkout brings exactly one commit of one repository into an empty
// folder. It is the first process of a container that has git and the run's
// workspace, and nothing of the job: no image, environment or code of its
// author's is in reach of the steps before the script.
package checkout

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/yamux"

	"ci/agentd/toolbox/pipe"
	"ci/agentd/toolbox/relay"
)

// Main serves one agent on standard input and output: it gets its order, a
// pipe.Fetch, and answers with pipe.Fetched, git's messages as they come and
// the end. Streams that the agent opens meanwhile carry ssh to the run's key.
func Main() int {
	session, err := pipe.Server(pipe.Stdio{})
	if err != nil {
		fmt.Fprintf(os.Stderr, "checkout can't talk over its standard streams: %v\n", err)
		return 1
	}
	defer session.Close()
	control, order, err := receive(session)
	if err != nil {
		fmt.Fprintf(os.Stderr, "checkout got no order: %v\n", err)
		return 1
	}
	answer := pipe.Fetched{Done: true}
	tell := func(line string) { _ = pipe.WriteFrame(control, pipe.Fetched{Print: line}, pipe.MaxUp) }
	if err := serve(session, order, tell); err != nil {
		answer.Failed = err.Error()
		var final *finalError
		answer.Final = errors.As(err, &final)
	}
	answer.Size = sizeOf(cmp.Or(order.Mirror, filepath.Join(order.Dir, ".git")))
	if err := pipe.WriteFrame(control, answer, pipe.MaxUp); err != nil {
		fmt.Fprintf(os.Stderr, "checkout can't answer: %v\n", err)
		return 1
	}
	<-session.CloseChan() // the agent has read the answer
	return 0
}

// receive takes the first stream, and the order on it.
func receive(session *yamux.Session) (*yamux.Stream, pipe.Fetch, error) {
	var order pipe.Fetch
	control, err := session.AcceptStream()
	if err != nil {
		return nil, order, err
	}
	var o pipe.Opening
	if err := pipe.ReadFrame(control, &o, pipe.MaxUp); err != nil {
		return nil, order, err
	}
	if o.Kind != pipe.Control {
		return nil, order, fmt.Errorf("a %q stream came where %q was due", o.Kind, pipe.Control)
	}
	return control, order, pipe.ReadFrame(control, &order, pipe.MaxDown)
}

// serve carries out an order, with the run's SSH agent in reach if it has one.
func serve(session *yamux.Session, order pipe.Fetch, tell func(line string)) error {
	if err := believe(order.KnownHosts, order.URL); err != nil {
		return err
	}
	if order.Agent != nil {
		relays, err := relay.Listen([]pipe.Listen{*order.Agent}, os.Getuid(), os.Getgid())
		if err != nil {
			return err
		}
		defer relays.Close()
		go relays.TakeAll(session) // ends with the session, which Main closes
	}
	return Fetch(order, tell)
}

// Fetch carries out an order and tells what git prints, a line each. Errors
// are sentences with git's own last words.
func Fetch(o pipe.Fetch, tell func(line string)) error {
	g := &git{dir: o.Dir, url: o.URL, shown: display(o.URL), tell: tell, shows: o.Authorization}
	if o.Agent != nil {
		g.agent = o.Agent.Address
	}
	if err := g.start(o.CommitSHA); err != nil {
		return err
	}
	if o.Mirror == "" || !g.fetchByMirror(o) {
		if err := g.fetch(o); err != nil {
			return err
		}
	}
	if err := g.run("check out "+o.CommitSHA, "checkout", "--quiet", "--force", "--detach", o.CommitSHA, "--"); err != nil {
		return err
	}
	if err := g.lfs(o.URL); err != nil {
		return err
	}
	if o.Submodules {
		if err := g.submodules(o); err != nil {
			return err
		}
	}
	head, err := g.output("rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(head); got != o.CommitSHA {
		return fmt.Errorf("the checkout is at %s and not at %s; the repository at %s is not to be trusted", got, o.CommitSHA, g.shown)
	}
	return g.tidy()
}

// start makes an empty repository. Its address is stored without a password.
func (g *git) start(sha string) error {
	hash := "sha1"
	if len(sha) == 64 {
		hash = "sha256"
	}
	if err := g.run("make a repository", "init", "--quiet", "--template=", "--object-format="+hash, "--initial-branch=none", "--", g.dir); err != nil {
		return err
	}
	return g.run("store the repository's address", "config", "--", "remote.origin.url", g.shown)
}

// fetch gets the commit and depth-1 of its ancestors, or all of them. A
// server may refuse to give out what no branch begins with; then everything
// that it shows is fetched, and the commit has to be among it.
func (g *git) fetch(o pipe.Fetch) error {
	args := []string{"fetch", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance"}
	if o.Depth > 0 {
		args = append(args, fmt.Sprintf("--depth=%d", o.Depth))
	}
	what := fmt.Sprintf("fetch commit %s from %s", o.CommitSHA, g.shown)
	err := g.run(what, append(args, "--", g.url, o.CommitSHA)...)
	switch {
	case err == nil:
		return nil
	case gone(err):
		return &finalError{fmt.Errorf("commit %s is not in %s, or the server does not give it out: %w", o.CommitSHA, g.shown, err)}
	case !refused(err):
		return err
	}
	g.tell("The server gives out no single commits; fetching all branches.")
	err = g.run(what, "fetch", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance", "--", g.url, "+refs/heads/*:refs/remotes/origin/*")
	if err != nil {
		return err
	}
	if _, err := g.output("cat-file", "-e", o.CommitSHA+"^{commit}"); err != nil {
		return &finalError{fmt.Errorf("commit %s is on no branch of %s, and the server gives out nothing else", o.CommitSHA, g.shown)}
	}
	return nil
}

// submodules fetches what the commit's .gitmodules names. It was written by
// whoever made the commit, so files of this container and programs are out of
// reach, and of ssh hosts only those that the job's key is for. A server may
// give out a submodule's commit only with the history of a branch.
func (g *git) submodules(o pipe.Fetch) error {
	guard, err := newGuard(g.url)
	if err != nil {
		return err
	}
	defer guard.close()
	g.guarded = guard.settings()
	args := []string{"submodule", "update", "--init", "--recursive", "--force"}
	if o.Depth > 0 {
		err := g.run("fetch the submodules", append(args, fmt.Sprintf("--depth=%d", o.Depth))...)
		if !refused(err) && !says(err, "did not contain") {
			return err
		}
		g.tell("A submodule's server gives out no single commits; fetching all of its history.")
	}
	return g.run("fetch the submodules", args...)
}

// tidy leaves nothing but the commit: no branch of the server's that a
// fallback brought.
func (g *git) tidy() error {
	refs, err := g.output("for-each-ref", "--format=%(refname)")
	if err != nil {
		return err
	}
	for _, ref := range strings.Fields(refs) {
		if err := g.run("remove "+ref, "update-ref", "-d", "--", ref); err != nil {
			return err
		}
	}
	return nil
}

// finalError says that another attempt would fail as well.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }
