package ci

import "time"

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
	// SeenAt is when it last said so. The backend's clock.
	SeenAt time.Time
}

// Alive says whether the agent was heard of within ttl.
func (a *Agent) Alive(now time.Time, ttl time.Duration) bool { return now.Sub(a.SeenAt) <= ttl }

// Drain is an order to an agent to take nothing new.
type Drain struct {
	Reason string
	// Deadline is when what still runs is aborted; zero waits for ever.
	Deadline time.Time
	Since    time.Time
}

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
