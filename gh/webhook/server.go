package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-github/v60/github"

	"ci/gh/app"
	"ci/gh/event"
	"ci/pkg/ci"
)

// server answers what a delivery does not say by itself.
type server interface {
	// changed are the files that the event changed; whole says that there are no others.
	changed(ctx context.Context, e *event.Event) (files []string, whole bool, err error)
	// mayWrite says whether the person of that number may write to the repository.
	mayWrite(ctx context.Context, p ci.Person) (bool, error)
	// pull fills in the present state of the event's pull request, and says whether it is open.
	pull(ctx context.Context, e *event.Event) (open bool, err error)
	// pullOf returns the open pull request whose head a commit is; 0 for none.
	pullOf(ctx context.Context, sha string) (int, error)
	// commit is what a tag points at.
	commit(ctx context.Context, tag string) (string, error)
}

func (i *Inbox) server(f *ci.ForgeAccess, e *event.Event) server {
	switch f.Kind {
	case ci.ForgeGitHub:
	case ci.ForgeGitea:
		return &tea{plain{f.Kind}, i.Clients, f.Name, e.FullName}
	default:
		return plain{f.Kind}
	}
	owner, name, _ := strings.Cut(e.FullName, "/")
	return &hub{clients: i.Clients, forge: f.Name, installation: e.Installation, owner: owner, name: name}
}

// plain is a forge of which only deliveries are read.
type plain struct{ kind ci.ForgeKind }

func (plain) changed(_ context.Context, e *event.Event) ([]string, bool, error) {
	return e.Changed, e.Whole, nil
}
func (plain) mayWrite(context.Context, ci.Person) (bool, error)  { return false, nil }
func (p plain) pull(context.Context, *event.Event) (bool, error) { return false, p.fault() }
func (p plain) pullOf(context.Context, string) (int, error)      { return 0, p.fault() }
func (p plain) commit(context.Context, string) (string, error)   { return "", p.fault() }

func (p plain) fault() error {
	return ci.Errorf(ci.CodeInvalid, "%s is not asked for what its webhook does not say", p.kind)
}

// hub is a repository at GitHub.
type hub struct {
	clients      Clients
	forge        string
	installation int64
	owner, name  string
	client       *github.Client
}

func (h *hub) ask(ctx context.Context) (*github.Client, error) {
	var err error
	if h.client == nil {
		h.client, err = h.clients.Client(ctx, h.forge, h.installation)
	}
	return h.client, err
}

const (
	perPage = 100
	// maxCompared is how many files GitHub's compare shows, and maxPullFiles how many of a pull request.
	maxCompared  = 300
	maxPullFiles = 3000
)

func (h *hub) changed(ctx context.Context, e *event.Event) ([]string, bool, error) {
	c, err := h.ask(ctx)
	if err != nil {
		return nil, false, err
	}
	if e.Pull != 0 {
		return h.pullFiles(ctx, c, e.Pull)
	}
	if e.Before == "" {
		return nil, false, nil // a new branch or tag: compared with what?
	}
	return h.compare(ctx, c, e.Before, e.HeadSHA)
}

// pullFiles are all files of a pull request, page by page.
func (h *hub) pullFiles(ctx context.Context, c *github.Client, number int) (files []string, whole bool, err error) {
	n := 0
	for page := 1; page != 0; {
		list, resp, err := c.PullRequests.ListFiles(ctx, h.owner, h.name, number, &github.ListOptions{Page: page, PerPage: perPage})
		if err != nil {
			return nil, false, app.Explain(err, "list the files of the pull request")
		}
		files = append(files, paths(list)...)
		n += len(list)
		page = resp.NextPage
	}
	return files, n < maxPullFiles, nil
}

