package runner_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/fake"
	"ci/agentd/runner"
	"ci/pkg/ci"
)

// bench is one run with all that it needs, in a bubble of virtual time.
type bench struct {
	t       *testing.T
	backend *fake.Backend
	driver  *fake.Driver
	runner  *runner.Runner
	id      int64
	dir     string // where results wait
	cancel  context.CancelFunc
	done    chan struct{}
}

// play claims a run of a script and starts it. change may set limits of the backend first.
func play(t *testing.T, script string, change func(*fake.Backend), results ...string) *bench {
	t.Helper()
	return playIn(t, t.TempDir(), script, change, results...)
}

// playIn is play with a folder where results wait.
func playIn(t *testing.T, dir, script string, change func(*fake.Backend), results ...string) *bench {
	t.Helper()
	b := &bench{t: t, backend: fake.NewBackend(), driver: fake.NewDriver(), dir: dir, done: make(chan struct{})}
	if change != nil {
		change(b.backend)
	}
	b.id = b.backend.Trigger("small", script, results...)
	claim := ci.Claim{Run: b.id, Agent: "a1", ID: "claim-1"}
	work, err := b.backend.Claim(t.Context(), claim)
	for n := 0; err != nil && n < 10; n++ {
		work, err = b.backend.Claim(t.Context(), claim)
	}
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	b.cancel = cancel
	b.runner = runner.New(runner.Config{Uplink: b.backend, Driver: b.driver, Dir: b.dir}, *work, claim)
	go func() {
		defer close(b.done)
		b.runner.Run(ctx)
	}()
	return b
}

// wait waits for the run's end and returns its row. Nothing may be left of it.
func (b *bench) wait() fake.Row {
	b.t.Helper()
	<-b.done
	b.cancel()
	require.Empty(b.t, b.driver.Boxes(), "its container is gone")
	return b.backend.Get(b.id)
}

// after lets virtual time pass, and everything that happens in it.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
