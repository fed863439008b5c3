package nats

import (
	"bytes"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/pkg/ci"
)

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

var testLane = ci.Lane{Class: "small", Priority: ci.PriorityNormal}

// TestDamagedStore wants a driver that works whatever is in its folder.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	noise := bytes.Repeat([]byte{0xde, 0xad, 0x00, 0xff, '{'}, 2000)
	for name, damage := range map[string]func(path string) error{
		"noise":   func(p string) error { return os.WriteFile(p, noise, 0o600) },
		"emptied": func(p string) error { return os.Truncate(p, 0) },
		"halved": func(p string) error {
			info, err := os.Stat(p)
			if err != nil {
				return err
			}
			return os.Truncate(p, info.Size()/2)
		},
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t)
			cfg.Dir = t.TempDir()
			first := open(t, cfg)
			for run := range int64(5) {
				require.NoError(t, first.Publish(t.Context(), []queue.Message{{Run: run + 1, Lane: testLane}}))
			}
			_, err := first.Pull(t.Context(), []ci.Lane{testLane})
			require.NoError(t, err)
			require.NoError(t, first.Close())
			require.NoError(t, filepath.WalkDir(filepath.Join(cfg.Dir, "jetstream"), func(p string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				return damage(p)
			}))
			d := open(t, cfg)
			// The sweeper publishes what waits; some of it may have survived.
			require.NoError(t, d.Publish(t.Context(), []queue.Message{{Run: 3, Lane: testLane}, {Run: 9, Lane: testLane}}))
			seen := map[int64]bool{}
			require.Eventually(t, func() bool {
				del, err := d.Pull(t.Context(), []ci.Lane{testLane})
				require.NoError(t, err)
				require.NoError(t, del.Ack(t.Context()))
				seen[del.Run] = true
				return seen[3] && seen[9]
			}, time.Minute, time.Millisecond)
		})
	}
}

func TestFolderIsFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nats")
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	_, err := Open(Config{Dir: dir})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
	require.ErrorContains(t, err, dir)
}

func TestFolderInUse(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Dir = t.TempDir()
	open(t, cfg)
	_, err := Open(cfg)
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	require.ErrorContains(t, err, "in use by another process")
}

func TestExternalRefusals(t *testing.T) {
	t.Parallel()
	_, err := Open(Config{URL: "nats://me:secret@127.0.0.1:1", Log: slog.New(slog.DiscardHandler)})
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, "nats://a:1,tls://b:2", redact("nats://u:p@a:1, tls://token@b:2"))
	_, err = Open(Config{})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
	_, err = Open(Config{Dir: t.TempDir(), Replicas: 3})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
}

// TestSubscribeWhileAway begins to listen while there is no server.
func TestSubscribeWhileAway(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	port := portOf(t, e.srv.Addr().String())
	cfg := testConfig(t)
	cfg.URL = e.srv.ClientURL()
	d := open(t, cfg)
	e.stop()
	require.Eventually(t, func() bool { return d.Check(t.Context()) != nil }, bound, time.Millisecond)
	heard := make(chan struct{}, 10000)
	cancel, err := d.Bus().Subscribe("a.*", func(string, []byte) { heard <- struct{}{} })
	require.NoError(t, err)
	defer cancel()
	e.start(t, port)
	require.Eventually(t, func() bool {
		_ = d.Bus().Publish(t.Context(), "a.b", nil)
		return len(heard) > 0
	}, bound, 10*time.Millisecond)
}

// TestTwoClients has two processes share an external server.
func TestTwoClients(t *testing.T) {
	t.Parallel()
	e := startExternal(t)
	cfg := testConfig(t)
	cfg.URL = e.srv.ClientURL()
	cfg.Poll = time.Hour // the wake-up alone must do
	a, b := open(t, cfg), open(t, cfg)
	got := make(chan int64)
	go func() {
		for range 3 {
			if d, err := b.Pull(t.Context(), []ci.Lane{testLane}); err == nil {
				_ = d.Ack(t.Context())
				got <- d.Run
			}
		}
	}()
	for run := range int64(3) {
		require.NoError(t, a.Publish(t.Context(), []queue.Message{{Run: run + 1, Lane: testLane}}))
		require.Equal(t, run+1, <-got)
	}
}
