package docker

import (
	"context"
	"fmt"
	"io"
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
	size    int64                 // bytes, with what it is built on
	layers  []string
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
	im := image{id: got.ID, digest: got.ID, size: got.Size, layers: got.RootFS.Layers}
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

// pull waits until the engine has named. Runs that want the same image with
// the same account share one pull.
func (d *Driver) pull(ctx context.Context, named reference.Named, a accounts, console io.Writer) error {
	name, auth := reference.FamiliarString(named), a.header(named)
	fmt.Fprintf(console, "Pulling %s\n", name)
	err := d.pulls.do(ctx, name+" "+auth, console, func(ctx context.Context, out io.Writer) error {
		return d.runPull(ctx, named.String(), auth, out)
	})
	return explainPull(err, named, auth != "")
}

// runPull pulls, with a line for each message that is no progress of a layer,
// and a sum of the layers every few seconds.
func (d *Driver) runPull(ctx context.Context, ref, auth string, out io.Writer) error {
	answer, err := d.api.ImagePull(ctx, ref, dockerimage.PullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer answer.Close()
	layers := map[string]int64{}
	next := time.Now().Add(5 * time.Second)
	return messages(answer, func(m message) {
		if m.ID == "" && m.Status != "" {
			fmt.Fprintln(out, m.Status)
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
			fmt.Fprintf(out, "%d MiB downloaded\n", sum>>20)
		}
	})
}
