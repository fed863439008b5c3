package docker

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// Whatever a RUN step uses up, its run ends with a sentence that says which
// limit it was, and the next build goes on.
func TestBuildLimits(t *testing.T) {
	t.Parallel()
	d := agent(t, func(c *Config) { c.Disk = 40 << 20 })
	const forks = "i=0; while [ $i -lt 400 ]; do sleep 600 & i=$((i+1)); done; wait"
	tests := []struct{ name, step, says string }{
		{"processes", forks, "more than 64 processes (resources.pids)"},
		{"a fork bomb", "bomb() { bomb | bomb & }; bomb; sleep 600", "more than 64 processes"},
		{"memory", "tail -c 2000000000 /dev/zero", "more than 96MiB of memory; give the job more in resources.memory"},
		{"memory of many", "for i in 1 2 3 4 5; do tail -c 30000000 /dev/zero | sleep 600 & done; wait", "more than 96MiB of memory"},
		{"files in memory", "dd if=/dev/zero of=/dev/shm/x bs=1M count=60 && tail -c 50000000 /dev/zero | sleep 600", "more than 96MiB of memory"},
		{"disk", "dd if=/dev/zero of=/fill bs=1M count=100; sleep 600", "a step may write 40MiB"},
		{"disk by a cache", "dd if=/dev/zero of=/cache/fill bs=1M count=100; sleep 600", "a step may write 40MiB"},
		{"its guard", "for s in 9 15 2 3 1 19 24; do kill -$s 1; done; " + forks, "more than 64 processes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nRUN --mount=type=cache,target=/cache : %s; %s\n", busyBase, rand.Text(), test.step)})
			o := building(r, "true")
			o.Spec.Resources.Memory, o.Spec.Resources.Pids = 96<<20, 64
			_, console, err := prepared(t, d, o)
			require.ErrorContains(t, err, "was ended: it", console)
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error()+console, "~ci")
			require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
		})
	}
}

// Of what keeps it within its limits a step notices nothing: it ends as its
// command does, whatever it leaves running, and no file of ours is in the image:
// of old engines at most the empty folder where one was mounted.
func TestBuildStepsAreThemselves(t *testing.T) {
	t.Parallel()
	d := agent(t)
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf(`FROM %s
ENV FTP_PROXY=own
RUN mkdir -m 777 /tmp; : %s; sleep 600 & echo "$FTP_PROXY [$ftp_proxy]" > /proxy; env | grep -c memory >> /proxy; true
USER 1234
RUN ["/bin/sh", "-c", "id -u > /tmp/user"]
RUN --mount=type=tmpfs,target=/scratch touch /scratch/x
USER 0
RUN ls -a / > /names; chown 1:1 /tmp/user
`, busyBase, rand.Text())})
	b, console, err := prepared(t, d, building(r, "cat /proxy /tmp/user; ls -A '/~ci' 2>/dev/null | wc -l; stat -c %u /tmp/user"))
	require.NoError(t, err, console)
	var script output
	_, err = b.Run(t.Context(), func() {}, &script)
	require.NoError(t, err)
	require.Equal(t, "own []\n0\n1234\n0\n1\n", script.String())

	other := building(r, "true")
	other.Spec.Resources.Memory, other.Spec.Resources.Pids = 200<<20, 100
	other.Spec.Environment.Build.Args = map[string]string{"UNUSED": rand.Text()} // makes another key
	_, console, err = prepared(t, d, other)
	require.NoError(t, err)
	require.Contains(t, console, "CACHED", "other limits make no other steps")
	require.NotContains(t, console, "DONE 600")
	require.NotRegexp(t, `(?s)RUN : \w+; sleep.{0,200}\n#\d+ DONE`, console)
}

// What the builder itself writes has a limit as well.
func TestBuildThatCopiesTooMuch(t *testing.T) {
	t.Parallel()
	d := agent(t, func(c *Config) { c.Disk, c.slack = 63<<20, 1<<20 })
	dockerfile := fmt.Sprintf("FROM %s\nRUN : %s\n", busyBase, rand.Text())
	for n := range 40 {
		dockerfile += fmt.Sprintf("COPY noise /%d\n", n)
	}
	r := project(t, map[string]string{"Dockerfile": dockerfile, "noise": string(noise(16 << 20))})
	_, console, err := prepared(t, d, building(r, "true"))
	require.ErrorContains(t, err, "the build was ended because the engine's disk got fuller by", console)
	require.ErrorContains(t, err, "a run may write 63MiB")
}
