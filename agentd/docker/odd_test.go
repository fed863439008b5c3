package docker

import (
	"context"
	"fmt"
	"os"
	"testing"

	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"
)

// Images as people make them, and what of them must not happen in a run.
func TestOddImages(t *testing.T) {
	t.Parallel()
	d := agent(t)
	onbuild := fmt.Sprintf("ci-test:onbuild-%d", os.Getpid())
	require.NoError(t, importImage(t.Context(), onbuild, nil, nil, "LABEL onbuild=yes", "ONBUILD COPY file /onbuild"))
	t.Cleanup(func() { _, _ = engine.ImageRemove(context.Background(), onbuild, dockerimage.RemoveOptions{}) })
	const bare = "FROM scratch\nCOPY --from=%[1]s /bin /bin\nENV PATH=/bin\n"
	tests := []struct{ name, dockerfile, script, want string }{
		{"a named user", "FROM %[1]s\nUSER dev\n", "id -un; touch here && echo written", "dev\nwritten\n"},
		{"a named user and group", "FROM %[1]s\nUSER dev:build\n", "id -gn", "build\n"},
		{"no passwd", bare, "id -u; touch here && echo written", "0\nwritten\n"},
		{"no passwd and a number", bare + "USER 4711:4712\n", "id -u; id -g; touch here && echo written", "4711\n4712\nwritten\n"},
		{"an entry point", "FROM %[1]s\nENTRYPOINT [\"/bin/touch\", \"/entered\"]\nCMD [\"x\"]\n", "test ! -e /entered && echo not run", "not run\n"},
		{"a health check", "FROM %[1]s\nHEALTHCHECK --interval=1s CMD /bin/touch /checked\n", "sleep 3; test ! -e /checked && echo not run", "not run\n"},
		{"a volume", "FROM %[1]s\nRUN mkdir /v && echo filled > /v/x\nVOLUME /v /v/deeper /other\n", "cat /v/x; touch /other/y && echo written", "filled\nwritten\n"},
		{"a working directory that leads out", "FROM %[1]s\nWORKDIR /proc/self/fd/8\n", "pwd", "/workspace\n"},
		{"labels like ours", "FROM %[1]s\nLABEL ci.run=1 ci.agent=another ci.role=sandbox ci.build=x\n", "echo fine", "fine\n"},
		{"an init of its own", "FROM %[1]s\nSTOPSIGNAL SIGUSR1\nENTRYPOINT [\"/sbin/init\"]\n", "echo fine", "fine\n"},
		{"triggers of its base", "FROM " + onbuild + "\n", "cat /onbuild; ", "version 2\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dockerfile := test.dockerfile
			if test.name != "triggers of its base" {
				dockerfile = fmt.Sprintf(dockerfile, busyBase)
			}
			r := project(t, map[string]string{"Dockerfile": dockerfile})
			b, console, err := prepared(t, d, building(r, test.script))
			require.NoError(t, err, console)
			var script output
			exit, err := b.Run(t.Context(), func() {}, &script)
			require.NoError(t, err)
			require.Equal(t, test.want, script.String())
			require.Zero(t, exit.Code)
			got, err := engine.ContainerInspect(t.Context(), b.container)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(b.order.Run), got.Config.Labels[labelRun])
			require.Equal(t, d.cfg.Agent, got.Config.Labels[labelAgent])
			require.NoError(t, b.Remove(context.Background()))
			for _, m := range got.Mounts {
				if m.Name != "" && m.Name != b.shared.volume {
					_, err := engine.VolumeInspect(context.Background(), m.Name)
					require.True(t, notFound(err), "volume %s at %s is left behind", m.Name, m.Destination)
				}
			}
		})
	}
}

// A user that the image does not have is told before the script begins.
func TestImageOfAnUnknownUser(t *testing.T) {
	t.Parallel()
	d := agent(t)
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nUSER nemo\n", busyBase)})
	b, console, err := prepared(t, d, building(r, "true"))
	require.NoError(t, err, console)
	_, err = b.Run(t.Context(), func() { t.Error("started") }, &output{})
	require.ErrorContains(t, err, `user "nemo" is not in the image's /etc/passwd`)
}

// A Dockerfile without a repository has nothing to be made from.
func TestBuildWithoutARepository(t *testing.T) {
	t.Parallel()
	r := &repository{shas: []string{""}}
	o := building(r, "true")
	o.Checkout = nil
	_, err := common.Prepare(t.Context(), o, &output{})
	require.ErrorContains(t, err, "a Dockerfile needs a repository")
}
