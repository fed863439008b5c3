package rest

import (
	"context"
	"net/http"
	"time"

	"ci/pkg/ci"
)

const (
	// bodyTime is how long a request's body may take to arrive.
	bodyTime = 30 * time.Second
	// busyTime is how long an answer waits for its turn.
	busyTime = 5 * time.Second
)

// enter counts a request in. Streams and held answers have seats of their own,
// so that any number of waiting clients never keeps a trigger out.
func (s *server) enter(w *recorder, r *http.Request, m match) (leave func(), err error) {
	if m.route.Public {
		return func() {}, nil
	}
	if w.held = m.route.Held || r.URL.Query().Has("wait"); w.held {
		select {
		case s.held <- struct{}{}:
			return func() { <-s.held }, nil
		default:
			return nil, ci.Errorf(ci.CodeTooMany, "%d streams and waiting requests are open already; try again in a moment", s.MaxHeld)
		}
	}
	select {
	case s.busy <- struct{}{}:
		return func() { <-s.busy }, nil
	default:
	}
	turn := time.NewTimer(busyTime)
	defer turn.Stop()
	select {
	case s.busy <- struct{}{}:
		return func() { <-s.busy }, nil
	case <-turn.C:
		return nil, ci.Errorf(ci.CodeTooMany, "%d requests are under way already; try again in a moment", s.MaxBusy)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// untilStop returns a context that also ends when the server stops.
func (s *server) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if s.Stop == nil {
		return ctx, cancel
	}
	go func() {
		select {
		case <-s.Stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// serveConnect hands a request to a service. Connect reads bodies itself, so their time is limited here.
func (s *server) serveConnect(w *recorder, r *http.Request, h http.Handler) error {
	r.Body = &timedBody{ReadCloser: r.Body, done: limitBodyTime(w)}
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	h.ServeHTTP(w, r.WithContext(ctx))
	return nil
}
