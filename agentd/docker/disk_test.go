package docker

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// small is a driver whose runs may write 32 MiB.
func small(t *testing.T) *Driver {
	t.Helper()
	cfg := config("disk")
	cfg.Disk = 32 << 20
	return opened(t, cfg)
}

// A run that writes more than it may is ended with a sentence, wherever it writes.
func TestDiskIsLimited(t *testing.T) {
	t.Parallel()
	d := small(t)
	r := newRepository(t)
	fill := func(where string) string {
		return "echo begins; dd if=/dev/zero of=" + where + " bs=1M count=80; sleep 300; echo never"
	}
	for name, o := range map[string]runner.Order{
		"root":            order(fill("/fill"), inImage(busyBase)),
		"tmp":             order(fill("/tmp/fill"), inImage(busyBase)),
		"workspace":       order(fill("fill"), inImage(busyBase), from(r.url, r.shas[0], 1)),
		"image's volume":  order(fill("/data/fill"), inImage(busyBase)),
		"shared files":    order(fill("/etc/hosts"), inImage(busyBase)),
		"as another user": order(fill("fill"), inImage(busyBase), asUser("dev")),
		"many files":      order("echo begins; cd /data; seq 9000 | xargs touch; sleep 300; echo never", inImage(busyBase)),
		"deep folders":    order("echo begins; i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done; dd if=/dev/zero of=x bs=1M count=25; sleep 300; echo never", inImage(busyBase)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var console output
			b := prepare(t, d, o, &console)
			_, err := b.Run(t.Context(), func() {}, &console)
			if name == "deep folders" {
				require.ErrorContains(t, err, "could not be measured: its folders are nested more than")
			} else {
				require.ErrorContains(t, err, "the run was ended because it has written")
				require.ErrorContains(t, err, "and a run may write 32MiB")
			}
			require.Contains(t, console.String(), "begins")
			require.NotContains(t, console.String(), "never")
		})
	}
	for name, script := range map[string]string{
		"a hole":        "truncate -s 100G hole; dd if=/dev/zero of=x bs=1M count=10",
		"within limits": "dd if=/dev/zero of=x bs=1M count=20; rm x; dd if=/dev/zero of=y bs=1M count=20",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exit, _, _ := playOn(t, d, order("("+script+") 2>/dev/null; sleep 3", inImage(busyBase)))
			require.Equal(t, runner.Exit{}, exit)
		})
	}
}

// What is in memory has sizes of its own.
func TestMemoryIsNoDisk(t *testing.T) {
	t.Parallel()
	_, console, _ := play(t, order("for d in /dev/shm /dev; do dd if=/dev/zero of=$d/x bs=1M count=100 2>&1 || true; rm -f $d/x; done", inImage(busyBase)))
	require.Regexp(t, "(?s)No space left.*No space left", console)
}

// When the engine's disk is nearly full, who has written most goes, and others stay.
func TestNearlyFull(t *testing.T) {
	t.Parallel()
	cfg := config("disk-full")
	cfg.diskFloor = 1 << 60 // it always is
	d := opened(t, cfg)
	var modest, greedy output
	quiet := prepare(t, d, order("echo ready; sleep 1000", inImage(busyBase)), &modest)
	loud := prepare(t, d, order("dd if=/dev/zero of=x bs=1M count=70; sleep 1000", inImage(busyBase)), &greedy)
	var both sync.WaitGroup
	both.Go(func() { _, _ = quiet.Run(context.Background(), func() {}, &modest) })
	_, err := loud.Run(t.Context(), func() {}, &greedy)
	require.ErrorContains(t, err, "this run had written most of it")
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	require.NoError(t, quiet.condemned())
	require.NoError(t, quiet.Signal(runner.Kill))
	both.Wait()
}
