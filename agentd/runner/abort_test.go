package runner_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/fake"
	"ci/pkg/ci"
)

// R26: an abort in each phase of a run's life ends it as aborted, and only
// once its container is gone: what is said to be over does nothing any more.
func TestAbortIsConfirmedInEachPhase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		at           time.Duration // after the claim
		begun        bool
		phase        ci.Phase
	}{
		{"while it is prepared", "prepare-sleep 1h; print x", time.Second, false, ci.PhasePreparing},
		{"while its start is recorded", "print x", time.Second, false, ci.PhasePreparing},
		{"while it runs", "sleep 1h", 5 * time.Second, true, ci.PhaseRunning},
		{"while it ignores SIGTERM", "ignore-term; sleep 1h", 5 * time.Second, true, ci.PhaseRunning},
		{"while its results are collected", "result r x; collect-sleep 30s", 5 * time.Second, true, ci.PhaseCollecting},
		{"and its container is busy at first", "remove-fail; sleep 1h", 5 * time.Second, true, ci.PhaseRunning},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b *bench
				finished := 0
				var results []string
				if c.phase == ci.PhaseCollecting {
					results = []string{"r"}
				}
				b = play(t, c.script, func(f *fake.Backend) {
					f.Fault = func(ctx context.Context, call string, _ int, after bool) error {
						switch {
						case call == "started" && !after && c.name == "while its start is recorded":
							<-ctx.Done()
							return ctx.Err()
						case call == "finish" && !after:
							finished++
							if left := b.driver.Boxes(); len(left) > 0 {
								return errors.New("it is said to be over, and has a container")
							}
						}
						return nil
					}
				}, results...)
				time.Sleep(c.at)
				synctest.Wait()
				b.runner.Abort("")
				row := b.wait()
				require.Equal(t, ci.OutcomeAborted, row.Run.Outcome, row.Run.Reason)
				require.Equal(t, c.phase, row.Run.Phase)
				require.Equal(t, c.begun, row.Run.ScriptStarted)
				require.Equal(t, 1, finished)
			})
		})
	}
}

// An abort whose container can't be removed is not called aborted.
func TestAbortIsNotAssumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := play(t, "remove-never; sleep 1h", func(f *fake.Backend) { f.TTL = time.Hour })
		time.Sleep(time.Second)
		synctest.Wait()
		b.runner.Abort("")
		<-b.done
		row := b.backend.Get(b.id)
		require.Equal(t, ci.OutcomeError, row.Run.Outcome)
		require.Contains(t, row.Run.Reason, "can't be removed, so it may still be there: the container is busy")
		b.cancel()
	})
}
