package agentd_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/pkg/ci"
)

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := agentd.New(agentd.Config{ID: "a1"})
	require.ErrorContains(t, err, "an agent needs an Uplink, a Queue, a Driver and Classes")
	_, err = agentd.New(agentd.Config{ID: "a 1"})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
}

// The path of a run has no poll in it: a trigger runs in no virtual time at all.
func TestRunsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		begin := time.Now()
		id := r.backend.Trigger("small", "print hello")
		synctest.Wait()
		row := r.backend.Get(id)
		require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome)
		require.Zero(t, time.Since(begin))
		r.drained()
	})
}

// Slots are filled, never over, and all runs are carried out once.
func TestManyRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(_ *rig, c *agentd.Config) { c.CPUs, c.Memory = 200, 1<<40 })
		after(time.Second)
		var ids []int64
		for range 1000 {
			ids = append(ids, r.backend.Trigger("small", "print a; sleep 1s; result x 1; print b", "x"))
		}
		after(20 * time.Second)
		for _, id := range ids {
			row := r.backend.Get(id)
			require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
			require.Equal(t, 1, row.Starts)
			require.Equal(t, "a\nb\nci: result x: stored 1B\n", string(row.Console))
		}
		made, peak := r.driver.Counts()
		require.Equal(t, 1000, made)
		require.Equal(t, 200, peak)
		r.drained()
	})
}

func TestQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		medium := r.backend.Trigger("medium", "sleep 10s")
		a, b := r.backend.Trigger("small", "sleep 10s"), r.backend.Trigger("small", "sleep 10s")
		c := r.backend.Trigger("small", "sleep 10s")
		after(time.Second)
		require.Equal(t, []ci.Phase{"running", "running", "running", "queued"}, []ci.Phase{r.phase(medium), r.phase(a), r.phase(b), r.phase(c)})
		hb := r.backend.Agent("a1")
		require.Equal(t, []int64{medium, a, b}, hb.Runs)
		require.Zero(t, hb.FreeCPUs)
		require.Equal(t, int64(24<<30), hb.FreeMemory)
		require.Equal(t, "0 of 4 cpus are free; class small takes 1", hb.Refusals["small"])
		r.drained() // drains while one waits: it is left to others
		require.Equal(t, ci.PhaseQueued, r.phase(c))
		waiting, _ := r.backend.Messages()
		require.Equal(t, 1, waiting)
	})
}

// A duplicate message, a run that another agent has, and one that does not exist are acknowledged and forgotten.
func TestClaimLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		lane := ci.Lane{Class: "small", Priority: ci.PriorityNormal}
		id := r.backend.Trigger("small", "sleep 1s")
		for range 50 {
			r.backend.Publish(id, lane)
		}
		r.backend.Publish(4711, lane)
		after(5 * time.Second)
		row := r.backend.Get(id)
		require.Equal(t, 1, row.Starts)
		require.Equal(t, 1, row.Claims)
		waiting, inHand := r.backend.Messages()
		require.Zero(t, waiting+inHand)
		r.drained()
	})
}

// The backend is away when a message comes: it is given back, and claimed later.
// An answer that was lost is asked for again with the same claim.
func TestClaimWhileAway(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			r := start(t, func(r *rig, _ *agentd.Config) {
				r.backend.Fault = func(_ context.Context, call string, _ int, after bool) error {
					if call == "claim" && after == late && time.Since(begin) < 15*time.Second {
						return ci.Errorf(ci.CodeUnavailable, "away")
					}
					return nil
				}
			})
			after(time.Second)
			id := r.backend.Trigger("small", "print x")
			after(40 * time.Second)
			row := r.backend.Get(id)
			require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
			require.Equal(t, 1, row.Claims)
			r.drained()
		})
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, nil)
			after(time.Second)
			id := r.backend.Trigger("small", "sleep 10m")
			after(time.Second)
			r.backend.Abort(id, told)
			after(time.Millisecond)
			require.Equal(t, told, r.outcome(id) == ci.OutcomeAborted, "the bus brings it at once")
			after(21 * time.Second)
			require.Equal(t, ci.OutcomeAborted, r.outcome(id), "the renewal brings it at the latest")
			r.drained()
		})
	}
}

