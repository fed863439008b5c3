package ci

import (
	"context"
	"errors"
	"time"
)

// Claim names one agent's hold on one run. Every word an agent says about a
// run carries it, and is refused when the run is not held by it any more.
type Claim struct {
	Run   int64
	Agent string
	// ID is a UUID that the agent makes for this one claim. A repeated claim with the same ID succeeds again.
	ID string
}

// ErrUnclaimed is in the chain of a claim's error that certainly left the run
// as it was. Without it, who has not got an answer may hold the run all the same.
var ErrUnclaimed = errors.New("nothing was claimed")

// Unclaimed adds ErrUnclaimed to err's chain. Code and sentence stay.
func Unclaimed(err error) error { return unclaimed{err} }

type unclaimed struct{ error }

// Unwrap returns what went wrong.
func (u unclaimed) Unwrap() error { return u.error }

// Is says that u is ErrUnclaimed too.
func (unclaimed) Is(target error) bool { return target == ErrUnclaimed }

// Work is what an agent gets for a claim: all it needs to carry out the run.
type Work struct {
	Run Run
	// Timeout is how long it may take from claim to the script's end: the
	// job's, capped by the global one.
	Timeout    time.Duration
	AbortGrace time.Duration
	// URL is the run's address for people; it becomes CI_RUN_URL.
	URL string
	// Secrets are the values of Spec.Env. They are kept in memory only, as is all that follows.
	Secrets map[string]string
	// SSH is the job's key; nil when it has none.
	SSH *SSHAccess
	// HTTP opens the run's repository, for the checkout alone; nil where nothing does.
	HTTP *HTTPAccess
	// Registries are the accounts for pulls.
	Registries []RegistryAccess
	// Token lets the script call the API while the run is in progress; "" unless Spec.CI.
	Token string
	// Limits of what it may store.
	MaxConsole     int64
	MaxResult      int64
	MaxResultFiles int
}

// Verdict is what a lease renewal says about one claim.
type Verdict struct {
	Run int64
	// Abort: somebody asked for its end.
	Abort bool
	// Gone: the claim holds no more (lost, or done); stop and drop everything.
	Gone bool
}

// End is how an agent says that a run ended.
type End struct {
	Outcome       Outcome
	Reason        string
	ExitCode      *int
	ScriptStarted bool
	Console       Console
	Steps         []Step
	Images        []RunImage
}

// Take asks for the next waiting run, claimed already.
type Take struct {
	Agent string
	// ID becomes the claim's. Until a run came under it, each further Take has the same.
	ID string
	// Lanes stand in order of preference. Without any, only a run that was
	// claimed under ID before is returned, and an earlier Take stops waiting.
	Lanes []Lane
	// Wait bounds how long it is waited for.
	Wait time.Duration
	// Hesitation lets other agents go first when a run comes in, for so long.
	Hesitation time.Duration
}

// Taken is a run that was claimed as it was handed out.
type Taken struct {
	Claim Claim
	Lane  Lane
	Work  *Work
	// Since is a moment of the reader's clock at which the lease had not begun yet.
	Since time.Time
}

// Terms is what the backend tells an agent that can't look by itself.
type Terms struct {
	// Agent is who it is to the backend.
	Agent string
	// Lease is how long a claim lives without a renewal.
	Lease   time.Duration
	Classes []Quota
	// Depths say since when the first run of each lane waits, and no more.
	Depths []QueueDepth
}

// Delivery is one message of the queue in an agent's hands. Exactly one of Ack
// and Nak is called: Ack once the run is claimed or not to be had, Nak to let
// another agent (or this one, later) have it.
type Delivery struct {
	Run  int64
	Lane Lane
	// Taken is the run with its claim, where the backend claims and settles the
	// message by itself: then there is nothing left to do but to carry it out.
	// nil leaves the claim to the agent.
	Taken *Taken
	Ack   func(context.Context) error
	// Nak gives it back after a delay.
	Nak func(context.Context, time.Duration) error
}
