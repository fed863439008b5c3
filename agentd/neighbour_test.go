package agentd_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/agentd/fake"
	"ci/pkg/ci"
)

// choked is a backend that takes no console of one run.
type choked struct {
	*fake.Backend
	run atomic.Int64
}

// AppendConsole implements agentd.Uplink.
func (c *choked) AppendConsole(ctx context.Context, claim ci.Claim, offset int64, data []byte) (int64, error) {
	if claim.Run == c.run.Load() {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return c.Backend.AppendConsole(ctx, claim, offset, data)
}

// A run that prints more than anybody takes is held up itself. Beside it others
// are claimed, heard and renewed as if it were not there, and it keeps its own lease.
func TestAFloodHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var up *choked
		r := start(t, func(r *rig, c *agentd.Config) {
			up = &choked{Backend: r.backend}
			c.Uplink = up
		})
		after(time.Second)
		writer := r.backend.Trigger("small", "sleep 1s; flood 50000000; sleep 10m")
		up.run.Store(writer)
		after(5 * time.Second)
		beside := r.backend.Trigger("small", "print first; sleep 1s; print second; sleep 2m")
		after(time.Second)
		require.Equal(t, ci.PhaseRunning, r.phase(beside))
		require.Contains(t, string(r.backend.Get(beside).Console), "first\n")
		after(time.Second)
		require.Contains(t, string(r.backend.Get(beside).Console), "second\n")
		after(3 * time.Minute) // three times as long as a lease
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(beside))
		require.Equal(t, ci.PhaseRunning, r.phase(writer))
		require.Empty(t, r.backend.Get(writer).Console)
		up.run.Store(0)
		after(time.Minute)
		require.Len(t, r.backend.Get(writer).Console, 50_000_000, "nothing of it was lost")
		r.backend.Abort(writer, true)
		after(time.Minute)
		require.Equal(t, ci.OutcomeAborted, r.outcome(writer))
		r.drained()
	})
}

// Every call takes two seconds, and each tenth is lost and given up after ten
// (R17): nobody is called lost, and the console comes whole.
func TestALongWayToTheBackend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, _ *agentd.Config) {
			r.backend.Fault = func(ctx context.Context, _ string, n int, after bool) error {
				if after {
					return nil
				}
				time.Sleep(2 * time.Second)
				if n%10 == 0 {
					time.Sleep(8 * time.Second)
					return errors.New("no answer")
				}
				return ctx.Err()
			}
		})
		after(10 * time.Second)
		var runs []int64
		for range 3 {
			runs = append(runs, r.backend.Trigger("small", "print one; flood 3000000; sleep 3m; print two"))
		}
		after(6 * time.Minute)
		for _, id := range runs {
			row := r.backend.Get(id)
			require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
			require.Equal(t, 1, row.Claims)
			require.Len(t, row.Console, 3_000_000+len("one\ntwo\n"))
		}
		r.drained()
	})
}
