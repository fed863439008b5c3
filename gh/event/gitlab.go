package event

import (
	"fmt"

	"ci/pkg/ci"
)

// The parts of GitLab's payloads that count:
// https://docs.gitlab.com/user/project/integrations/webhook_events/.
type glHead struct {
	Kind    string `json:"object_kind"`
	Project *struct {
		ID   int64  `json:"id"`
		Path string `json:"path_with_namespace"`
	} `json:"project"`
	UserID int64  `json:"user_id"`
	Login  string `json:"user_username"`
	User   *struct {
		ID    int64  `json:"id"`
		Login string `json:"username"`
	} `json:"user"`
}

// parseGitLab goes by object_kind: the header says the same in prose.
func parseGitLab(name string, body []byte) Event {
	var kind struct {
		Kind string `json:"object_kind"`
	}
	if why := decode(body, &kind); why != "" {
		return ignored(Event{}, why)
	}
	parts := map[string]func(Event, []byte) Event{
		"push": gitlabPush, "tag_push": gitlabPush, "merge_request": gitlabMerge, "release": gitlabRelease,
	}
	part, known := parts[kind.Kind]
	if !known {
		return ignored(Event{}, fmt.Sprintf("no trigger listens to %s events", name))
	}
	var h glHead
	if why := decode(body, &h); why != "" {
		return ignored(Event{}, why)
	}
	e := Event{Sender: ci.Person{ID: h.UserID, Login: h.Login}}
	if h.Project != nil {
		e.Repository, e.FullName = h.Project.ID, h.Project.Path
	}
	if h.User != nil {
		e.Sender = ci.Person{ID: h.User.ID, Login: h.User.Login}
	}
	return part(e, body)
}

func gitlabPush(e Event, body []byte) Event {
	var p struct {
		Ref      string     `json:"ref"`
		Before   string     `json:"before"`
		After    string     `json:"after"`
		Checkout string     `json:"checkout_sha"`
		Commits  []ghCommit `json:"commits"`
		Total    int        `json:"total_commits_count"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	switch {
	case !e.ref(p.Ref):
		return ignored(e, "the push is neither to a branch nor to a tag")
	case zero(p.After):
		return ignored(e, p.Ref+" was deleted")
	case len(p.Commits) > 0 && skipped(p.Commits[len(p.Commits)-1].Message):
		return ignored(e, "the commit's message says [skip ci]")
	}
	e.HeadSHA, e.Before = p.After, p.Before
	if p.Checkout != "" {
		e.HeadSHA = p.Checkout // of an annotated tag, after is the tag's own id
	}
	if zero(e.Before) {
		e.Before = ""
	}
	e.Changed, e.Whole = changed(p.Commits), p.Total > 0 && p.Total == len(p.Commits)
	return e
}

func gitlabMerge(e Event, body []byte) Event {
	var p struct {
		Merge struct {
			Number     int    `json:"iid"`
			Action     string `json:"action"`
			Old        string `json:"oldrev"` // only where the head moved
			Source     int64  `json:"source_project_id"`
			Target     int64  `json:"target_project_id"`
			Branch     string `json:"source_branch"`
			Base       string `json:"target_branch"`
			LastCommit struct {
				ID string `json:"id"`
			} `json:"last_commit"`
		} `json:"object_attributes"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	m := p.Merge
	e.Action = m.Action
	FromPull(&e, m.Number, m.LastCommit.ID, m.Branch, "", m.Base, m.Source != m.Target)
	switch {
	case m.Action == "close" || m.Action == "merge":
		e.Closed = true
	case m.Action != "open" && m.Action != "reopen" && (m.Action != "update" || m.Old == ""):
		return ignored(e, fmt.Sprintf("a merge request whose action is %q has no new commit", m.Action))
	}
	return e
}

func gitlabRelease(e Event, body []byte) Event {
	var p struct {
		Action string `json:"action"`
		Tag    string `json:"tag"`
		Commit struct {
			ID string `json:"id"`
		} `json:"commit"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	e.Action = p.Action
	if p.Action != "create" {
		return ignored(e, fmt.Sprintf("a release whose action is %q starts nothing; a new one does", p.Action))
	}
	e.Kind, e.Tag, e.Ref, e.HeadSHA = ci.EventRelease, p.Tag, "refs/tags/"+p.Tag, p.Commit.ID
	return e
}
