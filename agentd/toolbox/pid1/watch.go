package pid1

import (
	"fmt"
	"os"

	"github.com/hashicorp/yamux"

	"ci/agentd/toolbox/disk"
)

// watch measures for the agent what this container writes, until it leaves.
func (s *server) watch(stream *yamux.Stream) {
	defer stream.Close()
	if err := disk.Serve(stream, s.since, s.session.CloseChan()); err != nil && !s.session.IsClosed() {
		fmt.Fprintf(os.Stderr, "init: the disk is not measured any more: %v\n", err)
	}
}
