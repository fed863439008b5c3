package rpc

import (
	"context"
	"math"
	"time"

	"connectrpc.com/connect"

	"ci/backend/auth"
	"ci/pkg/api/convert"
	"ci/pkg/api/gen/ci/v1"
)

const (
	eventBatch = 500
	// eventPoll is how often the database is asked without being woken; the bus may lose messages.
	eventPoll = time.Second
)

// WatchEvents streams events over Connect.
func (s *Services) WatchEvents(ctx context.Context, req *civ1.WatchEventsRequest, stream *connect.ServerStream[civ1.Event]) error {
	open := func(int64) error { return stream.Send(nil) }
	return s.Follow(ctx, req, time.Hour, open, func(e *civ1.Event) error {
		if e == nil {
			return nil
		}
		return stream.Send(e)
	})
}

// Follow calls emit with every event that the caller may see, in order, until
// ctx ends or emit fails. After every idle time it calls emit with nil. open is
// called once with the seq after which the stream begins, when nothing can be
// wrong with the request any more and no event can be missed.
func (s *Services) Follow(ctx context.Context, req *civ1.WatchEventsRequest, idle time.Duration, open func(after int64) error, emit func(*civ1.Event) error) error {
	p, _ := auth.FromContext(ctx)
	if err := auth.May(p, auth.EventRead, req.GetJob()); err != nil {
		return err
	}
	after, err := s.beginning(ctx, req)
	if err != nil {
		return err
	}
	woken := make(chan struct{}, 1)
	cancel, err := s.Bus.Subscribe("events", func(string, []byte) {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	if err != nil {
		cancel = func() {} // the loop below looks by itself too
	}
	defer cancel()
	if err := open(after); err != nil {
		return err
	}
	poll, quiet := time.NewTicker(eventPoll), time.NewTicker(idle)
	defer poll.Stop()
	defer quiet.Stop()
	for {
		if after, err = s.drain(ctx, after, req.GetJob(), p.Visible(), emit); err != nil {
			return err
		}
		select {
		case <-woken:
		case <-poll.C:
		case <-quiet.C:
			if err := emit(nil); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// drain emits all that is there and returns the last seq.
func (s *Services) drain(ctx context.Context, after int64, job string, jobs []string, emit func(*civ1.Event) error) (int64, error) {
	for {
		events, err := s.Store.Events(ctx, after, eventBatch, job, jobs)
		if err != nil {
			return after, err
		}
		for i := range events {
			if err := emit(convert.ToEvent(&events[i])); err != nil {
				return after, err
			}
			after = events[i].Seq
		}
		if len(events) < eventBatch {
			return after, nil
		}
	}
}

func (s *Services) beginning(ctx context.Context, req *civ1.WatchEventsRequest) (int64, error) {
	if req.After == nil {
		return s.Store.LastEvent(ctx)
	}
	after := req.GetAfter()
	if after < 0 || after > 1<<53 || after != math.Trunc(after) {
		return 0, wrong("the request", "after", "%v is not the seq of an event", after)
	}
	return int64(after), nil
}
