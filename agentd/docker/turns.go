package docker

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// How many calls of a kind the engine gets from us at once. Docker Engine 20.10
// makes one network after the other, however many are asked for, and each
// caller's time runs meanwhile: of forty the last would not be made in time.
const (
	networkTurns   = 2
	containerTurns = 8
)

// turns let calls of one kind to the engine go a few at a time, in the order in
// which they came. A call's time counts from its turn.
type turns struct {
	free *semaphore.Weighted
	// idle is how long a call waits while the engine ends none before it, so
	// that one that hangs is known for it as soon as without turns.
	idle time.Duration
	last atomic.Int64 // when the engine ended a call, in nanoseconds
}

func newTurns(n int64) *turns {
	return &turns{free: semaphore.NewWeighted(n), idle: makeTime}
}

// do makes a call that makes or removes something, once it has its turn. Until
// then the end of ctx is the end of it, later only as making has it.
func (t *turns) do(ctx context.Context, call func(context.Context) error) error {
	if err := t.wait(ctx); err != nil {
		return err
	}
	defer t.free.Release(1)
	ctx, cancel := making(ctx)
	defer cancel()
	err := call(ctx)
	if ctx.Err() == nil {
		t.last.Store(time.Now().UnixNano())
	}
	return err
}

func (t *turns) wait(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.free.TryAcquire(1) {
		return nil
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go t.watch(ctx, giveUp) // ends with ctx
	if t.free.Acquire(ctx, 1) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// watch gives up a call's waiting when the engine has ended no other for too long.
func (t *turns) watch(ctx context.Context, giveUp context.CancelCauseFunc) {
	since := time.Now()
	for {
		if last := time.Unix(0, t.last.Load()); last.After(since) {
			since = last
		}
		left := time.Until(since.Add(t.idle))
		if left <= 0 {
			giveUp(fmt.Errorf("it has ended none of the calls before this one for %s: %w", t.idle, context.DeadlineExceeded))
			return
		}
		if pause(ctx, left) != nil {
			return
		}
	}
}
