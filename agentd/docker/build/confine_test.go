package build

import (
	"encoding/json"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"ci/agentd/toolbox/pipe"
)

func marshalled(t *testing.T, s llb.State) *pb.Definition {
	t.Helper()
	def, err := s.Marshal(t.Context(), llb.LinuxAmd64)
	require.NoError(t, err)
	return def.ToPB()
}

// ops reads the steps of a definition and checks that each input is one of the
// steps before.
func ops(t *testing.T, def *pb.Definition) []*pb.Op {
	t.Helper()
	known := map[string]bool{}
	var all []*pb.Op
	for _, text := range def.Def {
		var op pb.Op
		require.NoError(t, op.UnmarshalVT(text))
		for _, in := range op.Inputs {
			require.True(t, known[in.Digest], "%v depends on what is not there", op.Op)
		}
		known[digest.FromBytes(text).String()] = true
		all = append(all, &op)
	}
	for name := range def.Metadata {
		require.True(t, known[name], "metadata of a step that is not there")
	}
	return all
}

func TestConfine(t *testing.T) {
	t.Parallel()
	base := llb.Image("docker.io/library/base:1")
	first := base.Run(llb.Args([]string{"/bin/sh", "-c", "one"}), llb.AddEnv("FTP_PROXY", "own")).Root()
	second := first.Run(llb.Args([]string{"two"}), llb.WithProxy(llb.ProxyEnv{FTPProxy: "theirs", HTTPProxy: "http://p"}), llb.WithCustomName("the second")).Root()
	def := marshalled(t, base.File(llb.Copy(second, "/a", "/b")))
	before := ops(t, def)

	toolbox := Toolbox{Image: "docker.io/library/ci-toolbox:x", Limits: pipe.StepLimits{Memory: 1 << 20, Pids: 7, Disk: -1}}
	require.NoError(t, toolbox.confine(def, nil))
	after := ops(t, def)
	require.Len(t, after, len(before)+1)
	require.Equal(t, "docker-image://docker.io/library/ci-toolbox:x", after[0].GetSource().Identifier)
	require.Nil(t, after[len(after)-1].Op, "what is asked for comes last")

	var commands [][]string
	var limits []pipe.StepLimits
	for _, op := range after {
		exec := op.GetExec()
		if exec == nil {
			continue
		}
		commands = append(commands, exec.Meta.Args)
		var l pipe.StepLimits
		require.NoError(t, json.Unmarshal([]byte(exec.Meta.ProxyEnv.FtpProxy), &l))
		limits = append(limits, l)
		m := exec.Mounts[len(exec.Mounts)-1]
		require.Equal(t, pipe.StepFolder, m.Dest)
		require.True(t, m.Readonly)
		require.EqualValues(t, digest.FromBytes(def.Def[0]), op.Inputs[m.Input].Digest)
	}
	require.Equal(t, [][]string{{"/~ci/ci-agent", "step", "/bin/sh", "-c", "one"}, {"/~ci/ci-agent", "step", "two"}}, commands)
	require.Equal(t, []string{"FTP_PROXY=own"}, limits[0].Env)
	require.Equal(t, []string{"FTP_PROXY=theirs", "ftp_proxy=theirs"}, limits[1].Env)
	require.EqualValues(t, 7, limits[1].Pids)
}

// What runs nothing stays as it is, byte for byte.
func TestNothingToConfine(t *testing.T) {
	t.Parallel()
	def := marshalled(t, llb.Image("docker.io/library/base:1").File(llb.Mkdir("/x", 0o755)))
	want := def.CloneVT()
	require.NoError(t, Toolbox{Image: "x"}.confine(def, nil))
	require.True(t, want.EqualVT(def))
	require.NoError(t, Toolbox{}.confine(nil, nil))
}

// Nothing may be mounted over the toolbox, nor after it through a link.
func TestMountsBeforeTheToolbox(t *testing.T) {
	t.Parallel()
	for dest, ok := range map[string]bool{"/cache": true, "/zzz/~": true, "/}": true, "/~": true, "/~ci": false, "/~ci/ci-agent": false, "/~x": false, "/é": false} {
		err := checkExec(&pb.ExecOp{Mounts: []*pb.Mount{{Dest: "/"}, {Dest: dest}}})
		require.Equal(t, ok, err == nil, dest)
	}
}
