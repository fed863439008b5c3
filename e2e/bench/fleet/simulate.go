package main

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"ci/agentd/admission"
	"ci/pkg/ci"
)

var agentSize = ci.Quota{CPUs: 4, Memory: 16 << 30}

const (
	look     = 5 * time.Second  // between two looks of an agent at its machine
	patience = 30 * time.Second // as agentd's default
	keepers  = 16               // as the engine's
)

// outcome is what a day came to.
type outcome struct {
	waits              []time.Duration
	hours              float64
	most               int
	killed, unfinished int // runs; those that were never begun, two hours after the day
}

// simulated is one agent.
type simulated struct {
	id       string
	up       time.Duration // when it pulls
	asked    time.Duration // when its machine was asked for
	draining bool
	held     map[int]arrival // by their place in the day
	cores    float64         // that they hold
	load     admission.Load
	gate     admission.Gate
	sample   admission.Sample
	kept     map[ci.Lane]time.Duration
}

// sim is the state of one day.
type sim struct {
	now    time.Duration
	scaler scaler
	runs   []arrival
	random *rand.Rand
	queue  map[ci.Lane][]int
	agents []*simulated
	made   int
	events events
	outcome
}

func simulate(p policy, runs []arrival, seed uint64) *outcome {
	s := &sim{scaler: scaler{policy: p}, runs: runs, random: rand.New(rand.NewPCG(seed, 1)), queue: map[ci.Lane][]int{}}
	for i, r := range runs {
		s.at(r.at, func() { s.arrive(i) })
	}
	s.at(0, s.tick)
	s.at(0, s.scale)
	for len(s.events) > 0 && s.now < day+2*longestRun {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
	}
	s.unfinished = len(runs) - len(s.waits)
	for _, a := range s.agents {
		s.hours += (s.now - a.asked).Hours()
	}
	return &s.outcome
}

func laneOf(r arrival) ci.Lane {
	if r.urgent {
		return ci.Lane{Class: r.class.Name, Priority: ci.PriorityUrgent}
	}
	return ci.Lane{Class: r.class.Name, Priority: ci.PriorityNormal}
}

func (s *sim) arrive(i int) {
	l := laneOf(s.runs[i])
	s.queue[l] = append(s.queue[l], i)
	s.match()
}

// match lets agents pull until none takes any more.
func (s *sim) match() {
	for s.waiting() > 0 && s.take() {
	}
}

func (s *sim) waiting() (n int) {
	for _, ids := range s.queue {
		n += len(ids)
	}
	return n
}

// take has the first agent that can take a run do so.
func (s *sim) take() bool {
	for _, a := range s.order() {
		lanes, _ := s.situation(a).Decide()
		for _, l := range lanes {
			if ids := s.queue[l]; len(ids) > 0 {
				s.queue[l] = ids[1:]
				s.begin(a, ids[0])
				return true
			}
		}
	}
	return false
}

// order is the one in which woken agents ask.
func (s *sim) order() []*simulated {
	smallest := ci.DefaultConfig().Classes[0].CPUs
	up := slices.DeleteFunc(slices.Clone(s.agents), func(a *simulated) bool {
		return a.up > s.now || a.draining || agentSize.CPUs-a.cores < smallest // those would refuse everything
	})
	if !s.scaler.packed {
		s.random.Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
		return up
	}
	wait := make(map[*simulated]time.Duration, len(up))
	for _, a := range up {
		wait[a] = admission.Hesitation(a.id, agentSize, admission.Sum(a.shares()))
	}
	slices.SortFunc(up, func(x, y *simulated) int { return int(wait[x] - wait[y]) })
	return up
}

func (s *sim) situation(a *simulated) admission.Situation {
	in := admission.Situation{
		Stop: a.gate.Closed, Classes: ci.DefaultConfig().Classes, Offered: agentSize, Held: a.shares(),
		Patience: patience, Waiting: map[ci.Lane]time.Duration{}, Kept: map[ci.Lane]bool{},
	}
	if a.draining {
		in.Stop = "draining"
	}
	for l, ids := range s.queue {
		if len(ids) > 0 {
			in.Waiting[l] = s.now - s.runs[ids[0]].at
		}
		in.Kept[l] = a.kept[l] > s.now
	}
	return in
}

func (a *simulated) shares() []ci.Quota {
	shares := make([]ci.Quota, 0, len(a.held))
	for _, r := range a.held {
		shares = append(shares, r.class)
	}
	return shares
}

func (s *sim) begin(a *simulated, i int) {
	r := s.runs[i]
	a.held[i] = r
	a.cores += r.class.CPUs
	s.waits = append(s.waits, s.now-r.at)
	s.at(s.now+r.duration, func() { s.finish(a, i) })
}

