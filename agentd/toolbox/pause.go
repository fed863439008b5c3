package toolbox

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"ci/agentd/toolbox/pipe"
)

// NetworkFiles are the files that a container shares, writable, with every
// other that joins its network.
var NetworkFiles = []string{"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}

// pause tells its agent, in one frame, what the NetworkFiles hold while nobody
// else has seen them, and then keeps its network namespace alive until the
// agent lets go of standard input.
func pause() int {
	files := make([]pipe.File, 0, len(NetworkFiles))
	for _, path := range NetworkFiles {
		content, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%v\n", err)
			return 1
		}
		files = append(files, pipe.File{Path: path, Content: content})
	}
	if err := pipe.WriteFrame(os.Stdout, files, pipe.MaxUp); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n", err)
		return 1
	}
	debug.FreeOSMemory()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}