// compare are the files between two commits. GitHub names them on the first
// page, not more than 300; the pages that follow have further commits alone.
func (h *hub) compare(ctx context.Context, c *github.Client, base, head string) (files []string, whole bool, err error) {
	cmp, _, err := c.Repositories.CompareCommits(ctx, h.owner, h.name, base, head, &github.ListOptions{Page: 1, PerPage: 1})
	if answered(err, http.StatusNotFound) || answered(err, http.StatusUnprocessableEntity) {
		return nil, false, nil // what was replaced by force may be gone
	}
	if err != nil {
		return nil, false, app.Explain(err, "compare the commits")
	}
	return paths(cmp.Files), len(cmp.Files) < maxCompared, nil
}

// paths are the names of files, of renamed ones both.
func paths(list []*github.CommitFile) (names []string) {
	for _, f := range list {
		names = append(names, f.GetFilename())
		if old := f.GetPreviousFilename(); old != "" {
			names = append(names, old)
		}
	}
	return names
}

func answered(err error, status int) bool {
	var answer *github.ErrorResponse
	return errors.As(err, &answer) && answer.Response != nil && answer.Response.StatusCode == status
}

func (h *hub) mayWrite(ctx context.Context, p ci.Person) (bool, error) {
	if p.ID <= 0 || p.Login == "" || strings.ContainsAny(p.Login, "/?#%") {
		return false, nil
	}
	c, err := h.ask(ctx)
	if err != nil {
		return false, err
	}
	level, _, err := c.Repositories.GetPermissionLevel(ctx, h.owner, h.name, p.Login)
	if answered(err, http.StatusNotFound) {
		return false, nil
	}
	if err != nil {
		return false, app.Explain(err, fmt.Sprintf("ask what %s may do", p.Login))
	}
	// The name was looked up; the number says whether it is still the same person.
	return level.GetUser().GetID() == p.ID && slices.Contains([]string{"admin", "maintain", "write"}, level.GetPermission()), nil
}

func (h *hub) pull(ctx context.Context, e *event.Event) (open bool, err error) {
	c, err := h.ask(ctx)
	if err != nil {
		return false, err
	}
	p, _, err := c.PullRequests.Get(ctx, h.owner, h.name, e.Pull)
	if err != nil {
		return false, app.Explain(err, fmt.Sprintf("read pull request %d", e.Pull))
	}
	kind, head, base := e.Kind, p.GetHead(), p.GetBase()
	fork := head.GetRepo().GetID() == 0 || head.GetRepo().GetID() != base.GetRepo().GetID()
	event.FromPull(e, p.GetNumber(), head.GetSHA(), head.GetRef(), base.GetSHA(), base.GetRef(), fork)
	e.Kind = kind
	if !ci.ValidCommit(e.HeadSHA) || !ci.ValidBranch(e.Base) || base.GetRepo().GetID() != e.Repository {
		return false, ci.Errorf(ci.CodeInvalid, "pull request %d is not described as a pull request of %s is", e.Pull, e.FullName)
	}
	if !ci.ValidBranch(e.Branch) {
		return false, ci.Errorf(ci.CodeInvalid, "the branch of pull request %d has a name that is refused here", e.Pull)
	}
	return p.GetState() == "open", nil
}

func (h *hub) pullOf(ctx context.Context, sha string) (int, error) {
	c, err := h.ask(ctx)
	if err != nil {
		return 0, err
	}
	list, _, err := c.PullRequests.ListPullRequestsWithCommit(ctx, h.owner, h.name, sha, &github.ListOptions{PerPage: perPage})
	if err != nil {
		return 0, app.Explain(err, "find the pull request of the commit")
	}
	for _, p := range list {
		if p.GetState() == "open" && p.GetHead().GetSHA() == sha {
			return p.GetNumber(), nil
		}
	}
	return 0, nil
}

func (h *hub) commit(ctx context.Context, tag string) (string, error) {
	c, err := h.ask(ctx)
	if err != nil {
		return "", err
	}
	found, _, err := c.Repositories.GetCommit(ctx, h.owner, h.name, tag, nil)
	if err != nil {
		return "", app.Explain(err, "find the commit of tag "+tag)
	}
	if !ci.ValidCommit(found.GetSHA()) {
		return "", ci.Errorf(ci.CodeInvalid, "tag %s points at no commit", tag)
	}
	return found.GetSHA(), nil
}
