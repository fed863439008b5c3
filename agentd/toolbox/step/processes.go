package step

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/disk"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

var errOver = errors.New("over a limit")

const (
	// countEvery is the time between two counts of the processes: a fork bomb
	// makes thousands in a tenth of a second.
	countEvery = 10 * time.Millisecond
	// lookEvery is the time between two looks at each of them at least, and rest
	// how many times longer than a look the pause after it is.
	lookEvery = 50 * time.Millisecond
	rest      = 5
)

// countProcesses returns a sentence when there are too many, "" when there are not.
func countProcesses(proc *os.File, l pipe.StepLimits) string {
	pids, err := list(proc, l.Pids)
	switch {
	case err != nil:
		return fmt.Sprintf("its processes can't be counted: %v", err)
	case int64(len(pids)) > l.Pids:
		return tooMany(l)
	}
	return ""
}

func tooMany(l pipe.StepLimits) string {
	return fmt.Sprintf("it has more than %d processes (resources.pids)", l.Pids)
}

// openProc opens /proc, if that is the kernel's and not something that a
// Dockerfile has mounted in its place.
func openProc() (*os.File, error) {
	f, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	var s unix.Statfs_t
	if err = unix.Fstatfs(int(f.Fd()), &s); err == nil && s.Type != unix.PROC_SUPER_MAGIC {
		err = errors.New("its /proc is not the kernel's")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// lookAtProcesses returns a sentence when there are too many with their
// threads, or when they use too much memory, "" when neither is so.
func lookAtProcesses(proc *os.File, l pipe.StepLimits) string {
	u, err := usage(proc, l.Pids, os.Getpagesize())
	if err == nil && u.memory > l.Memory {
		u.memory, err = u.exact(proc)
	}
	switch {
	case err != nil:
		return fmt.Sprintf("its processes can't be watched: %v", err)
	case u.tasks > l.Pids:
		return tooMany(l)
	case u.memory > l.Memory:
		return fmt.Sprintf("it uses more than %s of memory; give the job more in resources.memory", ci.Bytes(l.Memory))
	}
	return ""
}

// watch looks again and again, and returns the first sentence.
func watch(every time.Duration, rest int, look func() string) string {
	for {
		began := time.Now()
		if why := look(); why != "" {
			return why
		}
		time.Sleep(max(every, time.Duration(rest)*time.Since(began)))
	}
}

// used is what all processes but this one use together.
type used struct {
	tasks  int64
	memory int64 // bytes; what processes share is counted for each
	shared int64 // bytes of files in memory
	pids   []int
	rss    map[int]int64
}

// usage looks at each process once, and at one more than most of them at most.
func usage(proc *os.File, most int64, page int) (used, error) {
	u := used{rss: map[int]int64{}}
	pids, err := list(proc, most)
	if err != nil {
		return u, err
	}
	for _, pid := range pids {
		text, err := read(proc, strconv.Itoa(pid)+"/stat")
		if gone(err) {
			continue
		}
		if err != nil {
			return u, err
		}
		tasks, rss := parse(text)
		u.tasks += tasks
		u.memory += rss * int64(page)
		u.rss[pid] = rss * int64(page)
		u.pids = append(u.pids, pid)
	}
	u.shared = inMemory()
	u.memory += u.shared
	return u, nil
}

// exact is the memory without what processes share with each other or with
// files. Where the kernel does not tell, all of it counts.
func (u used) exact(proc *os.File) (int64, error) {
	total := u.shared
	for _, pid := range u.pids {
		text, err := read(proc, strconv.Itoa(pid)+"/smaps_rollup")
		switch {
		case gone(err):
		case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOENT):
			total += u.rss[pid]
		case err != nil:
			return 0, err
		default:
			total += proportional(text, u.rss[pid])
		}
	}
	return total, nil
}

// proportional sums up Pss_Anon and Pss_Shmem of proc(5)'s smaps_rollup, in
// bytes. Kernels before 5.4 don't have them: there Pss has to do.
func proportional(text []byte, otherwise int64) int64 {
	var anon, all int64 = -1, -1
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			continue
		}
		switch string(fields[0]) {
		case "Pss:":
			all = n << 10
		case "Pss_Anon:", "Pss_Shmem:":
			anon = max(anon, 0) + n<<10
		}
	}
	switch {
	case anon >= 0:
		return anon
	case all >= 0:
		return all
	}
	return otherwise
}

// parse reads the number of threads and the resident pages out of proc(5)'s
// stat. The name of the program, in parentheses, may contain anything.
func parse(stat []byte) (tasks, pages int64) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const first = 3 // the number of the field after the name
	number := func(field int) int64 {
		if len(fields) <= field-first {
			return 0
		}
		n, _ := strconv.ParseInt(string(fields[field-first]), 10, 64)
		return max(0, n)
	}
	return max(1, number(20)), number(24)
}

// inMemory is how many bytes file systems in memory hold.
func inMemory() int64 {
	var total int64
	for _, place := range disk.InMemory() {
		var s unix.Statfs_t
		if unix.Statfs(place, &s) == nil && s.Type == unix.TMPFS_MAGIC {
			total += int64(s.Blocks-s.Bfree) * s.Bsize
		}
	}
	return total
}

// list returns the numbers of all processes but this one, and not many more
// than most: where processes are made faster than they are listed, a list of
// all has no end.
func list(proc *os.File, most int64) ([]int, error) {
	if _, err := proc.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var pids []int
	for int64(len(pids)) <= most {
		names, err := proc.Readdirnames(128)
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return pids, nil
}

// read reads a small file below a folder that is open.
func read(folder *os.File, name string) ([]byte, error) {
	fd, err := unix.Openat(int(folder.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 16<<10))
}

// gone says that a process has ended meanwhile.
func gone(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) }
