package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"ci/pkg/ci"
)

// The time between attempts doubles from the first to the last of these.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// errGone says that the backend does not know us as the run's holder any more.
var errGone = errors.New("the run is not held by this agent any more")

// reports are sent one after the other, without anyone waiting for them.
type reports struct {
	mu   sync.Mutex
	last chan struct{} // closed when the last report so far has been sent
	all  sync.WaitGroup
}

// report sends something about the run after everything that was reported
// before has arrived. It does not wait.
func (r *Runner) report(ctx context.Context, what string, send func(context.Context) error) {
	r.reports.mu.Lock()
	defer r.reports.mu.Unlock()
	before, done := r.reports.last, make(chan struct{})
	r.reports.last = done
	r.reports.all.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		if err := r.retry(ctx, what, r.bounded(send)); err != nil {
			r.log.Warn("could not "+what, "err", err)
		}
	})
}

func (r *reports) wait() { r.all.Wait() }

// retry calls the backend until it succeeds, ctx ends, or the answer is one of
// final, which is returned. Losing the claim stops the whole run.
func (r *Runner) retry(ctx context.Context, what string, call func(context.Context) error, final ...ci.Code) error {
	wait := firstBackoff
	for n := 1; ctx.Err() == nil; n++ {
		err := attempt(ctx, call)
		code := ci.CodeOf(err)
		switch {
		case err == nil:
			return nil
		case code == ci.CodeConflict:
			r.Stop()
			return fmt.Errorf("%w: %w", errGone, err)
		case slices.Contains(final, code):
			return err
		}
		if n == 3 {
			r.log.Warn("the backend does not answer; still trying to "+what, "err", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, lastBackoff)
	}
	return context.Cause(ctx)
}

// attempt makes one call; a panic of the uplink is a failed attempt.
func attempt(ctx context.Context, call func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return call(ctx)
}

// bounded gives a call its time limit.
func (r *Runner) bounded(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
		defer cancel()
		return call(ctx)
	}
}

// append stores a piece of console, whatever it takes while the claim holds.
func (r *Runner) append(ctx context.Context, offset int64, data []byte) error {
	for len(data) > 0 {
		var next int64
		err := r.retry(ctx, "store console output", r.bounded(func(ctx context.Context) (err error) {
			next, err = r.cfg.Uplink.AppendConsole(ctx, r.claim, offset, data)
			if err == nil && (next <= offset || next > offset+int64(len(data))) {
				err = fmt.Errorf("the backend holds %d bytes of console after %d bytes were sent at %d", next, len(data), offset)
			}
			return err
		}))
		if err != nil {
			return err
		}
		data = data[next-offset:]
		offset = next
	}
	return nil
}
