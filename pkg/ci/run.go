package ci

import (
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Run is one execution of a job, from its trigger to its outcome. The
// database row is the truth about it; only backend/engine changes one.
type Run struct {
	// ID only grows, over all jobs. It fits 32 bits on the wire.
	ID  int64
	Job string
	// JobVersion is the version of the job that was triggered; Git and Spec are of that version.
	JobVersion int64

	Status  Status
	Phase   Phase
	Outcome Outcome // "" until done
	// Reason is a sentence for people: why it ended so, and what to do next. "" until done.
	Reason string
	// ExitCode is the script's, nil when it never ended by itself.
	ExitCode *int
	// ScriptStarted says whether any of the user's code began.
	ScriptStarted bool

	// CommitSHA is the full commit, in lower case; "" until planned, and for freestyle jobs.
	CommitSHA string
	// BranchName is the branch that was asked for, or that an event of a forge
	// was on; "" when a commit was, and for freestyle jobs.
	BranchName string
	// Parameters are all of the job's parameters with their values, defaults filled in.
	Parameters map[string]string
	Priority   Priority
	// TriggeredBy is the name of the token that triggered it.
	TriggeredBy string
	// Parent is the run whose script triggered it; nil if none did.
	Parent *RunRef
	// Origin is the event of a forge that it comes of; nil if none.
	Origin *Origin
	// Trace is who triggered it in a distributed trace; nil when nobody said, and no traces are sent.
	Trace *Trace

	// Git is where the checkout comes from; nil for freestyle jobs.
	Git *Git
	// Spec is the parsed job file; nil until planned.
	Spec *Spec
	// Class is the quota class that holds its resources; "" until planned.
	Class string

	// Agent is the id of the agent that claimed it, Claim the secret of that
	// one claim; both "" until claimed. Claim never leaves the backend and its agent.
	Agent string
	Claim string
	// LeaseUntil is when its agent has to have renewed it.
	LeaseUntil time.Time
	// Deadline is when any cid may end it as timed_out: claim time, timeout, and a margin for its agent to be first.
	Deadline time.Time
	// AbortRequestedAt is when somebody asked for its end; zero if nobody did.
	AbortRequestedAt time.Time

	Times   Times
	Console Console
	// ResultsExpiredAt and ConsoleExpiredAt are when its results and its console
	// went because they are kept no longer; zero while they are there. What is
	// told of them (sizes, digests) stays.
	ResultsExpiredAt time.Time
	ConsoleExpiredAt time.Time
	// Steps are the parts of its preparation, in the order in which they began,
	// and Images what it ran in. Both are known once it is done.
	Steps  []Step
	Images []RunImage
}

// RunRef names a run together with its job.
type RunRef struct {
	Job string `json:"job"`
	Run int64  `json:"run"`
}

// String is how people write it: "unit-test/12345".
func (r RunRef) String() string { return r.Job + "/" + strconv.FormatInt(r.Run, 10) }

// Step is one part of a run's preparation. Several may go on at once.
type Step struct {
	// Name is what was done: "checkout", "environment", "services", or a service's name after "service ".
	Name  string    `json:"name"`
	Began time.Time `json:"began"`
	Took  Duration  `json:"took"`
	// Detail says in a few words what came of it: "built", "cached", "pulled".
	Detail string `json:"detail,omitempty"`
}

// RunImage is an image that a run used.
type RunImage struct {
	// For is "environment" or the name of a service.
	For string `json:"for"`
	// Reference is what the job file says: an image's reference, or a Dockerfile's path.
	Reference string `json:"reference"`
	// Digest is the registry's digest of a pulled image, else the image's id: "sha256:…".
	Digest string `json:"digest"`
}

// Times is when each phase of a run began; zero for those it never reached.
type Times struct {
	Triggered  time.Time // the row was committed
	Queued     time.Time // planned: commit and job file are known
	Claimed    time.Time // an agent took it: preparing
	Started    time.Time // the script began: running
	Collecting time.Time // the script ended
	Done       time.Time
}

// PhaseTime is when a run was in a phase.
type PhaseTime struct {
	Phase    Phase
	From, To time.Time
}

// PhaseTimes are the phases that a done run went through, in their order.
func (r *Run) PhaseTimes() []PhaseTime {
	t := r.Times
	all := []PhaseTime{
		{PhasePlanning, t.Triggered, firstTime(t.Queued, t.Done)},
		{PhaseQueued, t.Queued, firstTime(t.Claimed, t.Done)},
		{PhasePreparing, t.Claimed, firstTime(t.Started, t.Done)},
		{PhaseRunning, t.Started, firstTime(t.Collecting, t.Done)},
		{PhaseCollecting, t.Collecting, t.Done},
	}
	return slices.DeleteFunc(all, func(p PhaseTime) bool { return p.From.IsZero() })
}

// firstTime returns the first time that is set.
func firstTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}

// Console is what is known of a run's console output.
type Console struct {
	Bytes int64
	// SHA256 is of all bytes, in hex. "" until the run is done, and for good
	// where they could not be read when it ended without its agent.
	SHA256 string
	// Truncated says that the run printed more than its limit.
	Truncated bool
}

// Priority orders the queue: all urgent runs of a class come before its normal ones.
type Priority string

// The priorities, most urgent first.
const (
	PriorityUrgent Priority = "urgent"
	PriorityNormal Priority = "normal"
)

