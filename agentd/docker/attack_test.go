package docker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/runner"
)

// What a script does to PID 1 must not end it, nor show it anything.
func TestAttacksOnInit(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, script, want string }{
		{"kill", "kill -9 1; kill -STOP 1; echo alive", "alive\n"},
		{"every signal", "for s in $(seq 1 64); do kill -$s 1 2>/dev/null || true; done; sleep 0.1; echo alive", "alive\n"},
		{"memory", "if echo x > /proc/1/mem; then echo opened; fi 2>/dev/null; echo alive", "alive\n"},
		{"environment", "cat /proc/1/environ 2>/dev/null || echo refused", "refused\n"},
		{"descriptors", "for f in 0 1 2; do { readlink /proc/1/fd/$f || cat /proc/1/fd/$f || echo x > /proc/1/fd/$f; } && echo opened; done 2>/dev/null; echo end", "end\n"},
		{"root and maps", "ls /proc/1/root/ 2>/dev/null || cat /proc/1/maps 2>/dev/null || readlink /proc/1/exe || echo refused", "refused\n"},
		{"binary", "(echo x > /.ci/ci-agent) 2>/dev/null || echo refused", "refused\n"},
		{"all processes", "trap '' TERM; kill -9 -1 2>/dev/null || true; echo alive", "alive\n"},
		{"standard streams", "for f in /proc/$$/fd/*; do readlink $f; done | tr -d 0-9 | sort | tr '\\n' ' '", "/dev/null /run/ci/script pipe:[] pipe:[] "},
		{"capabilities", "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr '\\t' ' '", "CapBnd: 00000000000004fb\nNoNewPrivs: 1\nSeccomp: 2\n"},
		{"mounts", "mount -t tmpfs x /tmp 2>/dev/null || echo refused", "refused\n"},
		{"devices", "ls /dev | grep -E 'sd|mem|kmsg' || echo none", "none\n"},
		{"docker", "ls /var/run/docker.sock /run/docker.sock 2>/dev/null || echo none", "none\n"},
		{"other networks' files", "(echo 1 > /proc/sys/net/ipv4/ip_forward) 2>/dev/null || echo refused", "refused\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			exit, output, _ := play(t, order(test.script, inImage(busyBase)))
			require.Equal(t, test.want, output)
			require.Zero(t, exit.Code)
		})
	}
}

func TestPtraceIsRefused(t *testing.T) {
	t.Parallel()
	// The toolbox image's dash can't trace, so read what tracing would allow.
	exit, output, _ := play(t, order("head -c 1 /proc/1/stack /proc/1/auxv /proc/1/syscall 2>&1 | grep -c ermission; exit 0"))
	require.Zero(t, exit.Code)
	require.NotEqual(t, "0\n", output)
}

