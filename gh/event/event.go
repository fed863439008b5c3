// Package event reads what forges tell: a delivery's JSON becomes an Event in
// our own words, or a sentence that says why there is nothing to do. It
// believes nothing: who somebody is, is a number; names are text.
package event

import (
	"encoding/json"
	"strings"

	"ci/pkg/ci"
)

// Wish is what a person asks of a run that there is, or of a commit.
type Wish string

// The wishes.
const (
	WishRerun   Wish = "rerun"
	WishAbort   Wish = "abort"
	WishApprove Wish = "approve"
	WishRun     Wish = "run" // a command for what an event would have started by itself
)

// Event is what happened at a repository.
type Event struct {
	// Kind is what triggers listen to; "" when there is nothing to do, and then Ignored says why.
	Kind    ci.EventKind
	Ignored string
	// Action is the forge's own word for the kind of the event, for the record.
	Action string

	Installation int64
	Repository   int64
	FullName     string
	Sender       ci.Person

	// HeadSHA is the commit; "" where it has to be looked up (releases, commands).
	HeadSHA string
	// Before is what a push replaced, or the base of a pull request; "" for what is new.
	Before string
	Ref    string
	Branch string
	Base   string
	Tag    string
	Pull   int
	Fork   bool
	// Closed says that a pull request was closed: its runs are not wanted any more.
	Closed bool

	// Wish, and of whom: a run by its id, or a commit, or all triggers.
	Wish Wish
	// Run is the run of the check that somebody used; 0 for all of HeadSHA.
	Run int64
	// Only is the one trigger that a command names; "" for all.
	Only string

	// Changed are the files that the delivery itself names; Whole says that
	// there are no others.
	Changed []string
	Whole   bool
}

// ignored is an event of which nothing comes.
func ignored(e Event, why string) Event {
	e.Kind, e.Ignored = "", why
	return e
}

// Parse reads a delivery of a forge of some kind. name is the event's own name,
// as the forge's header says. Whatever the body holds, there is an answer.
func Parse(kind ci.ForgeKind, name string, body []byte) Event {
	var e Event
	switch kind {
	case ci.ForgeGitHub:
		e = parseGitHub(name, body)
	case ci.ForgeGitea:
		e = parseGitea(name, body)
	case ci.ForgeGitLab:
		e = parseGitLab(name, body)
	default:
		e = ignored(e, "nobody knows how to read webhooks of "+string(kind))
	}
	return checked(e)
}

// checked refuses what no honest forge says.
func checked(e Event) Event {
	commit := e.HeadSHA
	if e.Kind == ci.EventComment {
		commit = "" // a word that a person has written
	}
	switch {
	case e.Kind == "":
		return e
	case e.Repository <= 0 || !ci.ValidFullName(e.FullName):
		return ignored(e, "it names no repository")
	case commit != "" && !ci.ValidCommit(commit):
		return ignored(e, "its commit is no full commit id")
	case e.Branch != "" && !ci.ValidBranch(e.Branch):
		return ignored(e, "its branch has a name that is refused here, since programs could take it for something else")
	case e.Base != "" && !ci.ValidBranch(e.Base):
		return ignored(e, "its base branch has a name that is refused here, since programs could take it for something else")
	case e.Tag != "" && !ci.ValidBranch(e.Tag):
		return ignored(e, "its tag has a name that is refused here, since programs could take it for something else")
	}
	if !ci.ValidCommit(e.Before) {
		e.Before = ""
	}
	return e
}

// decode reads JSON of which only some fields are of interest.
func decode(body []byte, into any) string {
	if err := json.Unmarshal(body, into); err != nil {
		text := err.Error()
		return "its body is not the JSON that the event has: " + strings.ToValidUTF8(text[:min(len(text), 200)], "")
	}
	return ""
}

// zero says whether a commit id stands for none.
func zero(sha string) bool { return strings.Trim(sha, "0") == "" }

// skipped says whether a commit's message asks for no run.
func skipped(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "[skip ci]") || strings.Contains(m, "[ci skip]")
}

// ref fills in what was pushed to, and says whether it is a branch or a tag.
func (e *Event) ref(ref string) bool {
	e.Ref = ref
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		e.Kind, e.Branch = ci.EventPush, branch
		return true
	}
	if tag, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
		e.Kind, e.Tag = ci.EventTag, tag
		return true
	}
	return false
}

// command reads the first line of a comment: "/ci run [TRIGGER]", "/ci abort
// [TRIGGER]" or "/ci approve COMMIT", the whole id. ok is false for all other comments.
func (e *Event) command(text string) (ok bool) {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	words := strings.Fields(line)
	if len(words) < 2 || len(words) > 3 || words[0] != "/ci" {
		return false
	}
	argument := ""
	if len(words) == 3 {
		argument = words[2]
	}
	switch words[1] {
	case "run", "rerun", "retest":
		e.Wish, e.Only = WishRun, argument
	case "abort":
		e.Wish, e.Only = WishAbort, argument
	case "approve":
		e.Wish, e.HeadSHA = WishApprove, strings.ToLower(argument)
	default:
		return false
	}
	e.Kind = ci.EventComment
	return true
}
