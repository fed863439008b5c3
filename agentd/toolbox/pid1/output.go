package pid1

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of the script's output on its way: what the kernel holds of it, and
// what is read and sent at once.
const (
	pipeSize  = 1 << 20
	pieceSize = 256 << 10
)

// pump sends what the script writes until nobody can write any more. It holds
// one piece in memory; when the agent does not keep up, the script waits.
//
// A script that writes line by line would cost a message for each, so after a
// small piece pump lets the pipe fill for a moment: the first byte still goes
// at once, and no byte waits longer than lull.
func pump(to io.Writer, from *os.File) error {
	defer from.Close()
	const lull = 2 * time.Millisecond
	piece := make([]byte, pieceSize)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if _, err := to.Write(piece[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case n < pieceSize/4:
			time.Sleep(lull)
		}
	}
}

// oomKills counts the processes of this container that its memory limit has
// killed, as far as its own cgroup shows it. With cgroup v1, the folder of
// these files is in memory and root's to write, so each has to be the kernel's.
func oomKills() int {
	for _, of := range []struct {
		path   string
		system int64
	}{
		{"/sys/fs/cgroup/memory.events", unix.CGROUP2_SUPER_MAGIC},
		{"/sys/fs/cgroup/memory/memory.oom_control", unix.CGROUP_SUPER_MAGIC},
	} {
		var system unix.Statfs_t
		if unix.Statfs(of.path, &system) != nil || int64(system.Type) != of.system {
			continue
		}
		f, err := os.Open(of.path)
		if err != nil {
			continue
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), "oom_kill "); ok {
				n, _ := strconv.Atoi(rest)
				return n
			}
		}
	}
	return 0
}
