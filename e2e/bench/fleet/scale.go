package main

import (
	"math"
	"time"
)

// policy is how the number of agents is chosen, and what becomes of those that are too many.
type policy struct {
	name string
	// want is how many agents there should be.
	want func(m measure) float64
	// packed has the busiest agent ask first; else whoever comes first.
	packed bool
	// drain lets an agent finish what it holds before it goes.
	drain bool
	// stalls says that it may leave runs waiting for ever.
	stalls bool
}

// measure is what an autoscaler sees.
type measure struct {
	agents  int     // that are there or starting, without those that drain
	waiting float64 // runs in the queue
	load    float64 // CPU, 0 to 1, of the agents that are up
	held    float64 // cores that runs hold
	wanted  float64 // cores that runs in the queue will hold
}

const (
	// perAgent is how many waiting runs ask for one more agent, cpuTarget the
	// load at which agents are neither added nor removed.
	perAgent  = 3
	cpuTarget = 0.50
	// tolerance, period, window and growth are the defaults of Kubernetes'
	// HorizontalPodAutoscaler: no change for less, how often it looks, how long it
	// waits before it removes, and how much it adds at a time (double, or four).
	// kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale
	tolerance = 0.1
	period    = 15 * time.Second
	window    = 5 * time.Minute
	growth    = 4
	// fewest and most bound the fleet; spare is the share that is held back for what comes next.
	fewest, most = 1, 200
	spare        = 0.05
)

func byQueue(m measure) float64 { return m.waiting / perAgent }

func byCPU(m measure) float64 {
	if m.load == 0 {
		return 0
	}
	if ratio := m.load / cpuTarget; math.Abs(ratio-1) > tolerance {
		return float64(m.agents) * ratio
	}
	return float64(m.agents)
}

// byBoth is what KEDA makes of two triggers: the larger one counts.
func byBoth(m measure) float64 { return max(byQueue(m), byCPU(m)) }

// byWork counts what is held and what waits, in cores: what runs promise to use, used or not.
func byWork(m measure) float64 { return (m.held + m.wanted) / agentSize.CPUs }

func policies() []policy {
	return []policy{
		{name: "queue length and CPU", want: byBoth, packed: true, drain: true},
		{name: "queue length only", want: byQueue, packed: true, drain: true},
		{name: "CPU only", want: byCPU, packed: true, drain: true, stalls: true},
		{name: "quota held and waiting", want: byWork, packed: true, drain: true},
		{name: "the same and 5 % spare", want: func(m measure) float64 { return byWork(m)*(1+spare) + 1 }, packed: true, drain: true},
		{name: "queue length and CPU, not packed", want: byBoth, drain: true},
		{name: "queue length and CPU, no drain", want: byBoth, packed: true},
	}
}

// scaler remembers what it wanted, so that a moment of calm removes nobody.
type scaler struct {
	policy
	past []float64 // of the last window, newest last
}

// next is how many agents there should be now.
func (s *scaler) next(m measure) int {
	now := min(most, max(fewest, math.Ceil(s.want(m)-1e-9)))
	if s.past = append(s.past, now); len(s.past) > int(window/period) {
		s.past = s.past[1:]
	}
	if now > float64(m.agents) {
		return int(min(now, max(float64(2*m.agents), float64(m.agents+growth))))
	}
	highest := 0.0
	for _, p := range s.past {
		highest = max(highest, p)
	}
	return int(min(highest, float64(m.agents)))
}
