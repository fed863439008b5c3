package build

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"

	"ci/agentd/toolbox/pipe"
)

// Toolbox is what keeps RUN steps within limits: BuildKit has none that every
// engine knows.
type Toolbox struct {
	// Image is the full reference of an image that the engine has, with the toolbox in it.
	Image  string
	Limits pipe.StepLimits
}

// confine puts the toolbox before the command of each RUN step. It changes def.
// The steps come in the order in which they depend on each other.
func (t Toolbox) confine(def *pb.Definition, platform *pb.Platform) error {
	if def == nil || !slices.ContainsFunc(def.Def, runs) {
		return nil
	}
	source := &pb.Op{Platform: platform, Op: &pb.Op_Source{Source: &pb.SourceOp{
		Identifier: "docker-image://" + t.Image, Attrs: map[string]string{pb.AttrImageResolveMode: pb.AttrImageResolveModePreferLocal},
	}}}
	first, err := source.MarshalVT()
	if err != nil {
		return fmt.Errorf("the toolbox can't be made part of a build: %w", err)
	}
	moved := map[string]string{} // of digests, from what a step was to what it is
	steps := [][]byte{first}
	for _, text := range def.Def {
		changed, err := t.step(text, digest.FromBytes(first), moved)
		if err != nil {
			return err
		}
		moved[digest.FromBytes(text).String()] = digest.FromBytes(changed).String()
		steps = append(steps, changed)
	}
	def.Def = steps
	def.Metadata = rename(def.Metadata, moved)
	def.Metadata[digest.FromBytes(first).String()] = &pb.OpMetadata{Description: map[string]string{"llb.customname": "[internal] what keeps RUN steps within limits"}}
	if def.Source != nil {
		def.Source.Locations = rename(def.Source.Locations, moved)
	}
	return nil
}

func runs(text []byte) bool {
	var op pb.Op
	return op.UnmarshalVT(text) == nil && op.GetExec() != nil
}

// step is a step whose inputs have moved and whose command is confined. What
// depends on nothing that was changed stays byte for byte.
func (t Toolbox) step(text []byte, source digest.Digest, moved map[string]string) ([]byte, error) {
	var op pb.Op
	if err := op.UnmarshalVT(text); err != nil {
		return nil, fmt.Errorf("a step can't be read: %w", err)
	}
	changed := false
	for _, in := range op.Inputs {
		to, ok := moved[in.Digest]
		if !ok {
			return nil, fmt.Errorf("a step comes before what it depends on")
		}
		changed = changed || to != in.Digest
		in.Digest = to
	}
	if exec := op.GetExec(); exec != nil {
		changed = true
		exec.Mounts = append(exec.Mounts, &pb.Mount{
			Input: int64(len(op.Inputs)), Output: int64(pb.SkipOutput), Selector: pipe.Folder, Dest: pipe.StepFolder, Readonly: true,
		})
		op.Inputs = append(op.Inputs, &pb.Input{Digest: source.String()})
		exec.Meta.Args = append([]string{pipe.StepBinary, "step"}, exec.Meta.Args...)
		t.limit(exec.Meta)
	}
	if !changed {
		return text, nil
	}
	return op.MarshalVT()
}

// limit tells a step its limits, and what it would have found in the variable.
func (t Toolbox) limit(meta *pb.Meta) {
	l := t.Limits
	for _, name := range []string{pipe.StepLimitsIn, strings.ToLower(pipe.StepLimitsIn)} {
		own := meta.GetProxyEnv().GetFtpProxy()
		for _, v := range meta.Env {
			if value, ok := strings.CutPrefix(v, name+"="); ok && own == "" {
				own = value
			}
		}
		if own != "" {
			l.Env = append(l.Env, name+"="+own)
		}
	}
	text, _ := json.Marshal(l) // numbers and strings can always be encoded
	if meta.ProxyEnv == nil {
		meta.ProxyEnv = &pb.ProxyEnv{}
	}
	meta.ProxyEnv.FtpProxy = string(text)
}

// rename gives what a map holds to the steps' new digests.
func rename[T any](of map[string]T, moved map[string]string) map[string]T {
	renamed := map[string]T{}
	for name, v := range of {
		if to, ok := moved[name]; ok {
			name = to
		}
		renamed[name] = v
	}
	return renamed
}