func (s *sim) finish(a *simulated, i int) {
	if _, there := a.held[i]; !there {
		return // its agent was removed under it
	}
	delete(a.held, i)
	a.cores -= s.runs[i].class.CPUs
	if a.draining && len(a.held) == 0 {
		s.remove(a)
	}
	s.match()
}

// tick is each agent's look at its machine, and its question whether to keep room.
func (s *sim) tick() {
	waiting := s.waiting()
	for _, a := range s.agents {
		if a.up <= s.now {
			a.observe(s.now)
			if waiting > 0 {
				s.keep(a)
			}
		}
	}
	s.match()
	if s.now < day+longestRun {
		s.at(s.now+look, s.tick)
	}
}

// observe feeds the real gate with what the agent's runs do to its cores.
func (a *simulated) observe(now time.Duration) {
	a.sample.CPUTotal += uint64(look / time.Millisecond)
	a.sample.CPUBusy += uint64(a.busy() * float64(look/time.Millisecond))
	held := admission.Sum(a.shares())
	a.load.Observe(time.Unix(0, 0).Add(now), a.sample, held)
	a.gate.Look(a.load, a.sample, held, admission.Limits{Threshold: 0.85})
}

// busy is the load that the runs make.
func (a *simulated) busy() float64 {
	cores := 0.0
	for _, r := range a.held {
		cores += r.use * r.class.CPUs
	}
	return min(1, cores/agentSize.CPUs)
}

// keep gives leases as the engine does: one for each waiting run of a lane.
func (s *sim) keep(a *simulated) {
	for _, l := range s.situation(a).Candidates() {
		others := 0
		for _, o := range s.agents {
			if o != a && o.kept[l] > s.now {
				others++
			}
		}
		if others < min(keepers, len(s.queue[l])) {
			a.kept[l] = s.now + ci.KeepFor
		}
	}
}

// scale is the autoscaler's look.
func (s *sim) scale() {
	want := s.scaler.next(s.measure())
	for s.live() < want {
		s.made++
		a := &simulated{
			id: fmt.Sprintf("agent-%04d", s.made), asked: s.now, up: s.now + bootTime, held: map[int]arrival{}, kept: map[ci.Lane]time.Duration{},
			sample: admission.Sample{Cores: agentSize.CPUs, MemoryFree: 16 << 30, MemoryTotal: 16 << 30, DiskFree: 1 << 40, DiskTotal: 1 << 40},
		}
		s.agents = append(s.agents, a)
		s.at(a.up, s.match)
	}
	for s.live() > want {
		s.retire(s.emptiest())
	}
	s.most = max(s.most, len(s.agents))
	if s.now < day+longestRun {
		s.at(s.now+period, s.scale)
	}
}

func (s *sim) measure() (m measure) {
	up := 0
	for _, a := range s.agents {
		if !a.draining {
			m.agents++
			m.held += a.cores
			if a.up <= s.now {
				up++
				m.load += a.load.CPU
			}
		}
	}
	if up > 0 {
		m.load /= float64(up)
	}
	m.waiting = float64(s.waiting())
	for _, ids := range s.queue {
		for _, i := range ids {
			m.wanted += s.runs[i].class.CPUs
		}
	}
	return m
}

func (s *sim) live() (n int) {
	for _, a := range s.agents {
		if !a.draining {
			n++
		}
	}
	return n
}

// emptiest is the agent whose removal disturbs least.
func (s *sim) emptiest() *simulated {
	var best *simulated
	for _, a := range s.agents {
		if !a.draining && (best == nil || len(a.held) < len(best.held)) {
			best = a
		}
	}
	return best
}

// retire drains an agent, or takes it away with all it holds.
func (s *sim) retire(a *simulated) {
	a.draining = true
	if !s.scaler.drain {
		s.killed += len(a.held)
		clear(a.held)
	}
	if len(a.held) == 0 {
		s.remove(a)
		return
	}
	s.at(s.now+longestRun, func() { // the grace is over
		if n := len(a.held); n > 0 {
			s.killed += n
			clear(a.held)
			s.remove(a)
		}
	})
}

func (s *sim) remove(a *simulated) {
	s.hours += (s.now - a.asked).Hours()
	s.agents = slices.DeleteFunc(s.agents, func(o *simulated) bool { return o == a })
}

func (s *sim) at(when time.Duration, do func()) {
	heap.Push(&s.events, event{when, len(s.events), do})
}

// event is something that happens; events at the same time happen in any, but always the same order.
type event struct {
	at time.Duration
	n  int
	do func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *events) Push(v any) { *e = append(*e, v.(event)) }

// Pop implements heap.Interface.
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
