package docker

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
)

// bareLoop is the floor: an empty container on the default bridge, created,
// started, waited for and removed by nobody but the engine.
func bareLoop(ctx context.Context, timed func()) error {
	made, err := engine.ContainerCreate(ctx, &container.Config{Image: busyBase, Entrypoint: []string{"/bin/true"}},
		&container.HostConfig{LogConfig: container.LogConfig{Type: "none"}}, nil, nil, "")
	if err != nil {
		return err
	}
	ended, failed := engine.ContainerWait(ctx, made.ID, container.WaitConditionNextExit)
	if err := engine.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return err
	}
	select {
	case <-ended:
	case err := <-failed:
		return err
	}
	timed()
	return engine.ContainerRemove(ctx, made.ID, container.RemoveOptions{RemoveVolumes: true})
}

// ourLoop is an empty run, from its order to its end and its removal.
func ourLoop(ctx context.Context, o runner.Order, timed func()) error {
	b, err := common.Prepare(ctx, o, io.Discard)
	if err != nil {
		return err
	}
	_, err = b.Run(ctx, func() {}, io.Discard)
	timed()
	if rerr := b.Remove(ctx); err == nil {
		err = rerr
	}
	return err
}

// BenchmarkEmptyRun compares the time up to the end of an empty run, removal
// not counted, with the floor. Run it with -benchtime=20x.
func BenchmarkEmptyRun(b *testing.B) {
	single := func(b *testing.B, loop func(context.Context, func()) error) {
		var sum time.Duration
		for b.Loop() {
			began := time.Now()
			require.NoError(b, loop(b.Context(), func() { sum += time.Since(began) }))
		}
		b.ReportMetric(float64(sum.Milliseconds())/float64(b.N), "ms/run")
	}
	b.Run("floor", func(b *testing.B) { single(b, bareLoop) })
	b.Run("ours", func(b *testing.B) {
		single(b, func(ctx context.Context, timed func()) error {
			return ourLoop(ctx, order("true", inImage(busyBase)), timed)
		})
	})
	b.Run("toolbox", func(b *testing.B) {
		single(b, func(ctx context.Context, timed func()) error { return ourLoop(ctx, order("true"), timed) })
	})
}

// BenchmarkThroughput compares how many empty runs a second four workers
// reach, removal counted. Run it with -benchtime=200x.
func BenchmarkThroughput(b *testing.B) {
	four := func(b *testing.B, loop func(context.Context, func()) error) {
		work := make(chan int)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range work {
					if err := loop(b.Context(), func() {}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		began := time.Now()
		for i := range b.N {
			work <- i
		}
		close(work)
		all.Wait()
		b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "runs/s")
	}
	b.Run("floor", func(b *testing.B) { four(b, bareLoop) })
	b.Run("ours", func(b *testing.B) {
		four(b, func(ctx context.Context, timed func()) error {
			return ourLoop(ctx, order("true", inImage(busyBase)), timed)
		})
	})
}

// BenchmarkMillionLines compares 100 MB of output with an attached container.
func BenchmarkMillionLines(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, bareOutput(b.Context(), million))
		}
	})
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			box, err := common.Prepare(b.Context(), order(million, inImage(busyBase)), io.Discard)
			require.NoError(b, err)
			count := &counting{to: io.Discard}
			b.StartTimer()
			_, err = box.Run(b.Context(), func() {}, count)
			b.StopTimer()
			require.NoError(b, err)
			require.EqualValues(b, 100_000_000, count.n)
			require.NoError(b, box.Remove(b.Context()))
			b.StartTimer()
		}
	})
}

// bareOutput waits for its start on standard input, so that only the output is timed.
func bareOutput(ctx context.Context, script string) error {
	made, err := engine.ContainerCreate(ctx, &container.Config{Image: busyBase, Entrypoint: []string{"/bin/sh", "-c", script}, AttachStdout: true},
		&container.HostConfig{LogConfig: container.LogConfig{Type: "none"}}, nil, nil, "")
	if err != nil {
		return err
	}
	defer engine.ContainerRemove(ctx, made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	conn, err := engine.ContainerAttach(ctx, made.ID, container.AttachOptions{Stream: true, Stdout: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := engine.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		return err
	}
	began := time.Now()
	n, err := stdcopy.StdCopy(io.Discard, io.Discard, conn.Reader)
	if err == nil && n != 100_000_000 {
		err = fmt.Errorf("%d bytes", n)
	}
	fmt.Printf("floor %s after its start\n", time.Since(began).Round(time.Millisecond))
	return err
}
