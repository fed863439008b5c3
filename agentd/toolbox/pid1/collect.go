package pid1

import (
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/yamux"

	"ci/agentd/toolbox/pack"
	"ci/agentd/toolbox/pipe"
)

// collectAll answers the agent's wishes for results, one after the other,
// until it closes the connection. Nothing runs in the container any more, so
// what is looked at does not change.
func (s *server) collectAll(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		fmt.Fprintf(os.Stderr, "init: the working directory can't be opened: %v\n", err)
	} else {
		defer root.Close()
	}
	for {
		stream, kind, err := s.accept()
		if err == io.EOF || s.session.IsClosed() {
			return nil
		}
		if err != nil {
			return err
		}
		if kind != pipe.Collect {
			return fmt.Errorf("a %q stream came where %q was due", kind, pipe.Collect)
		}
		if err := collect(stream, root); err != nil && !s.session.IsClosed() {
			// The agent has given this one up; it may want the next.
			fmt.Fprintf(os.Stderr, "init: a result was cut off: %v\n", err)
		}
		_ = stream.Close()
	}
}

func collect(stream *yamux.Stream, root *os.Root) error {
	var want pipe.Collection
	if err := pipe.ReadFrame(stream, &want, pipe.MaxDown); err != nil {
		return err
	}
	if root == nil {
		return pipe.WriteFrame(stream, pipe.Packing{Missing: "the script has removed the working directory"}, pipe.MaxUp)
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