// An abort may overtake the answer to the claim.
func TestAbortBeforeClaimAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, _ *agentd.Config) {
			r.backend.Fault = func(_ context.Context, call string, _ int, after bool) error {
				if call == "claim" && after {
					time.Sleep(time.Second)
				}
				return nil
			}
		})
		after(time.Second)
		id := r.backend.Trigger("small", "sleep 10m")
		after(500 * time.Millisecond)
		r.backend.Abort(id, true)
		after(time.Second)
		require.Equal(t, ci.OutcomeAborted, r.outcome(id))
		r.drained()
	})
}

// An agent that can't renew kills its runs before the backend gives them up.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away bool
		r := start(t, func(r *rig, _ *agentd.Config) {
			r.backend.Fault = func(ctx context.Context, _ string, _ int, _ bool) error {
				if away {
					<-ctx.Done() // packets go nowhere
					return ctx.Err()
				}
				return nil
			}
		})
		after(time.Second)
		id := r.backend.Trigger("small", "ignore-term; sleep 10m")
		after(30 * time.Second) // one renewal, 10 s ago
		away = true
		begin := time.Now()
		for len(r.driver.Boxes()) > 0 {
			require.Empty(t, r.outcome(id), "the backend still counts on it")
			after(time.Second)
		}
		require.Less(t, time.Since(begin), 46*time.Second)
		require.Greater(t, time.Since(begin), 30*time.Second, "an outage of half a minute is survived")
		after(30 * time.Second)
		require.Equal(t, ci.OutcomeLost, r.outcome(id))
		away = false
		after(10 * time.Second)
		again := r.backend.Trigger("small", "print x")
		after(time.Second)
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(again), "the agent lives on")
		r.drained()
	})
}

// The backend gave the run up: the next renewal says so, and it is killed.
func TestGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(r *rig, c *agentd.Config) {
			r.backend.TTL = 10 * time.Second // the backend is less patient than the agent thinks
			c.TTL = time.Minute
		})
		after(time.Second)
		id := r.backend.Trigger("small", "ignore-term; sleep 10m")
		after(25 * time.Second)
		require.Equal(t, ci.OutcomeLost, r.outcome(id))
		require.Empty(t, r.driver.Boxes())
		r.drained()
	})
}

// Short and long outages of everything but the lease lose nothing.
func TestUplinkAwayForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := start(t, func(r *rig, _ *agentd.Config) {
			r.backend.Fault = func(context.Context, string, int, bool) error {
				if s := time.Since(begin); s > 10*time.Second && s < 35*time.Second {
					return errors.New("away")
				}
				return nil
			}
		})
		after(time.Second)
		id := r.backend.Trigger("small", "print one; sleep 12s; print two; flood 3000000; sleep 1s; print three")
		after(time.Minute)
		row := r.backend.Get(id)
		require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, row.Run.Reason)
		require.Equal(t, "one\ntwo\n", string(row.Console[:8]))
		require.Len(t, row.Console, 3_000_000+len("one\ntwo\nthree\n"))
		r.drained()
	})
}

// A panic in one run is that run's error; its neighbours do not notice.
func TestPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		after(time.Second)
		bad, good := r.backend.Trigger("small", "panic"), r.backend.Trigger("small", "sleep 1s; print x")
		after(2 * time.Second)
		require.Equal(t, ci.OutcomeError, r.outcome(bad))
		require.Equal(t, ci.OutcomeSucceeded, r.outcome(good))
		r.drained()
	})
}

// R31 for a whole agent: whichever call fails, before it arrives or after, the
// run is carried out once and ends well.
func TestNthCallFails(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for nth := 1; nth <= 25; nth++ {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, func(r *rig, _ *agentd.Config) {
					r.backend.Fault = func(_ context.Context, _ string, n int, after bool) error {
						if n == nth && after == late {
							return errors.New("the connection broke")
						}
						return nil
					}
				})
				id := r.backend.Trigger("small", "print hello; sleep 25s; result x 1; print bye", "x")
				after(time.Minute)
				row := r.backend.Get(id)
				require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, "call %d: %s", nth, row.Run.Reason)
				require.Equal(t, []int{1, 1}, []int{row.Claims, row.Starts})
				require.Equal(t, "hello\nbye\nci: result x: stored 1B\n", string(row.Console))
				r.drained()
			})
		}
	}
}
