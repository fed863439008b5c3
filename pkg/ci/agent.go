package ci

import "time"

// AgentStarting is the Problem of an agent that is getting ready: it passes by itself.
const AgentStarting = "the agent is starting"

// Agent is a machine that carries out runs, as it last described itself.
type Agent struct {
	// ID names the agent for good: its restarts keep it.
	ID      string
	Version string
	// CPUs and Memory (bytes) are what it offers to runs, Free what no run holds at the moment.
	CPUs       float64
	Memory     int64
	FreeCPUs   float64
	FreeMemory int64
	// CPULoad is the machine's load, 0 to 1, averaged over some seconds.
	CPULoad float64
	// Runs are the ids of the runs it holds, ascending.
	Runs     []int64
	Draining bool
	// Refusals says for each class that it does not take at the moment why not.
	Refusals map[string]string
	// Problem says why it can't work at all ("Docker does not answer …"); "" when it can.
	Problem string
	// Leftovers counts the Docker objects of ended runs that it has not yet been able to remove.
	Leftovers int
	// Warnings are sentences about what its engine can't enforce: which of the
	// walls around jobs it does not have. It takes runs all the same.
	Warnings []string
	// Leaving says that its own process drains it, and why; nil while it does not.
	Leaving *Drain
	// SeenAt is when it last said so. The backend's clock.
	SeenAt time.Time
}

// Alive says whether the agent was heard of within ttl.
func (a *Agent) Alive(now time.Time, ttl time.Duration) bool { return now.Sub(a.SeenAt) <= ttl }

// DrainThen is what happens to runs that are left when a drain's deadline passes.
type DrainThen string

// The ends of a drain. "" is DrainAbort.
const (
	DrainAbort DrainThen = "abort" // they are aborted
	DrainWait  DrainThen = "wait"  // they go on; the drain is late, and says so
)

// Drain says that an agent takes nothing new, and what becomes of what it
// holds. It is an order of somebody at the API, which is undone there, or the
// agent's own: its process was told to end.
type Drain struct {
	Reason string
	// Deadline is when Then happens; zero waits for ever.
	Deadline time.Time
	Then     DrainThen
	// By is who ordered it: a token's name, or the signal or command that reached the process.
	By    string
	Since time.Time
	// Leaving: the agent's process ends once nothing is left. It can't be undone.
	Leaving bool
	// Runs are the ids of the runs that the agent still holds, ascending: what is
	// left to wait for. It is not part of an order; whoever reads a drain gets it.
	Runs []int64
}

// Drained says that nothing is left.
func (d *Drain) Drained() bool { return len(d.Runs) == 0 }

// Late says that the deadline has passed and runs are left.
func (d *Drain) Late(now time.Time) bool {
	return !d.Drained() && !d.Deadline.IsZero() && now.After(d.Deadline)
}

// Validate checks what came from outside, and fills in what Then means when it is empty.
func (d *Drain) Validate() error {
	var f faults
	switch d.Then {
	case "":
		d.Then = DrainAbort
	case DrainAbort, DrainWait:
	default:
		f.add("then", "is %q; it is what becomes of runs at the deadline, abort or wait", d.Then)
	}
	if len(d.Reason) > MaxDescription {
		f.add("reason", "has %d bytes; at most %d are allowed", len(d.Reason), MaxDescription)
	}
	return f.err("the drain")
}

// KeepFor is how long an agent may keep its room for a run that has waited for
// long, without asking again whether it still may.
const KeepFor = 20 * time.Second

// QueueReport answers why a run waits.
type QueueReport struct {
	Run   int64
	Phase Phase
	// Position is the number of runs of the same lane and the lanes before it that are ahead. 0 is next.
	Position int
	Class    string
	Priority Priority
	// Unschedulable says that no registered agent could ever take it.
	Unschedulable bool
	// Reason is one sentence that sums it up.
	Reason string
	Agents []AgentVerdict
}

// AgentVerdict is what one agent has to say about one waiting run.
type AgentVerdict struct {
	Agent    string
	Eligible bool
	// Reason says why it does not take the run; "" when it would.
	Reason string
}

// QueueDepth is how many runs wait in a lane.
type QueueDepth struct {
	Lane   Lane
	Queued int
	// Oldest is when the first of them was queued; zero when none waits.
	Oldest time.Time
}
