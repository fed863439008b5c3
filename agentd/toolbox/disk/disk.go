// Package disk measures, from inside a container, what it has written to the
// disks of the machine below it: the engine may have no quota, and may be on
// another machine, where nobody else could look.
package disk

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

const (
	// lookEvery is the time between two looks at how full the disks are, which cost a system call each.
	lookEvery = time.Second
	// measureEvery is when it is measured although no disk got fuller: others may have made room meanwhile.
	measureEvery = 2 * time.Minute
	// rest is how many times longer than the processor's time for a measurement the pause after it is: that is the run's own share.
	rest = 10
)

// Serve reads a pipe.Watch and writes a pipe.Used whenever it has measured,
// until the stream or gone ends. since is when the container's start was: what
// its image holds is older.
func Serve(stream io.ReadWriter, since time.Time, gone <-chan struct{}) error {
	var order pipe.Watch
	if err := pipe.ReadFrame(stream, &order, pipe.MaxDown); err != nil {
		return err
	}
	places, err := own()
	if err != nil {
		return pipe.WriteFrame(stream, pipe.Used{Blind: "its mounts can't be listed: " + err.Error()}, pipe.MaxUp)
	}
	before, _ := look(places)
	for measured := time.Now(); ; {
		pause := lookEvery
		taken, free := look(places)
		before = min(before, taken) // what others remove must not hide what grows after it
		if taken-before >= order.Step || free < order.Floor || time.Since(measured) > measureEvery {
			begin := worked()
			used := Measure(places, since)
			used.Free = free
			if err := pipe.WriteFrame(stream, used, pipe.MaxUp); err != nil {
				return err
			}
			before, measured = taken, time.Now()
			pause = max(pause, rest*(worked()-begin))
		}
		select {
		case <-time.After(min(pause, measureEvery)):
		case <-gone:
			return nil
		}
	}
}

// worked is how long the processor has worked for this process.
func worked() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// unmeasured are file systems that are in memory, which has a limit of its
// own, or the kernel's view of itself.
var unmeasured = []string{"proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "bpf", "ramfs", "hugetlbfs", "nsfs", "fusectl", "pstore", "binfmt_misc"}

// own are the places of this container that are on disks and can be written.
func own() ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return places(f)
}

// places reads what proc(5) calls mountinfo. "/" is always the first.
func places(mountinfo io.Reader) ([]string, error) {
	found := []string{"/"}
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, system := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(system) == 0 || slices.Contains(unmeasured, system[0]) {
			continue
		}
		place := unescape(fields[4])
		if slices.Contains(strings.Split(fields[5], ","), "ro") || slices.Contains(found, place) {
			continue
		}
		found = append(found, place)
	}
	return found, lines.Err()
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// look says how much the disks of some places hold, whoever's it is, in bytes
// and with something for each name, and what is free on the fullest.
func look(places []string) (taken, free int64) {
	free = 1 << 62
	seen := map[[2]int64]bool{}
	for _, place := range places {
		var s unix.Statfs_t
		if unix.Statfs(place, &s) != nil {
			continue
		}
		free = min(free, int64(s.Bavail)*s.Bsize)
		size := [2]int64{int64(s.Blocks), s.Bsize}
		if !seen[size] { // one disk shows itself with several ids, but with one size
			seen[size] = true
			taken += int64(s.Blocks-s.Bfree)*s.Bsize + int64(s.Files-s.Ffree)*least
		}
	}
	return taken, free
}
