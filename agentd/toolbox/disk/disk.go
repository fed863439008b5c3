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
	return Begin(since).Follow(order, Measure, gone, func(u pipe.Used) error { return pipe.WriteFrame(stream, u, pipe.MaxUp) })
}

// Follower knows how full the disks were at a moment.
type Follower struct {
	since  time.Time
	places []string
	taken  int64
	fault  error
}

// Begin looks at the disks below this container. What was there since then is
// taken for older.
func Begin(since time.Time) *Follower {
	f := &Follower{since: since}
	f.places, f.fault = own()
	f.taken, _ = look(f.places)
	return f
}

// Follow calls tell whenever it has measured, until tell returns an error, which
// it returns, or gone ends; nil never does. measure is Measure or Changed.
func (f *Follower) Follow(order pipe.Watch, measure func([]string, time.Time) pipe.Used, gone <-chan struct{}, tell func(pipe.Used) error) error {
	if f.fault != nil {
		return tell(pipe.Used{Blind: "its mounts can't be listed: " + f.fault.Error()})
	}
	before := f.taken
	every := measureEvery
	if order.Every > 0 {
		every = order.Every
	}
	for measured := time.Now(); ; {
		pause := lookEvery
		taken, free := look(f.places)
		before = min(before, taken) // what others remove must not hide what grows after it
		if taken-before >= order.Step || free < order.Floor || time.Since(measured) > every {
			begin := worked()
			used := measure(f.places, f.since)
			used.Free = free
			if err := tell(used); err != nil {
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

// ServeFree writes a pipe.Used with what is free of the disk below the
// container's root, at once and whenever it has changed by a step or is below
// the floor, until the other end hangs up.
func ServeFree(stream io.ReadWriter, order pipe.Watch) error {
	gone := make(chan struct{})
	go func() { // it ends with the stream
		defer close(gone)
		_, _ = io.Copy(io.Discard, stream)
	}()
	said := int64(-1)
	for {
		_, free := look([]string{"/"})
		if said < 0 || free < order.Floor || max(free-said, said-free) >= order.Step {
			if err := pipe.WriteFrame(stream, pipe.Used{Free: free}, pipe.MaxUp); err != nil {
				return err
			}
			said = free
		}
		select {
		case <-time.After(lookEvery):
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

// InMemory are the places where file systems are whose files are in memory.
func InMemory() []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	var found []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if ok && len(fields) > 4 && strings.HasPrefix(after, "tmpfs ") {
			found = append(found, unescape(fields[4]))
		}
	}
	return found
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
