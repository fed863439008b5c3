package docker

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	dockerimage "github.com/docker/docker/api/types/image"

	"ci/pkg/ci"
)

// image is what of an image matters to a run.
type image struct {
	id   string
	env  []string
	user string
}

// imageFor returns the image that ref names, and pulls it where the engine
// does not have it. Progress goes to console.
func (d *Driver) imageFor(ctx context.Context, ref string, console io.Writer) (image, error) {
	im, err := d.inspectImage(ctx, ref)
	if notFound(err) {
		if err := d.pull(ctx, ref, console); err != nil {
			return image{}, err
		}
		im, err = d.inspectImage(ctx, ref)
	}
	return im, d.explain(err, fmt.Sprintf("image %s can't be had", ref))
}

func (d *Driver) inspectImage(ctx context.Context, ref string) (image, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	got, err := d.api.ImageInspect(ctx, ref)
	if err != nil {
		return image{}, err
	}
	im := image{id: got.ID}
	if got.Config != nil {
		im.env, im.user = got.Config.Env, got.Config.User
	}
	return im, nil
}

// pulls are the pulls under way. Runs that want the same image share one.
type pulls struct {
	mu  sync.Mutex
	all map[string]*pull
}

// pull is one pull. It goes on while somebody waits for it.
type pull struct {
	cancel  context.CancelFunc
	done    chan struct{} // closed once err is set
	err     error
	waiting map[chan string]bool // guarded by pulls.mu
}

// pull waits until the engine has ref.
func (d *Driver) pull(ctx context.Context, ref string, console io.Writer) error {
	p, lines := d.joinPull(ref)
	defer d.leavePull(ref, p, lines)
	fmt.Fprintf(console, "Pulling %s\n", ref)
	for {
		select {
		case line := <-lines:
			fmt.Fprintln(console, line)
		case <-p.done:
			for len(lines) > 0 {
				fmt.Fprintln(console, <-lines)
			}
			if p.err != nil {
				return ci.Errorf(ci.CodeInvalid, "image %s can't be pulled: %w; check its name and whether the agent's engine may read it", ref, p.err)
			}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// joinPull takes part in the pull of ref, and begins it if nobody has.
func (d *Driver) joinPull(ref string) (*pull, chan string) {
	lines := make(chan string, 64)
	d.pulls.mu.Lock()
	defer d.pulls.mu.Unlock()
	p := d.pulls.all[ref]
	if p == nil {
		ctx, cancel := context.WithCancel(context.Background()) // ends with the last who waits
		p = &pull{cancel: cancel, done: make(chan struct{}), waiting: map[chan string]bool{}}
		if d.pulls.all == nil {
			d.pulls.all = map[string]*pull{}
		}
		d.pulls.all[ref] = p
		go func() {
			defer close(p.done)
			p.err = d.runPull(ctx, ref, func(line string) { d.tell(p, line) })
		}()
	}
	p.waiting[lines] = true
	return p, lines
}

// leavePull ends the pull when the last one leaves, and waits for its end.
func (d *Driver) leavePull(ref string, p *pull, lines chan string) {
	d.pulls.mu.Lock()
	delete(p.waiting, lines)
	last := len(p.waiting) == 0
	if last && d.pulls.all[ref] == p {
		delete(d.pulls.all, ref)
	}
	d.pulls.mu.Unlock()
	if last {
		p.cancel()
		<-p.done
	}
}

// tell gives everybody who waits a line; who does not read misses some.
func (d *Driver) tell(p *pull, line string) {
	d.pulls.mu.Lock()
	defer d.pulls.mu.Unlock()
	for lines := range p.waiting {
		select {
		case lines <- line:
		default:
		}
	}
}

// runPull pulls, with a line for each message that is no progress of a layer,
// and a sum of the layers every few seconds.
func (d *Driver) runPull(ctx context.Context, ref string, tell func(string)) error {
	answer, err := d.api.ImagePull(ctx, ref, dockerimage.PullOptions{})
	if err != nil {
		return err
	}
	defer answer.Close()
	layers := map[string]int64{}
	next := time.Now().Add(5 * time.Second)
	return messages(answer, func(m message) {
		if m.ID == "" && m.Status != "" {
			tell(m.Status)
			return
		}
		if m.Status == "Downloading" {
			layers[m.ID] = m.Progress.Current
		}
		if time.Now().After(next) {
			next = time.Now().Add(5 * time.Second)
			var sum int64
			for _, n := range layers {
				sum += n
			}
			tell(fmt.Sprintf("%d MiB downloaded", sum>>20))
		}
	})
}
