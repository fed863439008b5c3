package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"ci/agentd/docker/build"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// buildFormat changes with anything that makes another image of the same input.
const buildFormat = 1

// labelBuild is the label of every image that was built here. Its value is the key.
const labelBuild = "ci.build"

// buildName is the repository of all images that agents build; no job may name it.
const buildName = "ci-build"

// keepGit is the argument that BuildKit itself has for contexts from git.
const keepGit = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"

// errAgain is how a build ends when the run whose checkout it was made from
// has gone away: whoever else waited for it makes it from its own.
var errAgain = errors.New("the run that built the image has ended")

// recipe is all that an image is made from. Equal recipes make equal images.
type recipe struct {
	Format     int
	Context    string // the digest of the files
	Dockerfile string
	Target     string
	Args       map[string]string
	Bases      [][2]string
	Platform   string
}

func (r recipe) key() string {
	text, _ := json.Marshal(r) // strings can always be encoded
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// buildImage returns the image that a Dockerfile of the checkout makes: the
// one that this agent or, over the cache registry, another has built from the
// same, or a new one.
func (b *box) buildImage(ctx context.Context, spec *ci.Build, console io.Writer) (image, string, error) {
	stream, answer, err := b.files(ctx, pipe.BuildContext{
		Dir: ci.DefaultWorkdir, Context: spec.Context, Dockerfile: spec.Dockerfile,
		Git: spec.Args[keepGit] == "1" || spec.Args[keepGit] == "true", MaxFiles: maxContextFiles, MaxBytes: maxContextBytes,
	})
	if err != nil {
		return image{}, "", err
	}
	defer stream.Close()
	plan, err := build.NewPlan(ctx, build.Dockerfile{
		Path: spec.Dockerfile, Text: answer.Dockerfile, Target: spec.Target, Args: spec.Args,
		OS: b.shared.os, Arch: b.shared.arch, Fetch: b.d.cfg.OpenHost,
	}, func(ctx context.Context, ref string) (build.Base, error) { return b.base(ctx, ref, console) })
	if err != nil {
		return image{}, "", err
	}
	r := recipe{
		Format: buildFormat, Context: answer.Digest, Dockerfile: string(answer.Dockerfile), Target: spec.Target,
		Args: spec.Args, Bases: plan.Bases(), Platform: b.shared.os + "/" + b.shared.arch,
	}
	return b.built(ctx, spec, plan, r.key(), stream, console)
}

// base pulls an image that a Dockerfile builds on, as any image of a job.
func (b *box) base(ctx context.Context, ref string, console io.Writer) (build.Base, error) {
	named, err := b.d.jobImage(ref)
	if err != nil {
		return build.Base{}, err
	}
	im, _, err := b.pulledImage(ctx, named, console)
	if err != nil {
		return build.Base{}, err
	}
	return build.Base{Config: im.config, ID: im.digest}, nil
}

// built returns the image of a key and says how it came about.
func (b *box) built(ctx context.Context, spec *ci.Build, plan *build.Plan, key string, stream net.Conn, console io.Writer) (image, string, error) {
	tag := b.d.buildTag(key)
	for {
		im, err := b.d.inspectImage(ctx, tag)
		if err == nil {
			b.hold(im.id)
			b.d.keeper.touch(tag)
			if b.first("image " + tag) {
				fmt.Fprintf(console, "%s was built before from the same files; using that image\n", spec.Dockerfile)
			}
			return im, "cached", nil
		}
		if !notFound(err) {
			return image{}, "", b.d.explain(err, "the built image can't be looked at")
		}
		how := "built by another run at the same time"
		err = b.d.builds.do(ctx, key, console, func(work context.Context, out io.Writer) (err error) {
			if how, err = b.makeImage(work, spec, plan, key, stream, out); err != nil && ctx.Err() != nil {
				return errAgain // its stream went away with this run
			}
			return err
		})
		switch {
		case ctx.Err() != nil:
			return image{}, "", context.Cause(ctx)
		case errors.Is(err, errAgain):
			continue
		case err != nil:
			return image{}, "", err
		}
		b.first("image " + tag) // no need to say that it was there when the run wants it again
		if im, err = b.d.inspectImage(ctx, tag); err == nil {
			b.hold(im.id)
			b.keep(ctx, tag, im)
			return im, how, nil
		}
		return image{}, "", b.d.explain(err, "the built image can't be looked at")
	}
}

// makeImage fetches or builds the image of a key.
func (b *box) makeImage(ctx context.Context, spec *ci.Build, plan *build.Plan, key string, stream net.Conn, out io.Writer) (string, error) {
	a := accounts(b.order.Registries)
	if b.d.fetchBuilt(ctx, key, a, out) {
		return "fetched from the cache registry", nil
	}
	fmt.Fprintf(out, "Building %s\n", spec.Dockerfile)
	ctx, stop, err := b.withinDisk(ctx)
	if err != nil {
		return "", err
	}
	defer stop()
	err = plan.Run(ctx, b.d.api.DialHijack, stream, build.Output{
		Tag: b.d.buildTag(key), Labels: map[string]string{labelBuild: key},
		Caches:  b.d.secretName("caches", b.order.Job),
		Toolbox: b.stepToolbox(), CPUs: min(b.order.Spec.Resources.CPUs, float64(b.shared.cores)),
	}, out)
	if err != nil {
		return "", err
	}
	b.d.shareBuilt(key, a)
	return "built", nil
}

// stepToolbox is what keeps RUN steps within the run's limits.
func (b *box) stepToolbox() build.Toolbox {
	r := b.order.Spec.Resources
	return build.Toolbox{Image: b.shared.toolboxRef, Limits: pipe.StepLimits{Memory: r.Memory, Pids: r.Pids, Disk: b.d.cfg.Disk, Floor: b.d.cfg.diskFloor}}
}

// buildTag is under which this agent finds an image that it has built. Another
// agent of the same engine has tags of its own, so neither removes the other's.
func (d *Driver) buildTag(key string) string { return buildName + ":" + d.short() + "-" + key }

// secretName is a name that no job can guess, and the same for equal parts.
func (d *Driver) secretName(parts ...string) string {
	sum := sha256.Sum256([]byte(d.keeper.secret() + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// needsBuild says whether anything of the run is built.
func (b *box) needsBuild() bool {
	return b.order.Spec.Environment.Build != nil ||
		slices.ContainsFunc(b.order.Spec.Services, func(s ci.Service) bool { return s.Build != nil })
}

// checkBuilds refuses builds that have nothing to be made from.
func (b *box) checkBuilds() error {
	if b.needsBuild() && b.order.Checkout == nil {
		return ci.Errorf(ci.CodeInvalid, "a Dockerfile needs a repository, and this job has none; name an image instead, or give the job a repository")
	}
	return nil
}

// isOurs says whether a reference is in a repository of ours.
func (d *Driver) isOurs(named reference.Named) bool {
	if reference.Domain(named) == hub && ownNames[strings.TrimPrefix(reference.Path(named), "library/")] {
		return true
	}
	return d.cache != nil && d.cache.Name() == named.Name()
}
