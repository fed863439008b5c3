package agentd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ci/pkg/ci"
)

const (
	// checkEvery is the time between two questions to the driver whether it works.
	checkEvery = 3 * time.Second
	// checkTimeout bounds one; openTimeout bounds the making of what all runs share.
	checkTimeout = 10 * time.Second
	openTimeout  = 5 * time.Minute
	sweepTimeout = time.Minute
)

// driverLoop opens the driver, and opens it again whenever it has been away.
// While it does not work the agent takes nothing and says why.
func (a *Agent) driverLoop(ctx context.Context) {
	var d driverState
	for ctx.Err() == nil {
		err := a.checkDriver(ctx, &d)
		if ctx.Err() == nil {
			a.setProblem(err)
		}
		sleep(ctx, checkEvery)
	}
}

// driverState is what the loop knows of the driver.
type driverState struct {
	open   bool
	failed int // checks in a row
}

// awayAfter is how many failed checks in a row mean that the driver has been
// away, so that it must be opened again; fewer may be a moment of high load.
const awayAfter = 3

func (a *Agent) checkDriver(ctx context.Context, d *driverState) error {
	check, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := a.cfg.Driver.Ready(check); err != nil {
		if d.failed++; d.failed >= awayAfter {
			d.open = false
		}
		return err
	}
	d.failed = 0
	if a.hasEnded() { // also when that is known: what was said before Open says nothing of what Open makes
		d.open = false
	}
	if d.open {
		return nil
	}
	live, done, err := a.sweeping(ctx)
	if err != nil {
		return err
	}
	defer done()
	if n := len(live); n > 0 { // opening sweeps, and would sweep them
		return fmt.Errorf("the container engine was away; it is opened again when the %d runs from before have ended", n)
	}
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := a.cfg.Driver.Open(opening); err != nil {
		return err
	}
	d.open = true
	return nil
}

// doubt asks the driver at once, when a run has ended by it. Until the next
// check an agent whose engine is away would take one run after the other, and
// end each as an error.
func (a *Agent) doubt() {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	err := a.cfg.Driver.Ready(ctx)
	if err == nil {
		return
	}
	slow := errors.Is(err, context.DeadlineExceeded) // of ctx, or of a limit that the driver gives itself
	a.mu.Lock()
	a.ended = a.ended || !slow
	a.mu.Unlock()
	a.setProblem(err)
}

// hasEnded says, once, that the engine was gone: what all runs share went with it.
func (a *Agent) hasEnded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	ended := a.ended
	a.ended = false
	return ended
}

// setProblem notes why nothing can be run; nil means that it can.
func (a *Agent) setProblem(err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	a.mu.Lock()
	was := a.problem
	a.problem = problem
	a.mu.Unlock()
	if was == problem {
		return
	}
	if err != nil {
		a.log.Warn("no run can be carried out for now; trying on", "err", err)
	} else {
		a.log.Info("ready for runs", "cpus", a.cfg.CPUs, "memory", ci.Bytes(a.cfg.Memory))
	}
	a.changed()
}

// sweepLoop removes what ended runs left behind.
func (a *Agent) sweepLoop(ctx context.Context) {
	every(ctx, a.cfg.SweepEvery, func(ctx context.Context) {
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("the search for leftovers failed", "err", err)
		}
	})
}

func (a *Agent) sweep(ctx context.Context) error {
	a.mu.Lock()
	ready := a.problem == ""
	a.mu.Unlock()
	if !ready {
		return nil
	}
	live, done, err := a.sweeping(ctx)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	left, err := a.cfg.Driver.Sweep(ctx, live)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.leftovers = left
	return nil
}

// sweeping begins a search for leftovers, one at a time, and returns the runs
// that are none. Runs that get their slots later begin when done is called.
func (a *Agent) sweeping(ctx context.Context) (live []int64, done func(), err error) {
	select {
	case a.sweeps <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	swept := make(chan struct{})
	a.swept = swept
	return a.ids(), func() {
		a.mu.Lock()
		a.swept = nil
		a.mu.Unlock()
		close(swept)
		<-a.sweeps
	}, nil
}
