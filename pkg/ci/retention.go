package ci

import "time"

// Keep says how much of what done runs leave is kept, of each kind. A kind
// that is nil is not spoken of: a job that does not speak of one is kept by
// what the configuration says.
type Keep struct {
	// Runs are whole runs: the record with its results and its console.
	Runs *Limits
	// Results are the files that runs have saved. The record stays, and says when they went.
	Results *Limits
	// Console is what runs have printed. The record stays, and says when it went.
	Console *Limits
}

// Limits say how much of one kind is kept. 0 is no limit, and what one limit
// does not want goes, whatever the others say.
type Limits struct {
	// Age is how long after a run's end.
	Age Duration
	// Count is of how many runs: the newest.
	Count int
	// Bytes is how much in all: the newest that fit. Of one job, the newest is kept
	// in any case. They are counted as the API shows them; on the disk consoles are smaller.
	Bytes int64
}

// None says that nothing is limited.
func (l *Limits) None() bool { return l == nil || *l == Limits{} }

// Kept is a kind of what is kept for a while.
type Kept string

// The kinds.
const (
	KeptRun     Kept = "run"     // a whole run
	KeptResults Kept = "results" // all results of a run
	KeptConsole Kept = "console" // the console of a run
)

// Kinds lists the kinds in the order in which they are looked at.
var Kinds = []Kept{KeptRun, KeptResults, KeptConsole}

// Of returns the limits of a kind; nil when it is not spoken of.
func (k *Keep) Of(what Kept) *Limits {
	switch {
	case k == nil:
		return nil
	case what == KeptRun:
		return k.Runs
	case what == KeptResults:
		return k.Results
	}
	return k.Console
}

// Key is how a kind is called in Keep, for people.
func (k Kept) Key() string {
	if k == KeptRun {
		return "runs"
	}
	return string(k)
}

// Expiry is something that is kept no longer, and why.
type Expiry struct {
	RunRef
	What Kept
	// Bytes are what goes with it.
	Bytes int64
	Done  time.Time // when the run ended
	// Reason is which limit does not want it, in a few words.
	Reason string
	// Kept says why it stays all the same, in a few words; "" when it goes.
	Kept string
}

// Amount is how much of something there is.
type Amount struct {
	Count int
	Bytes int64
}

// RetentionPlan is what would go now.
type RetentionPlan struct {
	// Runs, Results and Console are how much would go of each kind. What goes with
	// a whole run counts there alone.
	Runs, Results, Console Amount
	// Kept is what no limit wants and that stays all the same.
	Kept Amount
	// Items are the first of them, those that stay included.
	Items []Expiry
	// More says that there is more than was looked at.
	More bool
}

// Add counts an item.
func (p *RetentionPlan) Add(x Expiry) {
	into := &p.Kept
	switch {
	case x.Kept != "":
	case x.What == KeptRun:
		into = &p.Runs
	case x.What == KeptResults:
		into = &p.Results
	default:
		into = &p.Console
	}
	into.Count++
	into.Bytes += x.Bytes
}

// Pin keeps a run, and all that it has, until a moment, whatever the limits say.
type Pin struct {
	// Name tells the pins of one run apart.
	Name string
	// Reason says for people why.
	Reason string
	// Until is when it ends by itself.
	Until time.Time
	// By is the name of the token that has set it.
	By string
}

const (
	// MaxPins is how many pins one run has at the most.
	MaxPins = 100
	// MaxPinFor is how far ahead a pin may end.
	MaxPinFor = 10 * 366 * 24 * time.Hour
	// MaxPinFor of those that may only trigger: as long as a pipeline lasts, and some more.
	MaxTriggerPinFor = 62 * 24 * time.Hour
	maxPinReason     = 1 << 10
	longest          = 100 * 365 * 24 * time.Hour
	mostRuns         = 1_000_000_000
	mostBytes        = 1 << 50
)

// Validate checks a pin; now is when it is set.
func (p *Pin) Validate(now time.Time) error {
	var f faults
	checkName(&f, "name", p.Name)
	checkText(&f, "reason", p.Reason, maxPinReason)
	switch {
	case p.Until.IsZero():
		f.add("until", "is missing; a pin ends at some time, for example %s", now.Add(30*24*time.Hour).Format(time.RFC3339))
	case !p.Until.After(now):
		f.add("until", "is over already")
	case p.Until.Sub(now) > MaxPinFor:
		f.add("until", "is more than ten years ahead")
	}
	return f.err("the pin")
}

func checkKeep(f *faults, at string, k *Keep, age bool) {
	for _, what := range Kinds {
		if l := k.Of(what); l != nil {
			l.check(f, at+"."+what.Key(), age)
		}
	}
}

func (l *Limits) check(f *faults, at string, age bool) {
	switch {
	case l.Age == 0:
	case !age:
		f.add(at+".age", "is limited job by job: keep says for how long, and retention is the bound for all")
	default:
		checkRange(f, at+".age", time.Duration(l.Age), time.Minute, longest)
	}
	if l.Count < 0 || l.Count > mostRuns {
		f.add(at+".count", "%d is not between 0 and %d", l.Count, mostRuns)
	}
	if l.Bytes < 0 || l.Bytes > mostBytes {
		f.add(at+".bytes", "%d is not between 0 and %d", l.Bytes, int64(mostBytes))
	}
}

// ConsoleExpired is the error of who wants to read a console that is kept no
// longer; nil while it is there.
func (r *Run) ConsoleExpired() error {
	return r.expired("console", KeptConsole, r.ConsoleExpiredAt)
}

// ResultsExpired is the same for the run's results.
func (r *Run) ResultsExpired() error {
	return r.expired("results", KeptResults, r.ResultsExpiredAt)
}

func (r *Run) expired(what string, kind Kept, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	return Errorf(CodeExpired, "the %s of run %d of job %q went on %s: %s of the job or the configuration keeps no more. Run it again (ci rerun %s), and keep later ones for longer (keep.%s), or pin them (ci pin)",
		what, r.ID, r.Job, at.UTC().Format("2006-01-02 15:04 MST"), "keep."+kind.Key(), RunRef{r.Job, r.ID}, kind.Key())
}
