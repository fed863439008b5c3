package engine

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// waitPoll is how often a waiter looks at the database without being woken.
// Messages may be lost; waiting must not depend on them.
const waitPoll = 2 * time.Second

// Wait returns the run once it is as far as until, or as it is when d is over
// or ctx ends. job "" accepts a run of any job.
func (e *Engine) Wait(ctx context.Context, job string, id int64, until ci.Until, d time.Duration) (*ci.Run, error) {
	run, err := e.Store.GetRun(ctx, job, id)
	if err != nil || d <= 0 || run.Reached(until) {
		return run, err
	}
	woken := make(chan struct{}, 1)
	cancel, err := e.Bus.Subscribe(topic("run", id), func(string, []byte) { wake(woken) })
	if err != nil {
		return nil, err
	}
	defer cancel()
	over := time.NewTimer(d)
	defer over.Stop()
	poll := time.NewTicker(waitPoll)
	defer poll.Stop()
	for {
		// Read after subscribing: a change between the two must not be missed.
		if run, err = e.Store.GetRun(ctx, job, id); err != nil || run.Reached(until) {
			return run, err
		}
		select {
		case <-woken:
		case <-poll.C:
		case <-over.C:
			return run, nil
		case <-ctx.Done():
			return run, nil
		}
	}
}

// wake leaves one token; a second one would tell nothing more.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