// Priorities lists all priorities, most urgent first.
var Priorities = []Priority{PriorityUrgent, PriorityNormal}

// Trigger is a request for one run.
type Trigger struct {
	Job        string
	CommitSHA  string
	BranchName string
	Parameters map[string]string
	Priority   Priority // "" means normal
	// IdempotencyKey makes a repeated trigger return the first one's run; "" for none.
	IdempotencyKey string
	// By is the name of the token that triggers.
	By string
	// Parent is the run that triggers; nil for people and programs outside.
	Parent *RunRef
	// Origin is the event of a forge that triggers; nil for everybody else. With
	// it, CommitSHA and BranchName may both be given: the commit counts.
	Origin *Origin
	// Trace is who triggers in a distributed trace; nil for nobody who said. It says
	// nothing about the run that is wanted, so it is no part of what a repeated trigger has to have in common.
	Trace *Trace `json:"-"`
}

// MaxIdempotencyKey is the longest Idempotency-Key, in bytes.
const MaxIdempotencyKey = 255

var (
	commitSHA = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	badRef    = regexp.MustCompile(`[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)`)
)

// Validate checks the trigger alone; what the job says about it (is it a git
// job, which parameters has it) is checked by Values and the engine.
func (t *Trigger) Validate() error {
	var f faults
	if t.CommitSHA != "" && t.BranchName != "" && t.Origin == nil {
		f.add("commitSha", "give commitSha or branchName, not both")
	}
	if t.CommitSHA != "" && !commitSHA.MatchString(t.CommitSHA) {
		f.add("commitSha", "%q is not a full commit id: 40 (or 64) lower-case hexadecimal digits", t.CommitSHA)
	}
	if t.BranchName != "" && !ValidBranch(t.BranchName) {
		f.add("branchName", "%q is not a valid branch name (see git check-ref-format)", t.BranchName)
	}
	if t.Priority != "" && t.Priority != PriorityNormal && t.Priority != PriorityUrgent {
		f.add("priority", "%q is neither normal nor urgent", t.Priority)
	}
	if len(t.IdempotencyKey) > MaxIdempotencyKey || !clean(t.IdempotencyKey) {
		f.add("Idempotency-Key", "must be at most %d bytes of printable text", MaxIdempotencyKey)
	}
	return f.err("the trigger")
}

// ValidBranch follows git check-ref-format --branch, and refuses a leading
// '-' and "refs/" too: git(1) would read the one as an option and the other as
// a full ref.
func ValidBranch(name string) bool {
	if name == "" || len(name) > 250 || name == "@" || name == "HEAD" || !clean(name) || badRef.MatchString(name) {
		return false
	}
	first, last := name[0], name[len(name)-1]
	return first != '-' && first != '/' && first != '.' && last != '/' && last != '.' &&
		(len(name) < 5 || name[:5] != "refs/")
}

// ValidCommit says whether sha is a full commit id in lower case.
func ValidCommit(sha string) bool { return commitSHA.MatchString(sha) }

// Values returns every parameter of the job with the value that a run gets:
// the given one, or its default. Unknown and missing ones are an Error.
func (j *Job) Values(given map[string]string) (map[string]string, error) {
	var f faults
	values := make(map[string]string, len(j.Parameters))
	known := make([]string, 0, len(j.Parameters))
	for _, p := range j.Parameters {
		known = append(known, p.Name)
		v, ok := given[p.Name]
		if !ok {
			v = p.Default
			if p.Required {
				f.add("parameters."+p.Name, "is required by job %s and missing", j.Name)
			}
		}
		checkText(&f, "parameters."+p.Name, v, MaxParameterValue)
		values[p.Name] = v
	}
	unknown := make([]string, 0)
	for name := range given {
		if _, ok := values[name]; !ok {
			unknown = append(unknown, name)
		}
	}
	sort.Strings(unknown)
	sort.Strings(known)
	for _, name := range unknown {
		f.add("parameters."+name, "job %s has no such parameter; it has %s", j.Name, listed(known))
	}
	return values, f.err("the trigger")
}

// listed names names in a sentence.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Ref names the run.
func (r *Run) Ref() RunRef { return RunRef{Job: r.Job, Run: r.ID} }

// Done says whether the run has ended.
func (r *Run) Done() bool { return r.Status == StatusDone }

// RunFilter selects runs for a list. Empty fields select all.
type RunFilter struct {
	Job        string
	Status     Status
	Outcome    Outcome
	BranchName string
	CommitSHA  string
	Since      time.Time // triggered at or after
	// Parent selects the runs that this run triggered; 0 does not limit.
	Parent int64
	// Before is the page's upper end, exclusive: runs with a smaller id. 0 begins at the newest.
	Before int64
	// Jobs limits the list to these names, for limited tokens; nil does not limit.
	Jobs []string
}

// Until is what a caller waits for.
type Until string

// What can be waited for. Each is reached by every later state too.
const (
	UntilPlanned Until = "planned" // commit and job file are known
	UntilStarted Until = "started" // the script has begun
	UntilDone    Until = "done"
)

// Reached says whether the run is as far as u.
func (r *Run) Reached(u Until) bool {
	switch {
	case r.Done():
		return true
	case u == UntilPlanned:
		return r.Phase != PhasePlanning
	case u == UntilStarted:
		return r.ScriptStarted
	}
	return false
}
