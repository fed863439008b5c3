package ci

// Status is what clients see of a run's progress.
type Status string

// The two statuses. A done run never changes again.
const (
	StatusInProgress Status = "in_progress"
	StatusDone       Status = "done"
)

// Phase is where a run in progress stands. A done run keeps the phase it
// ended in, so that one can see how far it came.
type Phase string

// The phases, in their order.
const (
	PhasePlanning   Phase = "planning"   // any cid resolves the commit and reads the job file
	PhaseQueued     Phase = "queued"     // nobody holds it; a message waits in the queue
	PhasePreparing  Phase = "preparing"  // an agent has claimed it: checkout, image
	PhaseRunning    Phase = "running"    // the agent runs the script
	PhaseCollecting Phase = "collecting" // the agent packs results and the last of the console
)

// Phases lists all phases in their order.
var Phases = []Phase{PhasePlanning, PhaseQueued, PhasePreparing, PhaseRunning, PhaseCollecting}

// Outcome says how a done run ended.
type Outcome string

// The outcomes.
const (
	OutcomeSucceeded Outcome = "succeeded" // the script exited 0
	OutcomeFailed    Outcome = "failed"    // the script exited with another status
	OutcomeError     Outcome = "error"     // the run could not be carried out as described
	OutcomeAborted   Outcome = "aborted"   // somebody asked for its end
	OutcomeTimedOut  Outcome = "timed_out" // it was not done by its deadline
	OutcomeLost      Outcome = "lost"      // its agent went away, and the script may have begun
)

// Outcomes lists all outcomes.
var Outcomes = []Outcome{OutcomeSucceeded, OutcomeFailed, OutcomeError, OutcomeAborted, OutcomeTimedOut, OutcomeLost}

// State is what a transition goes from and to: a phase while in progress, an
// outcome once done. Exactly one of the two is set.
type State struct {
	Phase   Phase
	Outcome Outcome
}

// Transition is one allowed move of a run.
type Transition struct {
	From Phase
	To   State
	// By names who makes the move.
	By string
	// When says in words what makes it happen.
	When string
}

// Transitions is the whole state machine. The engine refuses every other
// move, the SQL guards each with `WHERE phase = From`, and docs/states.md is
// generated from it.
var Transitions = []Transition{
	{PhasePlanning, State{Phase: PhaseQueued}, "any cid", "the commit is known and the job file is valid"},
	{PhasePlanning, State{Outcome: OutcomeError}, "any cid", "no such branch, commit or file; an invalid job file; the git host is away for too long"},
	{PhasePlanning, State{Outcome: OutcomeAborted}, "any cid", "abort"},
	{PhaseQueued, State{Phase: PhasePreparing}, "one agent", "the agent claims it"},
	{PhaseQueued, State{Outcome: OutcomeAborted}, "any cid", "abort"},
	{PhasePreparing, State{Phase: PhaseRunning}, "its agent", "the script has begun"},
	{PhasePreparing, State{Outcome: OutcomeError}, "its agent", "checkout, image or container could not be had"},
	{PhasePreparing, State{Outcome: OutcomeAborted}, "its agent", "abort"},
	{PhasePreparing, State{Outcome: OutcomeTimedOut}, "its agent, or any cid", "its deadline passed"},
	{PhasePreparing, State{Outcome: OutcomeLost}, "any cid", "its agent's lease ran out"},
	{PhaseRunning, State{Phase: PhaseCollecting}, "its agent", "the script has ended"},
	{PhaseRunning, State{Outcome: OutcomeError}, "its agent", "the container was lost"},
	{PhaseRunning, State{Outcome: OutcomeAborted}, "its agent", "abort"},
	{PhaseRunning, State{Outcome: OutcomeTimedOut}, "its agent, or any cid", "its deadline passed"},
	{PhaseRunning, State{Outcome: OutcomeLost}, "any cid", "its agent's lease ran out"},
	{PhaseRunning, State{Outcome: OutcomeSucceeded}, "its agent", "exit status 0, no results to collect"},
	{PhaseRunning, State{Outcome: OutcomeFailed}, "its agent", "another exit status, no results to collect"},
	{PhaseCollecting, State{Outcome: OutcomeSucceeded}, "its agent", "exit status 0"},
	{PhaseCollecting, State{Outcome: OutcomeFailed}, "its agent", "another exit status"},
	{PhaseCollecting, State{Outcome: OutcomeError}, "its agent", "results could not be stored, or are over their limits"},
	{PhaseCollecting, State{Outcome: OutcomeAborted}, "its agent", "abort"},
	{PhaseCollecting, State{Outcome: OutcomeTimedOut}, "its agent, or any cid", "the script ran into its deadline"},
	{PhaseCollecting, State{Outcome: OutcomeLost}, "any cid", "its agent's lease ran out"},
}

// Allowed says whether a run in phase from may move to state to.
func Allowed(from Phase, to State) bool {
	for _, t := range Transitions {
		if t.From == from && t.To == to {
			return true
		}
	}
	return false
}

// PhasesBefore returns the phases from which to can be reached, in order.
func PhasesBefore(to State) []Phase {
	var from []Phase
	for _, p := range Phases {
		if Allowed(p, to) {
			from = append(from, p)
		}
	}
	return from
}
