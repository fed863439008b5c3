package event

import (
	"fmt"
	"strconv"

	"ci/pkg/ci"
)

// The parts of GitHub's payloads that count:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads.
type ghRepo struct {
	ID       int64  `json:"id"`
	FullName string `json:"full_name"`
}

type ghUser struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
}

type ghSide struct {
	Ref  string  `json:"ref"`
	SHA  string  `json:"sha"`
	Repo *ghRepo `json:"repo"` // null when a fork was deleted
}

type ghPull struct {
	Number int    `json:"number"`
	Head   ghSide `json:"head"`
	Base   ghSide `json:"base"`
}

type ghCommit struct {
	ID       string   `json:"id"`
	Message  string   `json:"message"`
	Added    []string `json:"added"`
	Modified []string `json:"modified"`
	Removed  []string `json:"removed"`
}

type ghHead struct {
	Action       string `json:"action"`
	Installation *struct {
		ID int64 `json:"id"`
	} `json:"installation"`
	Repository *ghRepo `json:"repository"`
	Sender     *ghUser `json:"sender"`
}

func (h *ghHead) event() Event {
	e := Event{Action: h.Action}
	if h.Installation != nil {
		e.Installation = h.Installation.ID
	}
	if h.Repository != nil {
		e.Repository, e.FullName = h.Repository.ID, h.Repository.FullName
	}
	if h.Sender != nil {
		e.Sender = ci.Person{ID: h.Sender.ID, Login: h.Sender.Login}
	}
	return e
}

func parseGitHub(name string, body []byte) Event {
	parts := map[string]func(Event, []byte) Event{
		"push": githubPush, "pull_request": githubPull, "release": githubRelease,
		"check_run": githubCheckRun, "check_suite": githubCheckSuite, "issue_comment": githubComment,
	}
	part, known := parts[name]
	switch {
	case name == "ping":
		return ignored(Event{}, "a ping: the forge reaches this server")
	case !known:
		return ignored(loose(body), fmt.Sprintf("no trigger listens to %s events", name))
	}
	var h ghHead
	if why := decode(body, &h); why != "" {
		return ignored(Event{}, why)
	}
	return part(h.event(), body)
}

// loose reads of an event that means nothing what helps people to find it.
func loose(body []byte) Event {
	var h ghHead
	if decode(body, &h) != "" {
		return Event{}
	}
	return h.event()
}

func githubPush(e Event, body []byte) Event {
	var p struct {
		Ref        string    `json:"ref"`
		Before     string    `json:"before"`
		After      string    `json:"after"`
		Deleted    bool      `json:"deleted"`
		HeadCommit *ghCommit `json:"head_commit"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	switch {
	case !e.ref(p.Ref):
		return ignored(e, "the push is neither to a branch nor to a tag")
	case p.Deleted || zero(p.After):
		return ignored(e, p.Ref+" was deleted")
	case p.HeadCommit != nil && skipped(p.HeadCommit.Message):
		return ignored(e, "the commit's message says [skip ci]")
	}
	e.HeadSHA = p.After
	if p.HeadCommit != nil && p.HeadCommit.ID != "" {
		e.HeadSHA = p.HeadCommit.ID // of an annotated tag, after is the tag's own id
	}
	if !zero(p.Before) {
		e.Before = p.Before
	}
	return e
}

func githubPull(e Event, body []byte) Event {
	var p struct {
		Pull    ghPull `json:"pull_request"`
		Changes struct {
			Base *struct{} `json:"base"`
		} `json:"changes"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	head, base := p.Pull.Head, p.Pull.Base
	fork := head.Repo == nil || base.Repo == nil || head.Repo.ID != base.Repo.ID
	FromPull(&e, p.Pull.Number, head.SHA, head.Ref, base.SHA, base.Ref, fork)
	switch {
	case e.Action == "closed":
		e.Closed = true
	case e.Action == "edited" && p.Changes.Base != nil: // another base, so another merge
	case e.Action != "opened" && e.Action != "reopened" && e.Action != "synchronize":
		return ignored(e, fmt.Sprintf("a pull request that is %s has no new commit", e.Action))
	}
	return e
}

// FromPull fills in what is known of a pull request.
func FromPull(e *Event, number int, head, branch, baseSHA, base string, fork bool) {
	e.Kind, e.Pull, e.HeadSHA, e.Branch, e.Before, e.Base, e.Fork = ci.EventPullRequest, number, head, branch, baseSHA, base, fork
}

func githubRelease(e Event, body []byte) Event {
	var p struct {
		Release struct {
			TagName string `json:"tag_name"`
		} `json:"release"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	if e.Action != "published" {
		return ignored(e, fmt.Sprintf("a release that is %s starts nothing; one that is published does", e.Action))
	}
	e.Kind, e.Tag, e.Ref = ci.EventRelease, p.Release.TagName, "refs/tags/"+p.Release.TagName
	return e
}

func githubCheckRun(e Event, body []byte) Event {
	var p struct {
		CheckRun struct {
			ExternalID string `json:"external_id"`
			HeadSHA    string `json:"head_sha"`
			Name       string `json:"name"`
		} `json:"check_run"`
		RequestedAction struct {
			Identifier string `json:"identifier"`
		} `json:"requested_action"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	e.HeadSHA, e.Kind, e.Only = p.CheckRun.HeadSHA, ci.EventCheckRerun, p.CheckRun.Name
	e.Run, _ = strconv.ParseInt(p.CheckRun.ExternalID, 10, 64)
	switch e.Action {
	case "rerequested":
		e.Wish = WishRerun
	case "requested_action":
		e.Wish = Wish(p.RequestedAction.Identifier)
	default:
		return ignored(e, fmt.Sprintf("a check run that is %s asks for nothing", e.Action))
	}
	switch {
	case e.Wish == WishApprove: // of a check that has no run yet
	case e.Wish != WishRerun && e.Wish != WishAbort:
		return ignored(e, "the check's action is none of ours")
	case e.Run <= 0:
		return ignored(e, "the check run is not of a run of this server")
	}
	return e
}

func githubCheckSuite(e Event, body []byte) Event {
	var p struct {
		CheckSuite struct {
			HeadSHA string `json:"head_sha"`
		} `json:"check_suite"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	if e.Action != "rerequested" {
		return ignored(e, fmt.Sprintf("a check suite that is %s starts nothing: pushes and pull requests do", e.Action))
	}
	e.Kind, e.Wish, e.HeadSHA = ci.EventCheckRerun, WishRerun, p.CheckSuite.HeadSHA
	return e
}

func githubComment(e Event, body []byte) Event {
	var p struct {
		Issue struct {
			Number int       `json:"number"`
			Pull   *struct{} `json:"pull_request"`
		} `json:"issue"`
		Comment struct {
			Body string `json:"body"`
			User ghUser `json:"user"`
		} `json:"comment"`
	}
	if why := decode(body, &p); why != "" {
		return ignored(e, why)
	}
	switch {
	case e.Action != "created":
		return ignored(e, fmt.Sprintf("a comment that is %s commands nothing", e.Action))
	case p.Issue.Pull == nil:
		return ignored(e, "the comment is on an issue, not on a pull request")
	case !e.command(p.Comment.Body):
		return ignored(e, "the comment is no command: /ci run, /ci abort or /ci approve COMMIT")
	case p.Comment.User.ID != e.Sender.ID:
		return ignored(e, "the comment was not written by who sent it")
	}
	e.Pull = p.Issue.Number
	return e
}
