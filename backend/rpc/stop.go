package rpc

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// UntilStop is the context of what is held on purpose: it also ends when the
// server stops. All else that a request does goes on to its end, since a
// trigger or a report that is cut off is one that somebody has to repeat.
func (s *Services) UntilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.Stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// wait holds an answer until the run is so far, d is over or the server stops.
func (s *Services) wait(ctx context.Context, job string, id int64, until ci.Until, d time.Duration) (*ci.Run, error) {
	ctx, cancel := s.UntilStop(ctx)
	defer cancel()
	return s.Engine.Wait(ctx, job, id, until, d)
}
