package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/pkg/ci"
)

// opener answers for the forges.
type opener struct {
	mu     sync.Mutex
	access *ci.HTTPAccess
	next   *ci.HTTPAccess // once access is refused; nil: there is no other
	err    error
	hang   bool // until who asks has no more time
	urls   []string
}

func (o *opener) HTTPAccess(ctx context.Context, url string) (*ci.HTTPAccess, error) {
	if o.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.urls = append(o.urls, url)
	return o.access, o.err
}

// Refused brings the next answer.
func (o *opener) Refused(old *ci.HTTPAccess) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.access == old && o.next != nil {
		o.access = o.next
	}
}

func (o *opener) answer(access *ci.HTTPAccess, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.access, o.err = access, err
}

func forgeWorld(t *testing.T, patience, planFor time.Duration) (*world, *opener) {
	o := &opener{access: &ci.HTTPAccess{Username: "x-access-token", Password: "ghs_secret"}}
	w := setup(t, func(c *engine.Config) { c.Repositories, c.AccessFor, c.PlanFor = o, patience, planFor })
	w.git()
	w.loops()
	return w, o
}

// The planner and the checkout get what opens the repository; a script never does.
func TestForgeOpensRepository(t *testing.T) {
	w, o := forgeWorld(t, time.Minute, 2*time.Second)
	run := w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilPlanned)
	require.Equal(t, o.access, w.planner.access.HTTP)
	_, work := w.claim(run.ID, "a1")
	require.Equal(t, o.access, work.HTTP)
	require.Empty(t, work.Secrets)
	require.Equal(t, []string{"https://git.test/x.git", "https://git.test/x.git"}, o.urls)
	w.freestyle()
	_, work = w.claim(w.trigger(hello).ID, "a1")
	require.Nil(t, work.HTTP, "a freestyle job has no repository")
}

// A forge that is away keeps nobody from reading what is anybody's; what is not waits for it.
func TestForgeIsAway(t *testing.T) {
	w, o := forgeWorld(t, time.Millisecond, 30*time.Second)
	o.answer(nil, ci.Errorf(ci.CodeUnavailable, "the forge is away"))
	run := w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilPlanned)
	require.NotNil(t, run.Spec)
	require.Eventually(t, func() bool {
		work, err := w.Claim(w.ctx, ci.Claim{Run: run.ID, Agent: "a1", ID: uuid.NewString()})
		return err == nil && work.HTTP == nil
	}, time.Minute, 10*time.Millisecond, "after a while it is tried without")

	shut := ci.Errorf(ci.CodeInvalid, "https://git.test/x.git does not let us in")
	w.planner.mu.Lock()
	w.planner.errs = []error{shut}
	w.planner.mu.Unlock()
	run = w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilPlanned)
	require.False(t, run.Done(), "it was tried again: the forge may open it")
}

// A forge that hangs is one that is away: no planner waits for it for long.
func TestForgeHangs(t *testing.T) {
	o := &opener{hang: true}
	w := setup(t, func(c *engine.Config) { c.Repositories, c.PlanFor = o, time.Millisecond })
	w.git()
	w.loops()
	run := w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilPlanned)
	require.NotNil(t, run.Spec, "what is anybody's is read without it")
	w.planner.mu.Lock()
	w.planner.errs = []error{ci.Errorf(ci.CodeInvalid, "https://git.test/x.git does not let us in")}
	w.planner.mu.Unlock()
	run = w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilDone)
	require.Contains(t, run.Reason, "the forge has not answered in time")
}

// Why a forge gives out nothing is said where that matters.
func TestForgeGivesNothing(t *testing.T) {
	w, o := forgeWorld(t, time.Minute, 2*time.Second)
	o.answer(nil, ci.Errorf(ci.CodeConflict, "the private key of forge github's App can't be used"))
	w.planner.mu.Lock()
	w.planner.errs = []error{ci.Errorf(ci.CodeInvalid, "https://git.test/x.git does not let us in")}
	w.planner.mu.Unlock()
	run := w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeError, run.Outcome)
	require.Contains(t, run.Reason, "does not let us in. Its forge gives out nothing to read it with: the private key of forge github's App can't be used")
	run = w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilPlanned)
	require.False(t, run.Done(), "others need nothing")
}

// What was revoked is got anew, once; what is refused all the same ends the run.
func TestRevokedAccess(t *testing.T) {
	w, o := forgeWorld(t, time.Minute, 2*time.Second)
	o.next = &ci.HTTPAccess{Username: "x-access-token", Password: "ghs_new"}
	shut := ci.Errorf(ci.CodeInvalid, "https://git.test/x.git does not let us in")
	fail := func(times int) {
		w.planner.mu.Lock()
		defer w.planner.mu.Unlock()
		for range times {
			w.planner.errs = append(w.planner.errs, shut)
		}
	}
	fail(1)
	run := w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilPlanned)
	require.False(t, run.Done())
	require.Equal(t, o.next, w.planner.access.HTTP)
	asks := w.planner.asks
	fail(1)
	run = w.wait(w.trigger(ci.Trigger{Job: "unit", BranchName: "main"}).ID, ci.UntilDone)
	require.Equal(t, ci.OutcomeError, run.Outcome)
	require.Equal(t, asks+1, w.planner.asks, "there is no other access, so it is not asked twice")
}
