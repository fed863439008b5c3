package docker

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
	"ci/pkg/ci"
)

// A run that is aborted takes its build with it.
func TestAbortEndsABuild(t *testing.T) {
	t.Parallel()
	d := agent(t)
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nRUN echo begun-$((40+2)); sleep 600\n", busyBase)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var console output
	ended := make(chan error, 1)
	o := building(r, "true")
	go func() {
		_, err := d.Prepare(ctx, o, &console)
		ended <- err
	}()
	eventually(t, func() bool { return strings.Contains(console.String(), "begun-42") }, "the build's step")
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(time.Minute):
		t.Fatal("Prepare goes on")
	}
	eventually(t, func() bool { return !running(t, "sleep 600") }, "the engine still runs the build's step")
	require.Empty(t, builtTags(t, d))
}

// running says whether a process with such a command line is on this machine.
func running(t *testing.T, words string) bool {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range list {
		text, _ := os.ReadFile(file)
		if strings.Contains(strings.ReplaceAll(string(text), "\x00", " "), words) {
			return true
		}
	}
	return false
}

// Two runs that want the same image at the same time make it once, and when the
// one that makes it is aborted the other gets it all the same.
func TestBuildIsShared(t *testing.T) {
	t.Parallel()
	d := agent(t)
	// The random word keeps the engine from knowing the step from an earlier test.
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nARG ABORT\nRUN echo begun-$((40+3)) $ABORT %s; sleep 4; date +%%N > /stamp\n", busyBase, rand.Text())})
	for _, abort := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		args := func(b *ci.Build) { b.Args = map[string]string{"ABORT": fmt.Sprint(abort)} }
		var first output
		ended := make(chan error, 1)
		one := building(r, "cat /stamp", args)
		var box runner.Box
		go func() {
			var err error
			box, err = d.Prepare(ctx, one, &first)
			ended <- err
		}()
		eventually(t, func() bool { return strings.Contains(first.String(), "begun-43") }, "the first build's step")
		two := building(r, "cat /stamp", args)
		said := told(&two)
		if abort {
			go func() {
				if waits(d.builds.count, 2) {
					cancel()
				}
			}()
		}
		b, console, err := prepared(t, d, two)
		require.NoError(t, err, console)
		_, err = b.Run(t.Context(), func() {}, &output{})
		require.NoError(t, err)
		if err := <-ended; abort {
			require.ErrorIs(t, err, context.Canceled)
			// It went on without the first, or was begun again.
			require.Contains(t, []string{"built", "built by another run at the same time"}, said.steps["environment"])
		} else {
			require.NoError(t, err)
			require.NoError(t, box.Remove(context.Background()))
			require.Equal(t, "built by another run at the same time", said.steps["environment"], console)
		}
	}
	require.Len(t, builtTags(t, d), 2)
}

// waits polls until count is n.
func waits(count func() int, n int) bool {
	for range 1000 {
		if count() == n {
			return true
		}
		<-time.After(20 * time.Millisecond)
	}
	return false
}
