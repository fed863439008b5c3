package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pack"
	"ci/agentd/toolbox/pipe"
)

// collectAll answers the agent's wishes for results, one after the other,
// until it closes the connection. Nothing runs in the container any more, so
// what is looked at does not change.
func (s *server) collectAll() {
	root, gone := openWorkdir(s.workdir)
	if gone == "" {
		defer root.Close()
	}
	for stream := range s.collects {
		if err := collect(stream, root, gone); err != nil && !s.session.IsClosed() {
			// The agent has given this one up; it may want the next.
			fmt.Fprintf(os.Stderr, "init: a result was cut off: %v\n", err)
		}
		_ = stream.Close()
	}
}

// openWorkdir opens the working directory as the script has left it, or says
// why there is none. We may read what the script may not, so a directory that
// it has put a link in the place of is refused, and so is one of the kernel's.
// Nothing runs any more, so nothing changes between the look and the opening.
func openWorkdir(dir string) (root *os.Root, gone string) {
	real, err := filepath.EvalSymlinks(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		return nil, "the script has removed the working directory"
	case err != nil:
		return nil, "the working directory can't be found: " + err.Error()
	case real != dir:
		return nil, "the script has put a link in the place of the working directory"
	}
	var system unix.Statfs_t
	if err := unix.Statfs(dir, &system); err != nil {
		return nil, "the working directory can't be looked at: " + err.Error()
	}
	if system.Type == unix.PROC_SUPER_MAGIC || system.Type == unix.SYSFS_MAGIC {
		return nil, "the working directory is the kernel's"
	}
	if root, err = os.OpenRoot(dir); err != nil {
		return nil, "the working directory can't be opened: " + err.Error()
	}
	return root, ""
}

func collect(stream *yamux.Stream, root *os.Root, gone string) error {
	var want pipe.Collection
	if err := pipe.ReadFrame(stream, &want, pipe.MaxDown); err != nil {
		return err
	}
	if gone != "" {
		return pipe.WriteFrame(stream, pipe.Packing{Missing: gone}, pipe.MaxUp)
	}
	found := pack.Find(root, want)
	if err := pipe.WriteFrame(stream, found.Packing, pipe.MaxUp); err != nil || found.Missing != "" {
		return err
	}
	body := pipe.PieceWriter{W: stream}
	end := found.WriteTo(root, body)
	if err := body.Close(); err != nil {
		return err
	}
	return pipe.WriteFrame(stream, end, pipe.MaxUp)
}
