package admission

import (
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cgroup is what the control groups around this process allow and use. In a
// container with an engine of its own, the runs are within the same limits as
// the agent, and the machine's own figures would promise what is not there.
//
// Limits of any ancestor count, the tightest wins. Both versions of control
// groups are read: docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/.
type cgroup struct {
	// cores is the limit in cores, used the CPU time in microseconds; cores 0 is no limit.
	cores float64
	used  uint64
	// memory is the limit in bytes, held what can't be had back of it; memory 0 is no limit.
	memory, held int64
	// pressure is the folder with the stalls of the limited group; "" when the kernel keeps none.
	pressure string
}

// readCgroup reads the groups of a process. proc is where /proc is, sys where
// control groups are. What is missing limits nothing.
func readCgroup(proc, sys string) cgroup {
	data, err := os.ReadFile(filepath.Join(proc, "self", "cgroup"))
	if err != nil {
		return cgroup{}
	}
	var c cgroup
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		if len(parts) != 3 {
			continue
		}
		controllers := strings.Split(parts[1], ",")
		switch {
		case parts[0] == "0":
			c.each(sys, parts[2], c.second)
		case slices.Contains(controllers, "cpu"):
			c.each(filepath.Join(sys, "cpu"), parts[2], func(dir string) { c.firstCPU(dir, sys) })
		case slices.Contains(controllers, "memory"):
			c.each(filepath.Join(sys, "memory"), parts[2], c.firstMemory)
		}
	}
	return c
}

// each calls fn for a group's folder and those above it. A path that is not
// there is one of the host's: a container sees its own group at the root.
func (c *cgroup) each(root, group string, fn func(dir string)) {
	if _, err := os.Stat(filepath.Join(root, group)); err != nil {
		group = "/"
	}
	for group = path.Join("/", group); ; group = path.Dir(group) {
		fn(filepath.Join(root, group))
		if group == "/" {
			return
		}
	}
}

// second reads a group of version 2.
func (c *cgroup) second(dir string) {
	if quota, period, ok := strings.Cut(readWord(dir, "cpu.max"), " "); ok {
		if cores := number(quota) / number(period); cores > 0 && c.tighter(cores) {
			c.used, c.pressure = uint64(entry(dir, "cpu.stat", "usage_usec")), dir
		}
	}
	if limit := number(readWord(dir, "memory.max")); limit > 0 && c.smaller(limit) {
		c.held = int64(number(readWord(dir, "memory.current")) - entry(dir, "memory.stat", "inactive_file"))
	}
}

// firstCPU and firstMemory read a group of version 1, which keeps no stalls.
func (c *cgroup) firstCPU(dir, sys string) {
	quota, period := number(readWord(dir, "cpu.cfs_quota_us")), number(readWord(dir, "cpu.cfs_period_us"))
	if quota > 0 && period > 0 && c.tighter(quota/period) {
		group, _ := filepath.Rel(filepath.Join(sys, "cpu"), dir)
		c.used, c.pressure = uint64(number(readWord(filepath.Join(sys, "cpuacct", group), "cpuacct.usage"))/1000), ""
	}
}

func (c *cgroup) firstMemory(dir string) {
	const none = 1 << 62 // version 1 writes "no limit" as a number of whole pages near 2^63
	if limit := number(readWord(dir, "memory.limit_in_bytes")); limit > 0 && limit < none && c.smaller(limit) {
		c.held = int64(number(readWord(dir, "memory.usage_in_bytes")) - entry(dir, "memory.stat", "total_inactive_file"))
	}
}

// tighter notes a limit of cores if it is the tightest yet; smaller does so for memory.
func (c *cgroup) tighter(cores float64) bool {
	if c.cores > 0 && c.cores <= cores {
		return false
	}
	c.cores = cores
	return true
}

func (c *cgroup) smaller(limit float64) bool {
	if c.memory > 0 && float64(c.memory) <= limit {
		return false
	}
	c.memory = int64(limit)
	return true
}

// readWord is a file's text, "" when there is none.
func readWord(dir, name string) string {
	data, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(data))
}

// number reads a figure; what is none, like "max" or "", is 0.
func number(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0
	}
	return n
}

// entry is one figure of a file of "name value" lines.
func entry(dir, name, key string) float64 {
	for line := range strings.Lines(readWord(dir, name)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			return number(v)
		}
	}
	return 0
}
