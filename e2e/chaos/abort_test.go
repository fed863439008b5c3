package chaos

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/pkg/ci"
)

// TestAbortAgainstFinish lets 500 aborts race with the ends of their runs, in
// the real engine on SQLite and NATS, with an agent whose containers cost
// nothing. Each abort comes at a random moment of its run's life.
func TestAbortAgainstFinish(t *testing.T) {
	t.Parallel()
	const races = 500
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	s := newSystem(t)
	random := seeded(t)
	life := s.life(ctx, t)
	t.Logf("an undisturbed run takes %s", life)
	aim := newAim(life)
	ends := make([]*ci.Run, races)
	var wg sync.WaitGroup
	atOnce := make(chan struct{}, 16)
	for i := range races {
		jitter, anywhere := 0.6+0.8*random.Float64(), i%5 == 0
		wg.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			delay := aim.at(jitter)
			if anywhere { // in the queue, while it is claimed or prepared
				delay = aim.at((jitter - 0.6) * 1.25)
			}
			if ends[i] = race(ctx, t, s.backend.Engine, delay); !anywhere && ends[i] != nil {
				aim.hit(ends[i].Outcome == ci.OutcomeAborted)
			}
		})
	}
	wg.Wait()
	require.False(t, t.Failed())
	outcomes := map[ci.Outcome]int{}
	for _, r := range ends {
		outcomes[r.Outcome]++
		now, err := s.backend.Store.GetRun(ctx, "", r.ID)
		require.NoError(t, err)
		require.Equal(t, r, now, "a run that was done has changed")
		require.NotEmpty(t, r.Reason)
	}
	t.Logf("%v", outcomes)
	require.Equal(t, races, outcomes[ci.OutcomeSucceeded]+outcomes[ci.OutcomeAborted])
	require.Greater(t, outcomes[ci.OutcomeSucceeded], races/20, "these were no races: the aborts came too early")
	require.Greater(t, outcomes[ci.OutcomeAborted], races/20, "these were no races: the aborts came too late")
	onceDone(ctx, t, s.backend.Store, races)
	s.close(t)
	require.Empty(t, s.driver.Boxes(), "containers are left")
}

// aim finds the moment at which half of the aborts come first: there they race.
type aim struct {
	mu     sync.Mutex
	moment time.Duration
}

func newAim(life time.Duration) *aim { return &aim{moment: life} }

// at is the moment, stretched.
func (a *aim) at(stretch float64) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Duration(stretch * float64(a.moment))
}

// hit says that an abort came in time, or too late.
func (a *aim) hit(early bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if early {
		a.moment += a.moment / 16
	} else {
		a.moment -= a.moment / 16
	}
}

// race triggers a run, asks for its end after a delay, and returns the run as
// soon as it is done. Whatever the abort was told must be true in the end.
func race(ctx context.Context, t *testing.T, e *engine.Engine, delay time.Duration) *ci.Run {
	run, _, err := e.Trigger(ctx, ci.Trigger{Job: "quick"})
	if err != nil {
		t.Errorf("trigger: %v", err)
		return nil
	}
	pause := time.NewTimer(delay) // the race's own randomness; nothing is awaited by it
	defer pause.Stop()
	<-pause.C
	told, abortErr := e.Abort(ctx, "quick", run.ID, "chaos")
	end, err := e.Wait(ctx, "quick", run.ID, ci.UntilDone, time.Minute)
	switch {
	case err != nil:
		t.Errorf("run %d: %v", run.ID, err)
	case !end.Done():
		t.Errorf("run %d is not done after a minute: %s", run.ID, end.Phase)
	case abortErr != nil && ci.CodeOf(abortErr) != ci.CodeConflict:
		t.Errorf("run %d: abort: %v", run.ID, abortErr)
	case abortErr != nil && end.Outcome != ci.OutcomeSucceeded:
		t.Errorf("run %d: the abort was refused (%v), and the outcome is %s", run.ID, abortErr, end.Outcome)
	case abortErr == nil && told.Done() && told.Outcome != end.Outcome:
		t.Errorf("run %d: the abort answered %s, and the outcome is %s", run.ID, told.Outcome, end.Outcome)
	}
	return end
}

// events reads all events of a store.
type events interface {
	Events(ctx context.Context, after int64, limit int, job string, jobs []string) ([]ci.Event, error)
}

// onceDone checks that each run was said to be done exactly once, and that its
// phases were said in their order, none twice.
func onceDone(ctx context.Context, t *testing.T, s events, least int) {
	t.Helper()
	done, last := map[int64]int{}, map[int64]int{}
	order := map[ci.EventType]int{
		ci.EventRunTriggered: 1, ci.EventRunQueued: 2, ci.EventRunPreparing: 3, ci.EventRunRunning: 4, ci.EventRunCollecting: 5, ci.EventRunDone: 6,
	}
	for after := int64(0); ; {
		batch, err := s.Events(ctx, after, 500, "", nil)
		require.NoError(t, err)
		if len(batch) == 0 {
			break
		}
		for _, e := range batch {
			after = e.Seq
			if e.Type == ci.EventRunDone {
				done[e.Run]++
			}
			if at := order[e.Type]; at > 0 {
				require.Greater(t, at, last[e.Run], "run %d: %s came twice, or too late", e.Run, e.Type)
				last[e.Run] = at
			}
		}
	}
	require.GreaterOrEqual(t, len(done), least)
	for run, n := range done {
		require.Equal(t, 1, n, "run %d was done %d times", run, n)
	}
}

// seeded is randomness that can be had again: CHAOS_SEED.
func seeded(t *testing.T) *rand.Rand {
	seed := seed(t)
	t.Logf("CHAOS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
