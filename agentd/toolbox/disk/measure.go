package disk

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

const (
	// least is what every name counts at least, so that empty files have a limit too: disks run out of inodes.
	least = 4 << 10
	// deepest is how far folders may be nested to be measured: each takes a descriptor.
	deepest = 256
	// maxLinks is how many files with several names are remembered to be counted once.
	maxLinks = 100_000
)

// Measure sums up what some places hold. Of the first, "/", it counts what has
// changed since then: the rest is the image's. No process can set a file's
// time of change but by the clock, which is not a container's to set. Files
// that have lost their last name while they are open are not seen.
func Measure(places []string, since time.Time) pipe.Used {
	m := &measurement{places: places, links: map[[2]uint64]bool{}}
	for i, place := range places {
		m.since = time.Time{}
		if i == 0 {
			m.since = since
		}
		m.begin(place)
	}
	return pipe.Used{Bytes: m.bytes, Blind: m.blind}
}

// Changed sums up what of some places has changed since then: of volumes too,
// where others may have kept something before.
func Changed(places []string, since time.Time) pipe.Used {
	m := &measurement{places: places, since: since, links: map[[2]uint64]bool{}}
	for _, place := range places {
		m.begin(place)
	}
	return pipe.Used{Bytes: m.bytes, Blind: m.blind}
}

type measurement struct {
	places []string
	since  time.Time
	bytes  int64
	blind  string
	links  map[[2]uint64]bool
}

// begin measures a place, which may be a single file.
func (m *measurement) begin(place string) {
	fd, err := unix.Open(place, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOTDIR) {
		var s unix.Stat_t
		if unix.Lstat(place, &s) == nil {
			m.count(&s)
		}
		return
	}
	if err != nil {
		m.lost(place, err)
		return
	}
	m.folder(fd, place, 0)
}

// folder measures what is in an open folder, and closes it.
func (m *measurement) folder(fd int, name string, depth int) {
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	for {
		names, err := f.Readdirnames(512) // a batch: a folder may hold millions
		for _, n := range names {
			m.entry(fd, path.Join(name, n), n, depth)
		}
		if err != nil || len(names) == 0 {
			return
		}
	}
}

func (m *measurement) entry(parent int, full, name string, depth int) {
	if slices.Contains(m.places, full) || slices.Contains([]string{"/proc", "/sys", "/dev"}, full) {
		return
	}
	var s unix.Stat_t
	if err := unix.Fstatat(parent, name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		m.lost(full, err)
		return
	}
	m.count(&s)
	if s.Mode&unix.S_IFMT != unix.S_IFDIR {
		return
	}
	if depth == deepest {
		m.blind = fmt.Sprintf("its folders are nested more than %d deep", deepest)
		return
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		m.lost(full, err)
		return
	}
	m.folder(fd, full, depth+1)
}

func (m *measurement) count(s *unix.Stat_t) {
	if time.Unix(s.Ctim.Unix()).Before(m.since) {
		return
	}
	if s.Nlink > 1 && s.Mode&unix.S_IFMT != unix.S_IFDIR {
		key := [2]uint64{s.Dev, s.Ino}
		if m.links[key] {
			m.bytes += least
			return
		}
		if len(m.links) < maxLinks {
			m.links[key] = true
		}
	}
	m.bytes += max(s.Blocks*512, least)
}

// lost notes what could not be looked at. What is gone meanwhile is no news.
func (m *measurement) lost(name string, err error) {
	for _, changed := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EACCES} {
		if errors.Is(err, changed) {
			return
		}
	}
	m.blind = fmt.Sprintf("%s can't be looked at: %v", name, err)
}
