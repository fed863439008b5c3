package docker

import (
	"context"
	"fmt"
	"io"

	"github.com/distribution/reference"

	"ci/pkg/ci"
)

// How an image came to be there, for people.
const (
	wasThere = "present"
	pulled   = "pulled"
)

// environmentImage returns what the script runs in.
func (b *box) environmentImage(ctx context.Context, console io.Writer) (image, error) {
	e := b.order.Spec.Environment
	if e.Image == "" && e.Build == nil {
		return b.shared.toolbox, nil
	}
	return b.recorded("environment", "environment", func() (image, string, error) {
		return b.anyImage(ctx, e.Image, e.Build, console)
	}, ci.RunImage{For: "environment", Reference: saidImage(e.Image, e.Build)})
}

// serviceImage returns what a service runs in. An image that is built is
// there no sooner than the checkout.
func (b *box) serviceImage(ctx context.Context, s ci.Service, console io.Writer) (image, error) {
	return b.recorded("image of service "+s.Name, s.Name, func() (image, string, error) {
		return b.anyImage(ctx, s.Image, s.Build, console)
	}, ci.RunImage{For: s.Name, Reference: saidImage(s.Image, s.Build)})
}

// recorded has the run's record tell how get went.
func (b *box) recorded(step, use string, get func() (image, string, error), rec ci.RunImage) (image, error) {
	end := b.order.Tell.Step(step)
	im, how, err := get()
	if err != nil {
		end("failed")
		return image{}, err
	}
	end(how)
	rec.For, rec.Digest = use, im.digest
	b.order.Tell.Image(rec)
	return im, nil
}

// saidImage is what the job file says about an image.
func saidImage(ref string, build *ci.Build) string {
	if build != nil {
		return build.Dockerfile
	}
	return ref
}

// anyImage pulls or builds an image unless the engine has it, and says which.
func (b *box) anyImage(ctx context.Context, ref string, build *ci.Build, console io.Writer) (image, string, error) {
	if build != nil {
		return image{}, "", ci.Errorf(ci.CodeInvalid, "%s can't be built: this agent does not build images yet", build.Dockerfile)
	}
	named, err := b.d.jobImage(ref)
	if err != nil {
		return image{}, "", err
	}
	return b.d.imageFor(ctx, named, accounts(b.order.Registries), console)
}

// imageFor returns the image that named means. The engine's own copy will do,
// unless the reference floats: then the registry is asked for a newer one, and
// the copy is what is left when the registry does not answer.
func (d *Driver) imageFor(ctx context.Context, named reference.Named, a accounts, console io.Writer) (image, string, error) {
	ref := named.String()
	im, err := d.inspectImage(ctx, ref)
	if err != nil && !notFound(err) {
		return image{}, "", d.explain(err, fmt.Sprintf("image %s can't be had", reference.FamiliarString(named)))
	}
	there := err == nil
	if there && !floats(named) {
		im.digest = im.digestFor(named)
		return im, wasThere, nil
	}
	old := im.id
	if err := d.pull(ctx, named, a, console); err != nil {
		if !there || ctx.Err() != nil {
			return image{}, "", err
		}
		fmt.Fprintf(console, "%v; using the copy that the engine has\n", err)
	}
	if im, err = d.inspectImage(ctx, ref); err != nil {
		return image{}, "", d.explain(err, fmt.Sprintf("image %s can't be had", reference.FamiliarString(named)))
	}
	im.digest = im.digestFor(named)
	if im.id == old {
		return im, wasThere, nil
	}
	return im, pulled, nil
}
