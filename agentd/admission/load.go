package admission

import (
	"fmt"
	"math"
	"time"

	"ci/pkg/ci"
)

// window is the time constant of the averages.
const window = 5 * time.Second

// Load averages the machine's CPU load and what the agent's own runs hold, both
// through the same filter. So the two can be compared: what was held over the
// same seconds explains the load of these seconds, and what is held beyond
// that average was claimed just now and does not show yet.
type Load struct {
	at          time.Time
	busy, total uint64 // the counters of the last sample
	// CPU is the machine's load, 0 to 1, averaged.
	CPU    float64
	cpus   float64 // held, averaged
	memory float64 // held, averaged, bytes
}

// Observe takes one sample in. held is the most that was held since the last one:
// between two short runs there is a moment that must not look like an empty agent.
func (l *Load) Observe(now time.Time, s Sample, held ci.Quota) {
	k := 1.0
	if !l.at.IsZero() {
		k = 1 - math.Exp(-now.Sub(l.at).Seconds()/window.Seconds())
		if s.CPUTotal > l.total && s.CPUBusy >= l.busy {
			now := float64(s.CPUBusy-l.busy) / float64(s.CPUTotal-l.total)
			l.CPU += k * (min(now, 1) - l.CPU)
		}
	}
	l.cpus += k * (held.CPUs - l.cpus)
	l.memory += k * (float64(held.Memory) - l.memory)
	l.at, l.busy, l.total = now, s.CPUBusy, s.CPUTotal
}

// Limits are the thresholds of a Gate.
type Limits struct {
	// Threshold is the CPU load, 0 to 1; from 1 on, load and stalls close nothing.
	Threshold float64
	// Memory and Disk are floors in bytes; 0 means DefaultMemory and DefaultDisk,
	// and HeldBack of the whole where that is more.
	Memory, Disk int64
}

const (
	// HeldBack is the share of a machine's memory and disk that no run is meant to touch.
	HeldBack = 0.02
	// DefaultMemory and DefaultDisk are the floors of small machines.
	DefaultMemory = 256 << 20
	DefaultDisk   = 1 << 30
)

// floors fills in what is left to the machine's size.
func (lim Limits) floors(s Sample) (memory, disk float64) {
	memory, disk = float64(lim.Memory), float64(lim.Disk)
	if lim.Memory == 0 {
		memory = max(DefaultMemory, HeldBack*float64(s.MemoryTotal))
	}
	if lim.Disk == 0 {
		disk = max(DefaultDisk, HeldBack*float64(s.DiskTotal))
	}
	return memory, disk
}

const (
	// hysteresis is how far the load must fall below a limit before a closed gate opens.
	hysteresis = 0.10
	// cpuStall and ioStall are the shares of time (0 to 1) in which some task
	// waited for a core, and all tasks waited for a disk, that close the gate.
	cpuStall = 0.80
	ioStall  = 0.80
)

// Gate says whether the machine can bear another run at all, with hysteresis.
//
// CPU: what was claimed just now counts in full on top of the measured load.
// Over the threshold the gate closes, unless the agent's own runs explain the
// load: what they held over the same seconds, subtracted from it, leaves no
// more than a full machine's rest. An agent that offers more cores than there
// are can so fill its quota, while a neighbour's load still stops it.
type Gate struct {
	// Closed says why not; "" is open.
	Closed string
	by     cause // what closed it
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

// Look decides again. Only the limit that closed the gate is harder to meet than to break.
func (g *Gate) Look(l Load, s Sample, held ci.Quota, lim Limits) {
	cores := max(1, s.Cores)
	memoryFloor, diskFloor := lim.floors(s)
	less := func(by cause, change float64) float64 {
		if g.by == by {
			return change
		}
		return 0
	}
	projected := l.CPU + max(0, held.CPUs-l.cpus)/cores
	foreign := max(0, l.CPU-l.cpus/cores)
	rest := 1 - lim.Threshold
	rest -= less(byLoad, rest/2) + less(byCPUStall, rest/2)
	explained := lim.Threshold >= 1 || foreign <= rest+roundingError
	memory := s.MemoryFree - max(0, held.Memory-int64(l.memory))
	switch {
	case !explained && projected > lim.Threshold-less(byLoad, hysteresis):
		g.close(byLoad, "the CPU load is %.0f %% of %g cores, not from the agent's own runs alone; the limit is %.0f %%",
			100*min(projected, 1), cores, 100*lim.Threshold)
	case !explained && s.CPUStall > cpuStall-less(byCPUStall, hysteresis):
		g.close(byCPUStall, "for %.0f %% of the time a task waits for a CPU (limit %.0f %%)", 100*s.CPUStall, 100*cpuStall)
	case lim.Threshold < 1 && s.IOStall > ioStall-less(byIOStall, hysteresis):
		g.close(byIOStall, "for %.0f %% of the time everything waits for disks (limit %.0f %%)", 100*s.IOStall, 100*ioStall)
	case s.MemoryTotal > 0 && float64(memory) < memoryFloor*(1+less(byMemory, hysteresis)):
		g.close(byMemory, "%s of memory are free, counting what was claimed just now; the floor is %s", ci.Bytes(max(0, memory)), ci.Bytes(int64(memoryFloor)))
	case s.DiskTotal > 0 && float64(s.DiskFree) < diskFloor*(1+less(byDisk, hysteresis)):
		g.close(byDisk, "%s of disk are free; the floor is %s", ci.Bytes(s.DiskFree), ci.Bytes(int64(diskFloor)))
	default:
		*g = Gate{}
	}
}

func (g *Gate) close(by cause, format string, args ...any) {
	*g = Gate{Closed: fmt.Sprintf(format, args...), by: by}
}
