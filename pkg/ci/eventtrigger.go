package ci

import (
	"slices"
	"strings"
	"time"
)

// EventKind is a kind of event that starts runs.
type EventKind string

// The kinds of events.
const (
	EventPush        EventKind = "push"         // commits came to a branch
	EventPullRequest EventKind = "pull_request" // opened, reopened, or its head moved
	EventTag         EventKind = "tag"          // a tag was made
	EventRelease     EventKind = "release"      // a release was published
	EventCheckRerun  EventKind = "check_rerun"  // somebody asked for the check again
	EventComment     EventKind = "comment"      // a command in a comment on a pull request
)

// EventKinds lists all kinds of events.
var EventKinds = []EventKind{EventPush, EventPullRequest, EventTag, EventRelease, EventCheckRerun, EventComment}

// DefaultEvents is what a trigger that names none listens to.
var DefaultEvents = []EventKind{EventPush, EventPullRequest, EventCheckRerun, EventComment}

// ForkPolicy says what becomes of pull requests from forks. Whatever it says,
// their runs get no secrets, no SSH agent and no token.
type ForkPolicy string

// The policies.
const (
	ForksBase     ForkPolicy = "base"     // they run at once, by the job file of the base branch
	ForksApproval ForkPolicy = "approval" // they wait until a person with write access lets that commit run
	ForksNever    ForkPolicy = "never"    // they don't run
)

// ForkPolicies lists all policies.
var ForkPolicies = []ForkPolicy{ForksBase, ForksApproval, ForksNever}

// EventTrigger starts a job's runs at events of a repository. Jobs know nothing of it.
type EventTrigger struct {
	// Name is the name of the check, too.
	Name string
	// Forge is the name of the forge; "" means "github".
	Forge string
	// Repository is "owner/name". RepositoryID is the number that the forge
	// knows it by; 0 is filled in at the first event, and from then on counts alone.
	Repository   string
	RepositoryID int64
	// Events are the kinds of events; none means DefaultEvents.
	Events []EventKind
	// Branches, Tags and Paths are globs (`*` within a part, `**` over parts; a
	// leading `!` excludes what an earlier one took). None accepts all. For a
	// pull request the branch is its base; paths are those of changed files.
	Branches []string
	Tags     []string
	Paths    []string
	Job      string
	// Parameters of the runs. A value may hold ${event}, ${sha}, ${branch},
	// ${base}, ${tag}, ${pull}, ${repository} and ${sender}.
	Parameters map[string]string
	Priority   Priority // "" means normal
	Forks      ForkPolicy
	// Supersede aborts older runs of the same pull request or branch when a newer commit comes.
	Supersede bool
	// Version grows with each replace. The first is 1.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Limits of an event trigger.
const (
	maxGlobs   = 100
	maxGlobLen = 500
)

// EventPlaceholders are what the values of parameters may hold.
var EventPlaceholders = []string{"event", "sha", "branch", "base", "tag", "pull", "repository", "sender"}

// Defaults fills in what may be left out.
func (t *EventTrigger) Defaults() {
	if t.Forge == "" {
		t.Forge = string(ForgeGitHub)
	}
	if len(t.Events) == 0 {
		t.Events = slices.Clone(DefaultEvents)
	}
	if t.Forks == "" {
		t.Forks = ForksBase
	}
	if t.Priority == "" {
		t.Priority = PriorityNormal
	}
}

// Validate checks the trigger alone; whether its job is there, and takes its
// parameters, is checked beside.
func (t *EventTrigger) Validate() error {
	var f faults
	checkName(&f, "name", t.Name)
	checkName(&f, "forge", t.Forge)
	checkName(&f, "job", t.Job)
	if !ValidFullName(t.Repository) {
		f.add("repository", "%q is not a repository's name as the forge shows it: owner/name", t.Repository)
	}
	if t.RepositoryID < 0 {
		f.add("repositoryId", "%d is not a repository's number", t.RepositoryID)
	}
	for i, e := range t.Events {
		if !slices.Contains(EventKinds, e) {
			f.add(path("events", i), "%q is not one of %v", e, EventKinds)
		}
	}
	if !slices.Contains(ForkPolicies, t.Forks) {
		f.add("forks", "%q is not one of %v", t.Forks, ForkPolicies)
	}
	if !slices.Contains(Priorities, t.Priority) {
		f.add("priority", "%q is neither normal nor urgent", t.Priority)
	}
	checkGlobs(&f, "branches", t.Branches)
	checkGlobs(&f, "tags", t.Tags)
	checkGlobs(&f, "paths", t.Paths)
	checkEventParameters(&f, t.Parameters)
	return f.err("the trigger")
}

func checkGlobs(f *faults, list string, globs []string) {
	if len(globs) > maxGlobs {
		f.add(list, "has %d entries; at most %d are allowed", len(globs), maxGlobs)
	}
	for i, g := range globs {
		if bare := strings.TrimPrefix(g, "!"); bare == "" || len(g) > maxGlobLen || !clean(g) {
			f.add(path(list, i), "must have 1 to %d bytes of printable text", maxGlobLen)
		}
	}
}

func checkEventParameters(f *faults, values map[string]string) {
	if len(values) > MaxParameters {
		f.add("parameters", "has %d entries; at most %d are allowed", len(values), MaxParameters)
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at := "parameters." + name
		checkEnvName(f, at, name)
		checkText(f, at, values[name], MaxParameterValue)
		for rest := values[name]; ; {
			_, after, found := strings.Cut(rest, "${")
			if !found {
				break
			}
			word, _, closed := strings.Cut(after, "}")
			if !closed || !slices.Contains(EventPlaceholders, word) {
				f.add(at, "holds ${…} with something else than %s", strings.Join(EventPlaceholders, ", "))
				break
			}
			rest = after[len(word):]
		}
	}
}

// Listens says whether the trigger starts runs at events of a kind.
func (t *EventTrigger) Listens(kind EventKind) bool { return slices.Contains(t.Events, kind) }

// Fill returns the parameters with what they say of the event put in. A value
// that would get too long is cut: what comes from a forge has no bounds of ours.
func (t *EventTrigger) Fill(words map[string]string) map[string]string {
	pairs := make([]string, 0, 2*len(words))
	for _, name := range EventPlaceholders {
		pairs = append(pairs, "${"+name+"}", strings.ReplaceAll(strings.ToValidUTF8(words[name], "\uFFFD"), "\x00", ""))
	}
	replacer := strings.NewReplacer(pairs...)
	filled := make(map[string]string, len(t.Parameters))
	for name, value := range t.Parameters {
		value = replacer.Replace(value)
		filled[name] = strings.ToValidUTF8(value[:min(len(value), MaxParameterValue)], "")
	}
	return filled
}
