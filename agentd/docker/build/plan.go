// Package build makes images from Dockerfiles with the engine's BuildKit. The
// Dockerfile is read here, by the library that BuildKit itself reads it with,
// and only the steps that come of it go to the engine. So every engine
// understands the same Dockerfiles, no program for the purpose is pulled that a
// "# syntax" line names, and each step is looked at before the engine does it.
package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ci/pkg/ci"
)

// Dockerfile is one to be built.
type Dockerfile struct {
	// Path is its place in the repository, for people.
	Path   string
	Text   []byte
	Target string // a stage; "" is the last
	Args   map[string]string
	// OS and Arch are the engine's, as it says them.
	OS, Arch string
	// Fetch lets the engine fetch what ADD names by an address.
	Fetch bool
}

// Base is an image that a Dockerfile builds on.
type Base struct {
	// Config is what the image says about itself.
	Config dockerspec.DockerOCIImageConfig
	// ID stands for its content: a registry's digest, or the engine's id.
	ID string
}

// Plan is what a Dockerfile needs.
type Plan struct {
	file Dockerfile

	mu    sync.Mutex
	bases map[string]string // reference to ID
}

// NewPlan reads a Dockerfile and asks resolve for each image that its target
// builds on, under a full reference ("docker.io/library/debian:12").
// Its errors name the Dockerfile and the line.
func NewPlan(ctx context.Context, f Dockerfile, resolve func(ctx context.Context, ref string) (Base, error)) (*Plan, error) {
	if err := f.bounded(); err != nil {
		return nil, f.fault(err)
	}
	p := &Plan{file: f, bases: map[string]string{}}
	platform := p.platform()
	var failed error // a base's, before it is wrapped into words about stages
	res, err := dockerfile2llb.Dockerfile2LLB(ctx, f.Text, dockerfile2llb.ConvertOpt{
		Config:         dockerui.Config{BuildArgs: p.args(), Target: f.Target, BuildPlatforms: []ocispec.Platform{platform}},
		TargetPlatform: &platform,
		SourceMap:      llb.NewSourceMap(nil, f.Path, "Dockerfile", f.Text), // so that check knows lines
		MetaResolver: resolver(func(ctx context.Context, ref string) ([]byte, error) {
			text, err := p.resolve(ctx, ref, platform, resolve)
			if err != nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				failed = errors.Join(failed, err)
			}
			return text, err
		}),
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case failed != nil:
		return nil, first(failed)
	case err != nil:
		return nil, f.fault(err)
	}
	def, err := res.State.Marshal(ctx, llb.Platform(platform))
	if err != nil {
		return nil, f.fault(err)
	}
	if err := p.check(def.ToPB()); err != nil {
		return nil, f.fault(err)
	}
	return p, nil
}

func (p *Plan) platform() ocispec.Platform {
	return platforms.Normalize(ocispec.Platform{OS: p.file.OS, Architecture: p.file.Arch})
}

// first is the first of joined errors: the others are of the same kind.
func first(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok && len(many.Unwrap()) > 0 {
		return many.Unwrap()[0]
	}
	return err
}

func (p *Plan) resolve(ctx context.Context, ref string, platform ocispec.Platform, resolve func(context.Context, string) (Base, error)) ([]byte, error) {
	base, err := resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	if env := strings.Join(base.Config.Env, ""); len(env) > maxBaseEnv {
		return nil, ci.Errorf(ci.CodeInvalid, "image %s has %d bytes of environment, and %d are allowed of an image that is built on", ref, len(env), maxBaseEnv)
	}
	p.mu.Lock()
	p.bases[ref] = base.ID
	p.mu.Unlock()
	return json.Marshal(dockerspec.DockerOCIImage{
		Image:  ocispec.Image{Platform: platform, RootFS: ocispec.RootFS{Type: "layers"}},
		Config: base.Config,
	})
}

// Bases are the images that are built on: a reference and an ID each, in order.
func (p *Plan) Bases() [][2]string {
	list := make([][2]string, 0, len(p.bases))
	for _, ref := range slices.Sorted(maps.Keys(p.bases)) {
		list = append(list, [2]string{ref, p.bases[ref]})
	}
	return list
}

// args are the build's arguments but for those that steer the builder instead
// of the build.
func (p *Plan) args() map[string]string {
	args := maps.Clone(p.file.Args)
	maps.DeleteFunc(args, func(name, _ string) bool { return strings.HasPrefix(name, "BUILDKIT_") })
	return args
}

// resolver is a function as the library wants it.
type resolver func(ctx context.Context, ref string) ([]byte, error)

// ResolveImageConfig returns an image's reference, no digest and its configuration.
func (r resolver) ResolveImageConfig(ctx context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	text, err := r(ctx, ref)
	return ref, "", text, err
}

// fault puts an error about the Dockerfile into a sentence.
func (f Dockerfile) fault(err error) error {
	where := f.Path
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 && !strings.Contains(err.Error(), "on line") {
		where = fmt.Sprintf("%s, line %d", f.Path, at.Locations[0][0].Start.Line)
	}
	return ci.Errorf(ci.CodeInvalid, "%s can't be built: %w", where, err)
}