func TestSignals(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, script string) (*box, *output, chan runner.Exit) {
		t.Helper()
		console := &output{}
		b := prepare(t, common, order(script, inImage(busyBase)), console)
		done := make(chan runner.Exit, 1)
		go func() {
			exit, err := b.Run(context.Background(), func() {}, console)
			if err != nil {
				exit.Signal = err.Error()
			}
			done <- exit
		}()
		eventually(t, func() bool { return strings.Contains(console.String(), "ready\n") }, "the script is ready")
		return b, console, done
	}
	t.Run("terminate", func(t *testing.T) {
		t.Parallel()
		b, console, done := start(t, "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 120; done")
		began := time.Now()
		require.NoError(t, b.Signal(runner.Terminate))
		require.Equal(t, runner.Exit{Code: 3}, <-done)
		// The shell runs its trap only once sleep has ended, or before it begins one.
		require.Less(t, time.Since(began), time.Minute, "TERM reaches the whole group")
		require.Regexp(t, `^ready\n(Terminated\n)?bye\n$`, console.String())
		require.NoError(t, b.Signal(runner.Kill), "after the end")
	})
	t.Run("kill", func(t *testing.T) {
		t.Parallel()
		b, _, done := start(t, "trap '' TERM; setsid sleep 1000 & echo ready; while :; do sleep 0.05; done")
		require.NoError(t, b.Signal(runner.Terminate))
		select {
		case exit := <-done:
			t.Fatalf("TERM ended it: %v", exit)
		case <-time.After(300 * time.Millisecond):
		}
		killed := time.Now()
		require.NoError(t, b.Signal(runner.Kill))
		require.Equal(t, runner.Exit{Code: 137, Signal: "SIGKILL"}, <-done)
		require.Less(t, time.Since(killed), time.Minute)
	})
	t.Run("before it begins", func(t *testing.T) {
		t.Parallel()
		b := prepare(t, common, order("echo never", inImage(busyBase)), &output{})
		require.NoError(t, b.Signal(runner.Kill))
		exit, err := b.Run(t.Context(), func() { t.Error("began") }, &output{})
		require.NoError(t, err)
		require.Equal(t, runner.Exit{Code: 137, Signal: "SIGKILL"}, exit)
	})
	t.Run("what it leaves running", func(t *testing.T) {
		t.Parallel()
		b := prepare(t, common, order("setsid sh -c 'while :; do echo noise; touch /tmp/n; sleep 1; done' & (sleep 1000 &); until [ -e /tmp/n ]; do sleep 0.05; done; exit 4", inImage(busyBase)), io.Discard)
		var console output
		var began time.Time
		exit, err := b.Run(t.Context(), func() { began = time.Now() }, &console)
		require.NoError(t, err)
		output := console.String()
		require.Equal(t, 4, exit.Code)
		require.Contains(t, output, "noise\n")
		require.Less(t, time.Since(began), 2*time.Minute)
	})
	t.Run("the caller gives up", func(t *testing.T) {
		t.Parallel()
		b := prepare(t, common, order("sleep 1000", inImage(busyBase)), &output{})
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.Run(ctx, cancel, &output{})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	small := func(o *runner.Order) { o.Spec.Resources.Memory = 64 << 20 }
	t.Run("fork bomb", func(t *testing.T) {
		t.Parallel()
		exit, output, _ := play(t, order("f() { f | f & }; f 2>/dev/null; sleep 1; echo over", inImage(busyBase), func(o *runner.Order) { o.Spec.Resources.Pids = 64 }))
		// The shell itself may be refused a process; either way the run ends.
		require.True(t, exit.Code != 0 || strings.Contains(output, "over"), "%v %s", exit, output)
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		exit, output, _ := play(t, order("echo before; exec dd if=/dev/zero of=/dev/null bs=300M count=1", inImage(busyBase), small))
		require.Equal(t, runner.Exit{Code: 137, Signal: "SIGKILL", OOMKilled: true}, exit)
		require.Equal(t, "before\n", output)
	})
	t.Run("memory of a child", func(t *testing.T) {
		t.Parallel()
		exit, output, _ := play(t, order("dd if=/dev/zero of=/dev/null bs=300M count=1 || echo survived", inImage(busyBase), small))
		require.Zero(t, exit.Code)
		require.True(t, exit.OOMKilled)
		require.Contains(t, output, "survived\n")
	})
	t.Run("shared memory", func(t *testing.T) {
		t.Parallel()
		_, output, _ := play(t, order("dd if=/dev/zero of=/dev/shm/x bs=1M count=100 2>&1 || true; stat -c %s /dev/shm/x", inImage(busyBase)))
		require.Contains(t, output, "No space left")
		require.Contains(t, output, "67108864\n")
	})
}

// Memory does not grow with what a job prints. Nothing runs beside it: the heap is everybody's.
func TestAMillionLines(t *testing.T) {
	sum := sha256.New()
	var most uint64
	count := &counting{to: writerFunc(func(p []byte) (int, error) {
		var m runtime.MemStats
		if runtime.ReadMemStats(&m); m.HeapAlloc > most {
			most = m.HeapAlloc
		}
		return sum.Write(p)
	})}
	b := prepare(t, common, order(million, inImage(busyBase)), io.Discard)
	exit, err := b.Run(t.Context(), func() {}, count)
	require.NoError(t, err)
	require.Zero(t, exit.Code)
	require.EqualValues(t, 100_000_000, count.n)
	require.Less(t, most, uint64(80<<20), "memory grows with the output")
	want := sha256.New()
	_, _ = want.Write(bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 1_000_000))
	require.Equal(t, hex.EncodeToString(want.Sum(nil)), hex.EncodeToString(sum.Sum(nil)))
}

func TestOutputIsWhole(t *testing.T) {
	t.Parallel()
	t.Run("binary", func(t *testing.T) {
		t.Parallel()
		_, output, _ := play(t, order("head -c 3000000 /dev/urandom > x; cat x; printf '\\000\\377end'; sha256sum < x", inImage(busyBase)))
		body, rest := output[:3000000], output[3000000:]
		sum := sha256.Sum256([]byte(body))
		require.Equal(t, "\x00\xffend"+hex.EncodeToString(sum[:])+"  -\n", rest)
	})
	t.Run("a slow reader", func(t *testing.T) {
		t.Parallel()
		// The script waits when nobody reads, and memory stays bounded on both sides.
		b := prepare(t, common, order("yes xxxxxxxxx | head -c 20000000", inImage(busyBase), func(o *runner.Order) { o.Spec.Resources.Memory = 48 << 20 }), io.Discard)
		slow := &counting{to: writerFunc(func(p []byte) (int, error) { <-time.After(2 * time.Millisecond); return len(p), nil })}
		exit, err := b.Run(t.Context(), func() {}, slow)
		require.NoError(t, err)
		require.Equal(t, runner.Exit{}, exit)
		require.EqualValues(t, 20_000_000, slow.n)
	})
}

// million prints 1,000,000 lines of 100 bytes.
var million = "yes " + strings.Repeat("x", 99) + " | head -n 1000000"

type counting struct {
	to io.Writer
	n  int64
}

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.to.Write(p)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
