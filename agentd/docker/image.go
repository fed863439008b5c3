package docker

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/distribution/reference"
	dockerimage "github.com/docker/docker/api/types/image"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// image is what of an image matters to a run.
type image struct {
	id     string
	env    []string
	user   string
	config dockerspec.DockerOCIImageConfig // everything the image says about itself
	// digest is the registry's for an image that was pulled, else the id.
	digest  string
	digests []reference.Canonical // where the image was pulled from
}

// digestFor is what is recorded for an image that was asked for as named.
func (im *image) digestFor(named reference.Named) string {
	for _, from := range im.digests {
		if from.Name() == named.Name() {
			return from.Digest().String()
		}
	}
	return im.id
}

func (d *Driver) inspectImage(ctx context.Context, ref string) (image, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	got, err := d.api.ImageInspect(ctx, ref)
	if err != nil {
		return image{}, err
	}
	im := image{id: got.ID, digest: got.ID}
	if got.Config != nil {
		im.config, im.env, im.user = *got.Config, got.Config.Env, got.Config.User
	}
	for _, text := range got.RepoDigests {
		if from, err := reference.ParseNormalizedNamed(text); err == nil {
			if c, ok := from.(reference.Canonical); ok {
				im.digests = append(im.digests, c)
			}
		}
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

// pull waits until the engine has named.
func (d *Driver) pull(ctx context.Context, named reference.Named, a accounts, console io.Writer) error {
	name, auth := reference.FamiliarString(named), a.header(named)
	key := name + " " + auth
	p, lines := d.joinPull(key, named.String(), auth)
	defer d.leavePull(key, p, lines)
	fmt.Fprintf(console, "Pulling %s\n", name)
	for {
		select {
		case line := <-lines:
			fmt.Fprintln(console, line)
		case <-p.done:
			for len(lines) > 0 {
				fmt.Fprintln(console, <-lines)
			}
			return explainPull(p.err, named, auth != "")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// joinPull takes part in the pull of ref, and begins it if nobody has.
func (d *Driver) joinPull(key, ref, auth string) (*pull, chan string) {
	lines := make(chan string, 64)
	d.pulls.mu.Lock()
	defer d.pulls.mu.Unlock()
	p := d.pulls.all[key]
	if p == nil {
		ctx, cancel := context.WithCancel(context.Background()) // ends with the last who waits
		p = &pull{cancel: cancel, done: make(chan struct{}), waiting: map[chan string]bool{}}
		if d.pulls.all == nil {
			d.pulls.all = map[string]*pull{}
		}
		d.pulls.all[key] = p
		go func() {
			defer close(p.done)
			p.err = d.runPull(ctx, ref, auth, func(line string) { d.tell(p, line) })
		}()
	}
	p.waiting[lines] = true
	return p, lines
}

// leavePull ends the pull when the last one leaves, and waits for its end.
func (d *Driver) leavePull(key string, p *pull, lines chan string) {
	d.pulls.mu.Lock()
	delete(p.waiting, lines)
	last := len(p.waiting) == 0
	if last && d.pulls.all[key] == p {
		delete(d.pulls.all, key)
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
func (d *Driver) runPull(ctx context.Context, ref, auth string, tell func(string)) error {
	answer, err := d.api.ImagePull(ctx, ref, dockerimage.PullOptions{RegistryAuth: auth})
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
