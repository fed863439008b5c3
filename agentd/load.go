package agentd

import (
	"context"
	"fmt"
	"math"
	"time"

	"ci/pkg/ci"
)

const (
	// observeEvery is the time between two looks at the machine.
	observeEvery = time.Second
	// window is the time constant of the averages.
	window = 5 * time.Second
)

// load averages the machine's CPU load and what the agent's own runs hold, both
// through the same filter. So the two can be compared: what was held over the
// same seconds explains the load of these seconds, and what is held beyond
// that average was claimed just now and does not show yet.
type load struct {
	at          time.Time
	busy, total uint64  // the counters of the last sample
	cpu         float64 // 0 to 1, averaged
	cpus        float64 // held, averaged
	memory      float64 // held, averaged, bytes
}

// observe takes one sample in. held is the most that was held since the last one:
// between two short runs there is a moment that must not look like an empty agent.
func (l *load) observe(now time.Time, s Sample, held ci.Quota) {
	k := 1.0
	if !l.at.IsZero() {
		k = 1 - math.Exp(-now.Sub(l.at).Seconds()/window.Seconds())
		if s.CPUTotal > l.total && s.CPUBusy >= l.busy {
			now := float64(s.CPUBusy-l.busy) / float64(s.CPUTotal-l.total)
			l.cpu += k * (min(now, 1) - l.cpu)
		}
	}
	l.cpus += k * (held.CPUs - l.cpus)
	l.memory += k * (float64(held.Memory) - l.memory)
	l.at, l.busy, l.total = now, s.CPUBusy, s.CPUTotal
}

// limits are the thresholds of a gate.
type limits struct {
	cores     float64
	threshold float64 // CPU load, 0 to 1; from 1 on, load and stalls close nothing
	memory    int64   // floor, bytes
	disk      int64   // floor, bytes
}

const (
	// hysteresis is how far the load must fall below a limit before a closed gate opens.
	hysteresis = 0.10
	// cpuStall and ioStall are the shares of time (0 to 1) in which some task
	// waited for a core, and all tasks waited for a disk, that close the gate.
	cpuStall = 0.80
	ioStall  = 0.80
)

// gate says whether the machine can bear another run at all, with hysteresis.
//
// CPU: what was claimed just now counts in full on top of the measured load.
// Over the threshold the gate closes, unless the agent's own runs explain the
// load: what they held over the same seconds, subtracted from it, leaves no
// more than a full machine's rest. An agent that offers more cores than there
// are can so fill its quota, while a neighbour's load still stops it.
type gate struct {
	closed string // why; "" is open
	by     cause  // what closed it
}

// cause is what can close a gate.
type cause int

const (
	byNothing cause = iota
	byLoad
	byCPUStall
	byIOStall
	byMemory
	byDisk
)

// look decides again. Only the limit that closed the gate is harder to meet than to break.
func (g *gate) look(l load, s Sample, held ci.Quota, lim limits) {
	less := func(by cause, change float64) float64 {
		if g.by == by {
			return change
		}
		return 0
	}
	projected := l.cpu + max(0, held.CPUs-l.cpus)/lim.cores
	foreign := max(0, l.cpu-l.cpus/lim.cores)
	rest := 1 - lim.threshold
	rest -= less(byLoad, rest/2) + less(byCPUStall, rest/2)
	explained := lim.threshold >= 1 || foreign <= rest+roundingError
	memory := s.MemoryFree - max(0, held.Memory-int64(l.memory))
	switch {
	case !explained && projected > lim.threshold-less(byLoad, hysteresis):
		g.close(byLoad, "the CPU load is %.0f %% of %g cores, not from the agent's own runs alone; the limit is %.0f %%",
			100*min(projected, 1), lim.cores, 100*lim.threshold)
	case !explained && s.CPUStall > cpuStall-less(byCPUStall, hysteresis):
		g.close(byCPUStall, "for %.0f %% of the time a task waits for a CPU (limit %.0f %%)", 100*s.CPUStall, 100*cpuStall)
	case lim.threshold < 1 && s.IOStall > ioStall-less(byIOStall, hysteresis):
		g.close(byIOStall, "for %.0f %% of the time everything waits for disks (limit %.0f %%)", 100*s.IOStall, 100*ioStall)
	case s.MemoryTotal > 0 && float64(memory) < float64(lim.memory)*(1+less(byMemory, hysteresis)):
		g.close(byMemory, "%s of memory are free, counting what was claimed just now; the floor is %s", ci.Bytes(max(0, memory)), ci.Bytes(lim.memory))
	case s.DiskTotal > 0 && float64(s.DiskFree) < float64(lim.disk)*(1+less(byDisk, hysteresis)):
		g.close(byDisk, "%s of disk are free; the floor is %s", ci.Bytes(s.DiskFree), ci.Bytes(lim.disk))
	default:
		*g = gate{}
	}
}

func (g *gate) close(by cause, format string, args ...any) {
	*g = gate{closed: fmt.Sprintf(format, args...), by: by}
}

func (a *Agent) observeLoop(ctx context.Context) {
	every(ctx, observeEvery, func(context.Context) { a.observe() })
}

// observe looks at the machine and decides whether it can bear more.
func (a *Agent) observe() {
	s, err := a.cfg.Machine.Sample()
	if err != nil {
		a.log.Warn("the machine's load could not be read; it counts as before", "err", err)
		return
	}
	a.mu.Lock()
	was := a.gate.closed
	held := a.held()
	a.load.observe(time.Now(), s, a.peak)
	a.peak = held
	a.gate.look(a.load, s, held, limits{
		cores:     float64(max(1, s.Cores)),
		threshold: a.cfg.Threshold,
		memory:    a.cfg.MinFreeMemory,
		disk:      a.cfg.MinFreeDisk,
	})
	turned := (was == "") != (a.gate.closed == "")
	a.mu.Unlock()
	if turned {
		a.changed()
	}
}
