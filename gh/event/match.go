package event

import (
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"ci/pkg/ci"
)

// Accepts says whether the last of globs that matches name takes it. None, or a
// first one that excludes, begins by taking all.
func Accepts(globs []string, name string) bool {
	yes := len(globs) == 0 || strings.HasPrefix(globs[0], "!")
	for _, g := range globs {
		bare, excludes := strings.CutPrefix(g, "!")
		if ok, err := doublestar.Match(bare, name); err == nil && ok {
			yes = !excludes
		}
	}
	return yes
}

// AnyAccepted says whether one of the files is taken.
func AnyAccepted(globs, files []string) bool {
	for _, f := range files {
		if Accepts(globs, f) {
			return true
		}
	}
	return false
}

// Refuses says in the end of a sentence why a trigger does not take the event;
// "" when it does. The changed files are not looked at.
func (e *Event) Refuses(t *ci.EventTrigger) string {
	kind, branch := e.Kind, e.Branch
	if kind == ci.EventComment && !t.Listens(kind) {
		return "does not listen to comments"
	}
	if e.Wish != "" {
		kind = ci.EventPullRequest // a person's word stands for the pull request that it is on
	}
	if e.Pull != 0 {
		branch = e.Base
	}
	switch {
	case !t.Listens(kind):
		return "does not listen to " + string(kind)
	case e.Only != "" && e.Only != t.Name:
		return "was not named"
	case branch != "" && !Accepts(t.Branches, branch):
		return "does not take the branch"
	case e.Tag != "" && !Accepts(t.Tags, e.Tag):
		return "does not take the tag"
	}
	return ""
}

// Words are what a trigger's parameters may hold of the event.
func Words(o *ci.Origin) map[string]string {
	w := map[string]string{
		"event": string(o.Event), "sha": o.HeadSHA, "branch": o.Branch, "base": o.Base, "tag": o.Tag,
		"repository": o.FullName, "sender": o.Sender.Login,
	}
	if o.Pull != 0 {
		w["pull"] = strconv.Itoa(o.Pull)
	}
	return w
}
