package runner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"ci/agentd/mask"
	"ci/pkg/ci"
)

// pause is how long output may be held back that could be the beginning of a
// secret, while it is so short that it hardly tells anything of it.
const pause = 200 * time.Millisecond

// maskOf makes the mask of all that is confidential about a run; nil when nothing is.
func maskOf(w *ci.Work) *mask.Mask {
	values := slices.Collect(maps.Values(w.Secrets))
	for _, r := range w.Registries {
		values = append(values, r.Password)
	}
	if w.HTTP != nil {
		values = append(values, w.HTTP.Password)
	}
	return mask.New(append(values, w.Token)...)
}

// tooShort are the names of secrets that can't be masked, in order.
func tooShort(secrets map[string]string) []string {
	var names []string
	for name, value := range secrets {
		if len(strings.TrimSpace(value)) < ci.MinMasked {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// warnOfShort says in the console which secrets will be seen if they are printed.
func (r *Runner) warnOfShort() {
	if names := tooShort(r.work.Secrets); len(names) > 0 {
		r.console.say("not masked, since values under %d bytes would mask too much else: %s", ci.MinMasked, strings.Join(names, ", "))
	}
}

// masked is a writer that lets no secret through to another one.
type masked struct {
	mu     sync.Mutex
	stream *mask.Stream
	timer  *time.Timer // lets out what is held for no good reason
}

// newMasked masks what goes to write. m may not be nil.
func newMasked(m *mask.Mask, write func([]byte) (int, error)) *masked {
	return &masked{stream: m.Stream(func(p []byte) error {
		_, err := write(p)
		return err
	})}
}

// Write masks p. It fails when what is behind it does.
func (w *masked) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	if err := w.stream.Write(p); err != nil {
		return 0, err
	}
	if w.stream.Held() {
		w.timer = time.AfterFunc(pause, w.pause)
	}
	return len(p), nil
}

func (w *masked) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.stream.Pause() // the next Write meets the same error
}

// flush lets out all that is held, once nothing follows.
func (w *masked) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	return w.stream.Close()
}

// maskEnd masks all words about a run's end.
func (r *Runner) maskEnd(end *ci.End) {
	end.Reason = r.mask.String(brief(r.mask.String(end.Reason)))
	for i := range end.Steps {
		end.Steps[i].Name = r.mask.String(end.Steps[i].Name)
		end.Steps[i].Detail = r.mask.String(end.Steps[i].Detail)
	}
	for i := range end.Images {
		im := &end.Images[i]
		im.Reference, im.Digest = r.mask.String(im.Reference), r.mask.String(im.Digest)
	}
}

// maskResult masks what names a result: its own name comes from the job file,
// its file's from the container.
func (c *collector) maskResult(res *ci.Result) {
	m := c.runner.mask
	if m.String(res.Name) != res.Name {
		c.renamed++
		res.Name = fmt.Sprintf("masked-%d", c.renamed)
	}
	res.Filename = m.String(res.Filename)
}
