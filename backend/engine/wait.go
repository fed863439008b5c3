package engine

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// waitPoll is how often a waiter looks at the database without being woken.
// Messages may be lost; waiting must not depend on them.
const waitPoll = 2 * time.Second

// lookTime bounds how long a run is looked for whose waiter's time is over already.
const lookTime = 5 * time.Second

// Wait returns the run once it is as far as until, or as it is when d is over
// or ctx ends. job "" accepts a run of any job.
func (e *Engine) Wait(ctx context.Context, job string, id int64, until ci.Until, d time.Duration) (*ci.Run, error) {
	run, err := e.look(ctx, job, id)
	if err != nil || d <= 0 || run.Reached(until) {
		return run, err
	}
	over := time.NewTimer(d)
	defer over.Stop()
	woken := make(chan struct{}, 1)
	cancel, err := e.Bus.Subscribe(topic("run", id), func(string, []byte) { wake(woken) })
	if err != nil {
		e.Log.Debug("bus: a waiter hears nothing, and looks by itself", "run", id, "err", err)
		cancel = func() {}
	}
	defer cancel()
	poll := time.NewTicker(waitPoll)
	defer poll.Stop()
	for {
		// Read after subscribing: a change between the two must not be missed.
		now, err := e.Store.GetRun(ctx, job, id)
		if err != nil && ctx.Err() != nil {
			return run, nil // as it was a moment ago
		}
		if err != nil || now.Reached(until) {
			return now, err
		}
		run = now
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

// look reads a run also when ctx has ended before: a waiter who comes to a
// server that stops is told how far the run is, as one who came in time.
func (e *Engine) look(ctx context.Context, job string, id int64) (*ci.Run, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer cancel()
	return e.Store.GetRun(ctx, job, id)
}

// wake leaves one token; a second one would tell nothing more.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
