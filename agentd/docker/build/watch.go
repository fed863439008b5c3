package build

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"

	"ci/agentd/toolbox/pipe"
)

// maxWords is how much of what a step printed last is quoted, in bytes.
const maxWords = 1500

// watch prints a build's progress and remembers which step failed.
type watch struct {
	out    io.Writer
	in     chan *client.SolveStatus
	done   sync.WaitGroup
	names  map[digest.Digest]string
	words  map[digest.Digest][]byte
	failed string
}

func newWatch(out io.Writer) *watch {
	return &watch{
		out: out, in: make(chan *client.SolveStatus),
		names: map[digest.Digest]string{}, words: map[digest.Digest][]byte{},
	}
}

// statuses is where the client sends what happens. It closes it.
func (w *watch) statuses() chan *client.SolveStatus {
	shown := make(chan *client.SolveStatus)
	w.done.Go(func() {
		defer close(shown)
		for s := range w.in {
			w.note(s)
			shown <- s
		}
	})
	w.done.Go(func() {
		display, err := progressui.NewDisplay(w.out, progressui.PlainMode)
		if err == nil {
			_, _ = display.UpdateFrom(context.Background(), shown) // it ends with shown
		}
		for range shown { // whatever became of the display, the build must not wait for it
		}
	})
	return w.in
}

// wait returns once everything is printed: a sentence about the step that
// failed, "" for none.
func (w *watch) wait() string {
	w.done.Wait()
	return w.failed
}

func (w *watch) note(s *client.SolveStatus) {
	for _, l := range s.Logs {
		kept := slices.Concat(w.words[l.Vertex], l.Data)
		w.words[l.Vertex] = kept[max(0, len(kept)-maxWords):]
	}
	for _, v := range s.Vertexes {
		v.Error = plainly(v.Error)
		w.names[v.Digest] = v.Name
		if v.Completed != nil && v.Error == "" {
			delete(w.words, v.Digest) // it is done, and nobody will ask
		}
		if v.Error != "" && w.failed == "" && !strings.HasSuffix(v.Error, "context canceled") {
			w.failed = w.verdict(v)
		}
	}
}

func (w *watch) verdict(v *client.Vertex) string {
	printed := string(w.words[v.Digest])
	if _, why, ok := strings.Cut(printed, "\n"+pipe.StepEnded); ok { // a step that says so itself deceives its own run
		return fmt.Sprintf("its step %s was ended: %s", v.Name, strings.TrimSpace(why))
	}
	text := fmt.Sprintf("its step %s failed: %s", v.Name, v.Error)
	if last := strings.TrimSpace(printed); last != "" {
		text += "; the last that it printed: " + last
	}
	return text
}
