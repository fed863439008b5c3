package rest

import (
	"context"
	"net/http"
	"time"

	"ci/backend/rpc"
	"ci/pkg/ci"
)

const (
	// defaultBodyTime is how long a request's body may take to arrive.
	defaultBodyTime = 30 * time.Second
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

// serveConnect hands a request to a service. Connect reads bodies itself, so
// their time is limited here: that of a whole request, or of each piece of a stream.
func (s *server) serveConnect(w *recorder, r *http.Request, h http.Handler, m *rpc.Method) error {
	if m.Stream() {
		r.Body = &pacedBody{ReadCloser: r.Body, w: w, limit: s.bodyTime}
	} else {
		r.Body = &timedBody{ReadCloser: r.Body, done: limitBodyTime(w, s.bodyTime)}
	}
	ctx := r.Context()
	if m.Stream() {
		var cancel context.CancelFunc
		ctx, cancel = s.rpc.UntilStop(ctx)
		defer cancel()
	}
	h.ServeHTTP(w, r.WithContext(ctx))
	return nil
}
