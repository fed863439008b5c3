package admission

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine tells how the machine is.
type Machine interface {
	Sample() (Sample, error)
}

// Sample is one look at the machine. What the machine does not show is 0.
type Sample struct {
	// Cores are the machine's, or what its control group leaves of them.
	Cores float64
	// CPUBusy and CPUTotal only grow, in the same unit, over all cores.
	CPUBusy, CPUTotal uint64
	// CPUStall and IOStall are the kernel's pressure stall figures over ten
	// seconds, 0 to 1: some task waited for a core; all tasks waited for a disk.
	CPUStall, IOStall float64
	// Bytes.
	MemoryFree, MemoryTotal int64
	DiskFree, DiskTotal     int64
}

// Proc is the machine that this process is on, as Linux shows it in /proc and
// in the control groups of the process.
type Proc struct {
	proc, sys string
	disk      string
	now       func() time.Time
	began     time.Time
}

var _ Machine = (*Proc)(nil)

// NewProc reads this machine; dir is on the disk whose free space counts, ""
// means the system's folder for temporary files.
func NewProc(dir string) *Proc {
	return newProc("/proc", "/sys/fs/cgroup", dir, time.Now)
}

func newProc(proc, sys, dir string, now func() time.Time) *Proc {
	return &Proc{proc: proc, sys: sys, disk: cmp.Or(dir, os.TempDir()), now: now, began: now()}
}

// Sample reads all figures. Only memory and CPU are required; kernels without
// pressure stall information are fine. Where control groups limit the process,
// their limits, their use and their stalls count instead of the machine's.
func (p *Proc) Sample() (Sample, error) {
	s := Sample{Cores: float64(runtime.NumCPU())}
	if err := p.cpu(&s); err != nil {
		return s, err
	}
	if err := p.memory(&s); err != nil {
		return s, err
	}
	s.CPUStall = pressure(filepath.Join(p.proc, "pressure", "cpu"), "some")
	s.IOStall = pressure(filepath.Join(p.proc, "pressure", "io"), "full")
	p.limit(&s, readCgroup(p.proc, p.sys))
	var fs unix.Statfs_t
	if err := unix.Statfs(p.disk, &fs); err == nil {
		s.DiskFree, s.DiskTotal = int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize
	}
	return s, nil
}

// cpu reads the first line of /proc/stat: user nice system idle iowait irq
// softirq steal guest guest_nice. Guest time is in user time already.
func (p *Proc) cpu(s *Sample) error {
	file := filepath.Join(p.proc, "stat")
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the CPU load: %w", err)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 5 || fields[0] != "cpu" {
		return fmt.Errorf("read the CPU load: %s begins with %q, not with the sum of all cpus", file, line)
	}
	for i, f := range fields[1:min(len(fields), 9)] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return fmt.Errorf("read the CPU load: %s: %w", file, err)
		}
		s.CPUTotal += n
		if i != 3 && i != 4 { // idle, iowait
			s.CPUBusy += n
		}
	}
	return nil
}

// memory reads /proc/meminfo. The kernel keeps some of the machine's memory
// for itself before it counts, so the total is rounded up to a whole GiB:
// a machine of 8 GiB offers 8 GiB.
func (p *Proc) memory(s *Sample) error {
	f, err := os.Open(filepath.Join(p.proc, "meminfo"))
	if err != nil {
		return fmt.Errorf("read the free memory: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64) // kB
		switch fields[0] {
		case "MemTotal:":
			s.MemoryTotal = (n<<10 + 1<<30 - 1) &^ (1<<30 - 1)
		case "MemAvailable:":
			s.MemoryFree = n << 10
		}
	}
	if s.MemoryTotal == 0 {
		return fmt.Errorf("read the free memory: %s names no MemTotal", f.Name())
	}
	return lines.Err()
}

// limit puts the figures of a control group in place of the machine's.
func (p *Proc) limit(s *Sample, c cgroup) {
	if c.cores > 0 && c.cores < s.Cores {
		s.Cores = c.cores
		s.CPUBusy, s.CPUTotal = c.used, uint64(c.cores*float64(p.now().Sub(p.began).Microseconds()))
		if c.pressure != "" {
			s.CPUStall = pressure(filepath.Join(c.pressure, "cpu.pressure"), "some")
			s.IOStall = pressure(filepath.Join(c.pressure, "io.pressure"), "full")
		}
	}
	if c.memory > 0 && c.memory < s.MemoryTotal {
		s.MemoryTotal, s.MemoryFree = c.memory, min(s.MemoryFree, max(0, c.memory-c.held))
	}
}

// pressure reads avg10 of one line of a file like /proc/pressure/cpu, 0 to 1:
// "some avg10=8.17 avg60=8.92 avg300=5.03 total=104292240".
func pressure(file, line string) float64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(data)) {
		fields := strings.Fields(l)
		if len(fields) < 2 || fields[0] != line {
			continue
		}
		percent, _ := strconv.ParseFloat(strings.TrimPrefix(fields[1], "avg10="), 64)
		return percent / 100
	}
	return 0
}
