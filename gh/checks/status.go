package checks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-github/v60/github"

	"ci/gh/app"
	"ci/pkg/ci"
)

// status is what all forges know of a commit beside checks. Field names are
// GitHub's and Gitea's; GitLab calls the context name.
type status struct {
	State       string `json:"state"`
	TargetURL   string `json:"target_url,omitempty"`
	Description string `json:"description,omitempty"`
	Context     string `json:"context,omitempty"`
	Name        string `json:"name,omitempty"`
}

// maxDescription is GitHub's limit, in bytes; the others take more.
const maxDescription = 140

// tellStatus sets the commit's status. Setting the same twice does no harm, but
// shows twice, so whoever does not know what was told asks GitHub first.
func (c *Checks) tellStatus(ctx context.Context, forge *ci.ForgeAccess, check ci.Check, r *report) (int64, error) {
	client, err := c.Apps.Client(ctx, forge.Name, 0)
	if err != nil {
		return 0, err
	}
	s := status{State: r.statusState(forge.Kind), TargetURL: r.url, Description: cut(r.title, maxDescription), Context: check.Origin.Trigger}
	path := "repos/" + app.InPath(check.Origin.FullName) + "/statuses/" + url.PathEscape(check.Origin.HeadSHA)
	if forge.Kind == ci.ForgeGitLab {
		path = fmt.Sprintf("projects/%d/statuses/%s", check.Origin.Repository, url.PathEscape(check.Origin.HeadSHA))
		s.Name, s.Context = s.Context, ""
	}
	if check.Attempts > 1 && forge.Kind == ci.ForgeGitHub {
		if heard, err := heardStatus(ctx, client, check, s); err != nil || heard {
			return 0, app.Explain(err, "look up the status")
		}
	}
	req, err := client.NewRequest(http.MethodPost, path, s)
	if err != nil {
		return 0, ci.Errorf(ci.CodeInvalid, "a status can't be written: %w", err)
	}
	var made struct {
		ID int64 `json:"id"`
	}
	_, err = client.Do(ctx, req, &made)
	if known(err) {
		return 0, nil
	}
	return made.ID, app.Explain(err, "set the status")
}

// heardStatus says whether the newest status of that context is this one.
func heardStatus(ctx context.Context, client *github.Client, check ci.Check, s status) (bool, error) {
	owner, repo, _ := strings.Cut(check.Origin.FullName, "/")
	list, _, err := client.Repositories.ListStatuses(ctx, owner, repo, check.Origin.HeadSHA, &github.ListOptions{PerPage: 100})
	if err != nil {
		return false, err
	}
	for _, there := range list { // newest first
		if there.GetContext() == s.Context {
			return there.GetState() == s.State && there.GetTargetURL() == s.TargetURL && there.GetDescription() == s.Description, nil
		}
	}
	return false, nil
}

// known says that GitLab has that state already, which it calls an error.
func known(err error) bool {
	var answer *github.ErrorResponse
	return errors.As(err, &answer) && answer.Response.StatusCode == http.StatusBadRequest && strings.Contains(answer.Message, "Cannot transition status")
}

// statusState is the report's state in the words of a forge.
func (r *report) statusState(kind ci.ForgeKind) string {
	switch {
	case r.conclusion == held:
		return "pending"
	case kind == ci.ForgeGitLab:
		return r.gitlabState()
	case r.state != ci.CheckCompleted:
		return "pending"
	case r.outcome == ci.OutcomeSucceeded:
		return "success"
	case r.outcome == ci.OutcomeFailed || r.outcome == ci.OutcomeTimedOut:
		return "failure"
	}
	return "error"
}

func (r *report) gitlabState() string {
	switch {
	case r.state == ci.CheckQueued:
		return "pending"
	case r.state == ci.CheckInProgress:
		return "running"
	case r.outcome == ci.OutcomeSucceeded:
		return "success"
	case r.outcome == ci.OutcomeAborted:
		return "canceled"
	}
	return "failed"
}
