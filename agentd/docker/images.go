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
	return b.recorded(ctx, "environment", "environment", e.Image, e.Build, console)
}

// serviceImage returns what a service runs in. An image that is built is
// there no sooner than the checkout.
func (b *box) serviceImage(ctx context.Context, s ci.Service, console io.Writer) (image, error) {
	return b.recorded(ctx, "image of service "+s.Name, s.Name, s.Image, s.Build, console)
}

// recorded gets an image and has the run's record tell how.
func (b *box) recorded(ctx context.Context, step, use, ref string, build *ci.Build, console io.Writer) (image, error) {
	rec := ci.RunImage{For: use, Reference: ref}
	if build != nil {
		rec.Reference = build.Dockerfile
		if err := b.readyToBuild(ctx); err != nil { // before the step: it is not its time
			return image{}, err
		}
	}
	end := b.order.Tell.Step(step)
	im, how, err := b.anyImage(ctx, ref, build, console)
	if err != nil {
		end("failed")
		return image{}, err
	}
	end(how)
	rec.Digest = im.digest
	b.order.Tell.Image(rec)
	return im, nil
}

// anyImage pulls or builds an image unless the engine has it, and says which.
func (b *box) anyImage(ctx context.Context, ref string, build *ci.Build, console io.Writer) (image, string, error) {
	if build != nil {
		return b.buildImage(ctx, build, console)
	}
	named, err := b.d.jobImage(ref)
	if err != nil {
		return image{}, "", err
	}
	return b.pulledImage(ctx, named, console)
}

// pulledImage returns the image that named means, held for the run.
func (b *box) pulledImage(ctx context.Context, named reference.Named, console io.Writer) (image, string, error) {
	im, how, err := b.d.imageFor(ctx, named, accounts(b.order.Registries), console)
	if err != nil {
		return image{}, "", err
	}
	b.hold(im.id)
	if how == pulled {
		b.keep(ctx, named.String(), im)
	} else {
		b.d.keeper.touch(named.String())
	}
	return im, how, nil
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
