package build

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"ci/agentd/toolbox/pipe"
)

// check refuses steps that would reach beyond a build: the engine carries them
// out with its own network and rights.
func (p *Plan) check(def *pb.Definition) error {
	if def == nil {
		return nil
	}
	for _, text := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(text); err != nil {
			return fmt.Errorf("a step can't be read: %w", err)
		}
		if err := p.checkOp(&op); err != nil {
			return parser.WithLocation(err, places(def, text))
		}
	}
	return nil
}

// places are the lines of the Dockerfile that a step comes from, as far as known.
func places(def *pb.Definition, text []byte) []parser.Range {
	if def.Source == nil {
		return nil
	}
	var found []parser.Range
	for _, l := range def.Source.Locations[digest.FromBytes(text).String()].GetLocations() {
		for _, r := range l.Ranges {
			found = append(found, parser.Range{
				Start: parser.Position{Line: int(r.Start.GetLine()), Character: int(r.Start.GetCharacter())},
				End:   parser.Position{Line: int(r.End.GetLine()), Character: int(r.End.GetCharacter())},
			})
		}
	}
	return found
}

func (p *Plan) checkOp(op *pb.Op) error {
	switch op := op.Op.(type) {
	case *pb.Op_Exec:
		return checkExec(op.Exec)
	case *pb.Op_Source:
		return p.checkSource(op.Source.Identifier)
	case nil, *pb.Op_File, *pb.Op_Merge, *pb.Op_Diff: // nothing but files that are there
		return nil
	}
	return fmt.Errorf("a step is of a kind that agents do not allow (%T)", op.Op)
}

func checkExec(e *pb.ExecOp) error {
	switch {
	case e.Network == pb.NetMode_HOST:
		return fmt.Errorf("RUN --network=host would give a step the network of the engine's machine; leave it out")
	case e.Security != pb.SecurityMode_SANDBOX:
		return fmt.Errorf("RUN --security=insecure would give a step all rights on the engine's machine; leave it out")
	case len(e.CdiDevices) > 0:
		return fmt.Errorf("RUN --device would give a step a device of the engine's machine; leave it out")
	}
	for _, m := range e.Mounts {
		switch {
		case m.MountType == pb.MountType_SECRET && !m.SecretOpt.GetOptional():
			return fmt.Errorf("RUN --mount=type=secret,id=%s,required: a build gets no secrets, since what it makes is kept and used again; use the secret in the script, or leave out required", m.SecretOpt.GetID())
		case m.MountType == pb.MountType_SSH && !m.SSHOpt.GetOptional():
			return fmt.Errorf("RUN --mount=type=ssh,required: a build gets no SSH key, since what it makes is kept and used again; fetch in the script, with ssh: true in the job file, or by a submodule")
		}
		if m.Dest >= pipe.StepFolder { // it would be mounted after, and so perhaps over, what keeps the step within its limits
			return fmt.Errorf("RUN --mount has the target %s; its name may begin with neither ~ nor a letter that is not ASCII", m.Dest)
		}
	}
	return nil
}

// checkSource knows where files may come from: the checkout, and images that
// were resolved before.
func (p *Plan) checkSource(id string) error {
	scheme, rest, _ := strings.Cut(id, "://")
	switch {
	case scheme == "local":
		return nil
	case scheme == "docker-image" && p.knows(rest):
		return nil
	case scheme == "docker-image":
		return fmt.Errorf("image %s is used but was not resolved before the build", rest)
	case p.file.Fetch && (scheme == "https" || scheme == "http" || scheme == "git"):
		return nil
	}
	return fmt.Errorf("ADD %s would be fetched by the engine itself, which reaches what no job may reach; fetch it in a RUN step with curl, wget or git instead", id)
}

// knows says whether ref, with or without a digest, was resolved.
func (p *Plan) knows(ref string) bool {
	if _, ok := p.bases[ref]; ok {
		return true
	}
	name, _, pinned := strings.Cut(ref, "@")
	_, ok := p.bases[name]
	return ok && pinned
}

// guarded is the engine's builder behind check.
type guarded struct {
	gateway.Client
	plan    *Plan
	toolbox Toolbox
}

// Solve has the engine carry out steps.
func (g *guarded) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	if req.Frontend != "" {
		return nil, fmt.Errorf("a build may not hand over to %q", req.Frontend)
	}
	if err := g.plan.check(req.Definition); err != nil {
		return nil, err
	}
	for _, def := range req.FrontendInputs {
		if err := g.plan.check(def); err != nil {
			return nil, err
		}
	}
	if err := g.toolbox.confine(req.Definition, pb.PlatformFromSpec(g.plan.platform())); err != nil {
		return nil, err
	}
	return g.Client.Solve(ctx, req)
}

// ResolveImageConfig asks the engine about an image.
func (g *guarded) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if err := g.plan.checkSource("docker-image://" + ref); err != nil {
		return "", "", nil, err
	}
	return g.Client.ResolveImageConfig(ctx, ref, opt)
}

// ResolveSourceMetadata asks the engine about a source.
func (g *guarded) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	if err := g.plan.checkSource(op.Identifier); err != nil {
		return nil, err
	}
	return g.Client.ResolveSourceMetadata(ctx, op, opt)
}

// NewContainer is not for builds.
func (g *guarded) NewContainer(context.Context, gateway.NewContainerRequest) (gateway.Container, error) {
	return nil, fmt.Errorf("a build may not start containers of its own")
}
