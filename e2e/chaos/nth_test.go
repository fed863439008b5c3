package chaos

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"ci/agentd"
	"ci/agentd/runner"
	"ci/backend"
	"ci/backend/blob"
	"ci/backend/engine"
	"ci/backend/queue"
	"ci/e2e/rig"
	"ci/pkg/ci"
)

// R31: the n-th operation fails, for n from 1 to the last of a run: a
// transaction before or after its commit, a message on its way in or out, an
// object, a step of the container driver. Whatever it is, the run has one end,
// its script began at most once, and nothing of it is left.
func TestNthOperationFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	all := runWithFault(ctx, t, 0) // fails none, and counts
	t.Logf("a run takes %d operations", all.count)
	require.Greater(t, all.count, 15)
	var g errgroup.Group
	g.SetLimit(12) // each waits most of its time
	for n := 1; n <= all.count+2; n++ {
		g.Go(func() error {
			nth := runWithFault(ctx, t, n)
			if nth.failed != "" {
				t.Logf("operation %d, %s: %s", n, nth.failed, nth.outcome)
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
}

// nth counts the operations of one run, and fails one of them.
type nth struct {
	mu      sync.Mutex
	n       int
	armed   bool
	count   int
	failed  string // what it was
	outcome ci.Outcome
}

// fail is asked before an operation, or for its answer.
func (f *nth) fail(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.armed {
		return nil
	}
	f.count++
	if f.count != f.n {
		return nil
	}
	f.failed = what
	return ci.Errorf(ci.CodeUnavailable, "the test lets this fail: %s", what)
}

func (f *nth) arm(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = on
}

// runWithFault lets one run go through a system of its own whose n-th operation fails.
func runWithFault(ctx context.Context, t *testing.T, n int) *nth {
	f := &nth{n: n}
	s := newSystemWith(t, backend.Config{Dir: t.TempDir()}, func(b *backend.Backend, a *agentd.Config) {
		q := faultyQueue{b.Queue, f}
		b.Engine.Queue, a.Queue = q, q
		b.Engine.Blobs = faultyBlobs{b.Blobs, f}
		a.Driver = faultyDriver{a.Driver, f}
	})
	if err := rig.Poll(ctx, time.Minute, func() error {
		if agents, err := s.backend.Store.ListAgents(ctx); err != nil || len(agents) == 0 || agents[0].Problem != "" {
			return fmt.Errorf("the agent is not ready: %v %w", agents, err)
		}
		return nil
	}); err != nil {
		t.Errorf("operation %d: %v", n, err)
		return f
	}
	s.backend.Store.SetFault(func(committed bool) error {
		if committed {
			return f.fail("the answer to a commit")
		}
		return f.fail("a transaction")
	})
	f.arm(true)
	run := triggered(ctx, t, s.backend.Engine, ci.Trigger{Job: "saves", IdempotencyKey: "once"})
	if run == nil {
		return f
	}
	end, err := s.backend.Engine.Wait(ctx, "saves", run.ID, ci.UntilDone, 2*time.Minute)
	f.arm(false)
	if err != nil || !end.Done() {
		t.Errorf("operation %d (%s): the run is not done: %+v %v", n, f.failed, end, err)
		return f
	}
	f.outcome = end.Outcome
	f.check(ctx, t, s, end)
	return f
}

// triggered triggers a run until that is acknowledged.
func triggered(ctx context.Context, t *testing.T, e *engine.Engine, trigger ci.Trigger) (run *ci.Run) {
	err := rig.Poll(ctx, time.Minute, func() (err error) {
		run, _, err = e.Trigger(ctx, trigger)
		if code := ci.CodeOf(err); err != nil && code != ci.CodeUnavailable {
			t.Errorf("trigger %s: %s: %v", trigger.IdempotencyKey, code, err)
		}
		return err
	})
	if err != nil {
		t.Errorf("trigger %s: %v", trigger.IdempotencyKey, err)
	}
	return run
}

// check looks at what a run with a fault has left behind.
func (f *nth) check(ctx context.Context, t *testing.T, s *system, end *ci.Run) {
	what := fmt.Sprintf("operation %d (%s)", f.n, f.failed)
	if f.failed == "" && end.Outcome != ci.OutcomeSucceeded {
		t.Errorf("nothing failed, and the run is %s: %s", end.Outcome, end.Reason)
	}
	if end.Outcome != ci.OutcomeSucceeded && end.Outcome != ci.OutcomeError {
		t.Errorf("%s: %s: %s", what, end.Outcome, end.Reason)
	}
	if end.Outcome == ci.OutcomeError && end.Reason == "" {
		t.Errorf("%s: an error without a reason", what)
	}
	if made, _ := s.driver.Counts(); made > 1 || end.Outcome == ci.OutcomeSucceeded && made != 1 {
		t.Errorf("%s: %d containers were made", what, made)
	}
	sum, err := s.backend.Engine.Console().Sum(ctx, end.ID)
	if err != nil || sum.SHA256 != end.Console.SHA256 || sum.Bytes != end.Console.Bytes {
		t.Errorf("%s: the console is %+v, sealed as %+v: %v", what, sum, end.Console, err)
	}
	results, err := s.backend.Store.ListResults(ctx, end.ID)
	if err != nil || end.Outcome == ci.OutcomeSucceeded && len(results) != 1 {
		t.Errorf("%s: it succeeded with results %v: %v", what, results, err)
	}
	onceDone(ctx, t, s.backend.Store, 1)
	if err := rig.Poll(ctx, time.Minute, func() error {
		if left := s.driver.Boxes(); len(left) > 0 {
			return fmt.Errorf("containers are left: %v", left)
		}
		return nil
	}); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	s.close(t)
}

type faultyQueue struct {
	queue.Queue
	nth *nth
}

// Publish fails before it does anything.
func (q faultyQueue) Publish(ctx context.Context, ms []queue.Message) error {
	if err := q.nth.fail("publishing a message"); err != nil {
		return err
	}
	return q.Queue.Publish(ctx, ms)
}

// Pull hands out deliveries whose settling may fail. Pulling itself fails only
// once it has a message, which is lost then, as with a broken connection.
func (q faultyQueue) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	d, err := q.Queue.Pull(ctx, lanes)
	if err != nil {
		return d, err
	}
	if err := q.nth.fail("pulling a message"); err != nil {
		_ = d.Nak(ctx, 0) // the broker notices
		return ci.Delivery{}, err
	}
	ack, nak := d.Ack, d.Nak
	d.Ack = func(ctx context.Context) error {
		if err := q.nth.fail("an acknowledgement"); err != nil {
			return err
		}
		return ack(ctx)
	}
	d.Nak = func(ctx context.Context, delay time.Duration) error {
		if err := q.nth.fail("giving a message back"); err != nil {
			return err
		}
		return nak(ctx, delay)
	}
	return d, nil
}

type faultyBlobs struct {
	blob.Store
	nth *nth
}

// Put fails after half of the work.
func (b faultyBlobs) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	if err := b.nth.fail("storing an object"); err != nil {
		_, _ = io.CopyN(io.Discard, r, 2)
		return blob.Info{}, err
	}
	return b.Store.Put(ctx, key, r)
}

type faultyDriver struct {
	runner.Driver
	nth *nth
}

// Prepare fails before anything is made.
func (d faultyDriver) Prepare(ctx context.Context, o runner.Order, console io.Writer) (runner.Box, error) {
	if err := d.nth.fail("preparing a container"); err != nil {
		return nil, err
	}
	b, err := d.Driver.Prepare(ctx, o, console)
	if err != nil {
		return nil, err
	}
	return faultyBox{b, d.nth}, nil
}

type faultyBox struct {
	runner.Box
	nth *nth
}

// Run loses the container before the script begins.
func (b faultyBox) Run(ctx context.Context, started func(), console io.Writer) (runner.Exit, error) {
	if err := b.nth.fail("running a script"); err != nil {
		return runner.Exit{}, err
	}
	return b.Box.Run(ctx, started, console)
}

// Collect fails before anything is packed.
func (b faultyBox) Collect(ctx context.Context, specs []ci.ResultSpec, put func(ci.Result, io.Reader) error) ([]runner.Missing, error) {
	if err := b.nth.fail("collecting results"); err != nil {
		return nil, err
	}
	return b.Box.Collect(ctx, specs, put)
}

// Remove fails this time.
func (b faultyBox) Remove(ctx context.Context) error {
	if err := b.nth.fail("removing a container"); err != nil {
		return err
	}
	return b.Box.Remove(ctx)
}
