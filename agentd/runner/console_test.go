package runner_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/fake"
	"ci/pkg/ci"
)

// A tail sees the first bytes at once, and steady output costs one call a second.
func TestConsolePace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		appends := 0
		script := "print first; sleep 1s" + strings.Repeat("; print tick; sleep 100ms", 300)
		b := play(t, script, func(b *fake.Backend) {
			b.Fault = func(_ context.Context, name string, _ int, after bool) error {
				if name == "append" && !after {
					appends++
				}
				return nil
			}
		})
		after(50 * time.Millisecond)
		require.Equal(t, "first\n", string(b.backend.Get(b.id).Console))
		row := b.wait()
		require.Equal(t, "first\n"+strings.Repeat("tick\n", 300), string(row.Console))
		require.LessOrEqual(t, appends, 40)
	})
}

func TestConsoleIsCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row := play(t, "flood 5000000; print after", func(b *fake.Backend) { b.MaxConsole = 1_500_000 }).wait()
		require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome)
		require.True(t, row.Run.Console.Truncated)
		notice := string(row.Console[1_500_000:])
		require.Contains(t, notice, "\nci: the console has reached its limit of 1.431MiB; what the script prints from here on is not stored, the run goes on\n")
		require.NotContains(t, string(row.Console), "after")
	})
}

// A long outage of the backend delays a run's end and loses nothing.
func TestBackendAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		row := play(t, "print one; sleep 5s; flood 3000000; print two; sleep 20s; print three", func(b *fake.Backend) {
			b.TTL = time.Hour
			b.Fault = func(ctx context.Context, _ string, _ int, _ bool) error {
				if since := time.Since(begin); since > time.Second && since < 40*time.Second {
					return errors.New("no route to the backend")
				}
				return nil
			}
		}).wait()
		require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome)
		require.True(t, strings.HasSuffix(string(row.Console), "two\nthree\n"))
		require.Equal(t, int64(len("one\ntwo\nthree\n")+3_000_000), row.Run.Console.Bytes)
		require.GreaterOrEqual(t, time.Since(begin), 40*time.Second)
	})
}

// A slow uplink slows the script down: two blocks are all that is held.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 20 << 20
		b := play(t, "flood 20971520; print end", func(b *fake.Backend) {
			b.Fault = func(ctx context.Context, name string, _ int, after bool) error {
				if name == "append" && !after {
					time.Sleep(time.Second)
				}
				return nil
			}
		})
		after(5 * time.Second)
		require.Less(t, len(b.backend.Get(b.id).Console), 6<<20)
		require.False(t, b.runner.Ended())
		row := b.wait()
		require.Equal(t, int64(size+4), row.Run.Console.Bytes)
	})
}

// A gigabyte passes through a few megabytes of memory.
func TestFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("1 GB of output")
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	sink := &sink{t: t}
	size := sink.flood(1_000_000_000)
	runtime.ReadMemStats(&now)
	require.EqualValues(t, 1_000_000_000, size)
	require.Less(t, now.HeapSys-min(now.HeapSys, before.HeapSys), uint64(24<<20))
}
