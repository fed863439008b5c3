package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest/rabbitserver"
	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

// claims is figure h: from a trigger to its claim while nothing else goes on.
// cid and three ci-agents are processes of their own, on Postgres and a broker:
// three nodes of NATS, or one of RabbitMQ.
func (b *bench) claims(ctx context.Context) (figures []figure, err error) {
	err = onBed(ctx, func(t testing.TB) {
		base := postgres.Start(t)
		for _, broker := range []struct {
			name string
			url  func() string
		}{
			{"NATS", func() string { return natsCluster(ctx, t) }},
			{"RabbitMQ", func() string { return rabbitserver.Start(t).URL(t) }},
		} {
			took := b.claimsOn(ctx, t, base.Database(t), broker.url())
			slices.Sort(took)
			p50, p95 := took[len(took)/2], took[len(took)*95/100]
			figures = append(figures, figure{
				"h", "trigger → claim, idle, " + broker.name + ", p95", ms(p95), "", p95.Seconds(), "≤ 0.10 s", p95 <= 100*time.Millisecond,
				fmt.Sprintf("median %s, worst %s of %d; wanted ≤ 30 ms; the machine's load is %s", ms(p50), ms(took[len(took)-1]), len(took), load()),
			})
		}
	})
	return figures, err
}

// load is what the kernel says of the last minute: a machine that is busy with
// something else tells nothing about an idle system.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

// claimsOn measures one run after the other.
func (b *bench) claimsOn(ctx context.Context, t testing.TB, database, queue string) (took []time.Duration) {
	s, engines := b.drained(ctx, t, database, queue, "bench", 4)
	require.NoError(t, s.undrain(ctx, engines))
	for range 2 * b.rounds {
		r, err := s.trigger(ctx, "bench")
		require.NoError(t, err)
		r, err = s.wait(ctx, "bench", r.ID)
		require.NoError(t, err)
		took = append(took, r.Times.Claimed.Sub(r.Times.Triggered))
		for _, e := range engines {
			require.NoError(t, e.quiet(ctx))
		}
	}
	return took
}

// agent runs a ci-agent until the bed is left.
func (b *bench) agent(ctx context.Context, t testing.TB, dir string, args ...string) {
	logFile, err := os.Create(filepath.Join(dir, "agent.log"))
	require.NoError(t, err)
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "ci-agent"), append([]string{"--data", filepath.Join(dir, "agent")}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Stdout, cmd.Stderr = logFile, logFile
	require.NoError(t, cmd.Start(), "run make build first")
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		_ = logFile.Close()
	})
}

// natsCluster is three nodes, each a process, which keep each message twice more.
func natsCluster(ctx context.Context, t testing.TB) string {
	dir, err := os.MkdirTemp("", "ci-bench-nats-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, err := rig.NewNATSCluster(ctx, dir, "127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Ready(ctx))
	return c.URL
}

func natsServer(t testing.TB) string {
	dir, err := os.MkdirTemp("", "ci-bench-nats-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	srv, err := nats.NewServer(&nats.Options{
		Host: "127.0.0.1", Port: nats.RANDOM_PORT, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, SyncAlways: true,
	})
	require.NoError(t, err)
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	require.True(t, srv.ReadyForConnections(10*time.Second))
	return srv.ClientURL()
}

// bed is the testing.TB of a program, for the servers that tests start.
type bed struct {
	testing.TB // nil: what follows is all that they use

	ctx     context.Context //nolint:containedctx // a testing.TB has one
	cleanup []func()
	failure string
}

// onBed runs fn, and then the clean-ups that it left, the last one first.
func onBed(ctx context.Context, fn func(testing.TB)) (err error) {
	t := &bed{ctx: ctx}
	defer func() {
		for _, f := range slices.Backward(t.cleanup) {
			f()
		}
	}()
	defer func() {
		switch v := recover(); v {
		case nil:
		case any(t):
			err = fmt.Errorf("%s", t.failure)
		default:
			panic(v)
		}
	}()
	fn(t)
	return nil
}

func (t *bed) Helper()                           {}
func (t *bed) Name() string                      { return "bench" }
func (t *bed) Context() context.Context          { return t.ctx }
func (t *bed) Cleanup(f func())                  { t.cleanup = append(t.cleanup, f) }
func (t *bed) Errorf(format string, args ...any) { t.failure += fmt.Sprintf(format, args...) }
func (t *bed) FailNow()                          { panic(t) }
func (t *bed) Fatal(args ...any)                 { t.Fatalf("%s", fmt.Sprint(args...)) }
func (t *bed) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	t.FailNow()
}
