package webhook

import (
	"context"
	"net/http"

	"ci/gh/app"
	"ci/pkg/ci"
)

// tea is a repository at a Gitea, which is asked for one thing alone: its
// releases name a tag and no commit.
type tea struct {
	plain
	clients  Clients
	forge    string
	fullName string
}

func (t *tea) commit(ctx context.Context, tag string) (string, error) {
	client, err := t.clients.Client(ctx, t.forge, 0)
	if err != nil {
		return "", err
	}
	req, err := client.NewRequest(http.MethodGet, "repos/"+app.InPath(t.fullName)+"/tags/"+app.InPath(tag), nil)
	if err != nil {
		return "", ci.Errorf(ci.CodeInvalid, "the tag %q can't be asked for: %w", tag, err)
	}
	var found struct {
		Commit struct {
			SHA string `json:"sha"`
		} `json:"commit"`
	}
	if _, err := client.Do(ctx, req, &found); err != nil {
		return "", app.Explain(err, "look up the tag")
	}
	if !ci.ValidCommit(found.Commit.SHA) {
		return "", ci.Errorf(ci.CodeInvalid, "the forge names no commit for the tag %q", tag)
	}
	return found.Commit.SHA, nil
}
