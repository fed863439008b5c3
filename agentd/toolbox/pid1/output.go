package pid1

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
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
// killed, as far as its own cgroup shows it.
func oomKills() int {
	for _, path := range []string{
		"/sys/fs/cgroup/memory.events",             // cgroup v2
		"/sys/fs/cgroup/memory/memory.oom_control", // v1
	} {
		f, err := os.Open(path)
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
