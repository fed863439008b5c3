package docker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
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
	sleep := fmt.Sprintf("sleep %d", 100_000+rand.IntN(800_000)) // other tests' steps sleep, too
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nRUN echo begun-$((40+2)); %s\n", busyBase, sleep)})
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
	case <-time.After(3 * time.Minute):
		t.Fatal("Prepare goes on")
	}
	eventually(t, func() bool { return !running(t, sleep) }, "the engine still runs the build's step")
	require.Empty(t, builtTags(t, d))
}

// running says whether a process with such a command line is on this machine.
func running(t *testing.T, words string) bool {
	t.Helper()
	return len(processes(t, func(cmdline string) bool { return strings.Contains(cmdline, words) })) > 0
}

// processes are those of this machine with such a command line.
func processes(t *testing.T, such func(cmdline string) bool) (ids []int) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range list {
		text, _ := os.ReadFile(file)
		if such(strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))) {
			id, err := strconv.Atoi(strings.Split(file, "/")[2])
			require.NoError(t, err)
			ids = append(ids, id)
		}
	}
	return ids
}

// endWhile ends all processes with this command line, until told to stop.
func endWhile(t *testing.T, cmdline string, stop <-chan struct{}) {
	for {
		for _, id := range processes(t, func(c string) bool { return c == cmdline }) {
			_ = syscall.Kill(id, syscall.SIGKILL) // it may have gone meanwhile
		}
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Two runs that want the same image at the same time make it once, and when the
// one that makes it is aborted the other gets it all the same.
func TestBuildIsShared(t *testing.T) {
	t.Parallel()
	d := agent(t)
	// The builds end when the test ends this process of theirs. Its number also
	// keeps the engine from knowing the step from an earlier test.
	hold := fmt.Sprintf("sleep %d", 100_000+rand.N(900_000_000))
	r := project(t, map[string]string{"Dockerfile": fmt.Sprintf("FROM %s\nARG ABORT\nRUN echo begun-$((40+3)) $ABORT; %s; date +%%N > /stamp\n", busyBase, hold)})
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
		made := make(chan struct{})
		var beside sync.WaitGroup
		beside.Go(func() {
			if !awaitCount(d.builds.count, 2, made) {
				return
			}
			if abort {
				cancel()
				awaitCount(d.builds.count, 1, made)
			}
			endWhile(t, hold, made)
		})
		b, console, err := prepared(t, d, two)
		close(made)
		beside.Wait()
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

// awaitCount polls until count is n; false when it was told to stop before.
func awaitCount(count func() int, n int, stop <-chan struct{}) bool {
	for count() != n {
		select {
		case <-stop:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}
