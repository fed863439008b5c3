package ci

// CheckState is what a forge is told of a run.
type CheckState string

// The states, in their order. Nothing is told as "".
const (
	CheckQueued     CheckState = "queued"      // planning, or waiting for an agent
	CheckInProgress CheckState = "in_progress" // an agent has it
	CheckCompleted  CheckState = "completed"   // done, with an outcome
)

// CheckStates lists the states in their order.
var CheckStates = []CheckState{CheckQueued, CheckInProgress, CheckCompleted}

// CheckState is what a forge is to be told of the run now.
func (r *Run) CheckState() CheckState {
	switch {
	case r.Done():
		return CheckCompleted
	case r.Phase == PhasePlanning || r.Phase == PhaseQueued:
		return CheckQueued
	}
	return CheckInProgress
}

// OpenCheck is the order to show something at a forge, at Origin.HeadSHA under
// the name Origin.Trigger, until all is said. Exactly one of Run and Held is set.
type OpenCheck struct {
	Origin Origin
	Run    int64
	Held   *HeldCheck
}

// HeldCheck is shown where a run waits for somebody's approval: it is completed
// at once, and asks for an action.
type HeldCheck struct {
	Title string `json:"title"`
	// Summary is Markdown, written by us: foreign text in it was made harmless.
	Summary string `json:"summary"`
}

// Check is an order that is not carried out to its end yet, as a worker holds it.
type Check struct {
	ID int64
	OpenCheck
	// Told is what the forge was last told.
	Told CheckState
	// External is the number of the check at the forge; 0 while it is not known to have one.
	External int64
	// Attempts is how often it was taken up since something was last told, this
	// time included. More than one says that the forge may know more than Told.
	Attempts int
	// Refusals is how often in a row the forge said that this can't be.
	Refusals int
}

// CheckNews is what a worker reports of a check that it holds.
type CheckNews struct {
	ID       int64
	Holder   string
	Told     CheckState
	External int64
}
