package rest

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// ServeHTTP takes a request through everything that all have in common. The
// order matters: nothing about a path is told to a caller without a token,
// and nothing is asked of the database for one that was sent to another host.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	id := requestID(r)
	rec := &recorder{ResponseWriter: w}
	m := s.routes.match(r)
	if m.route != nil {
		r.Pattern = m.route.Method + " " + m.route.Pattern // as a ServeMux does, for whoever stands around us
	}
	r = r.WithContext(withRequestID(r.Context(), id))
	// A deadline that an earlier answer on this connection has left would cut off this one.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	h := rec.Header()
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")

	defer func() {
		if v := recover(); v != nil {
			s.panicked(rec, r, v)
		}
		s.observe(rec, r, m, begun)
	}()
	if err := s.serve(rec, r, m); err != nil {
		s.fail(rec, r, err)
	}
}

func (s *server) serve(w *recorder, r *http.Request, m match) error {
	public := m.route != nil && m.route.Public
	if !public {
		if err := s.checkHost(r); err != nil {
			return err
		}
		if door := below(s.Doors, r); m.route == nil && door != nil {
			door.ServeHTTP(w, r)
			return nil
		}
		var err error
		if r, err = s.authenticate(w, r, m); err != nil {
			return err
		}
	}
	if m.route == nil {
		if layer := below(s.Layers, r); layer != nil {
			layer.ServeHTTP(w, r)
			return nil
		}
		return m.missing(w, r)
	}
	leave, err := s.enter(w, r, m)
	if err != nil {
		return err
	}
	defer leave()
	return m.route.serve(w, r, m.vars)
}

// below is whose path a request has, of layers or doors; nil for nobody's.
func below(layers map[string]http.Handler, r *http.Request) http.Handler {
	path := r.URL.EscapedPath()
	if len(path) < 2 || strings.Contains(path, "%") {
		return nil
	}
	first, _, _ := strings.Cut(path[1:], "/")
	return layers["/"+first]
}

// panicked logs a bug and tells the caller nothing of it but the request's id.
func (s *server) panicked(w *recorder, r *http.Request, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.Log.Error("request panicked", "request", requestIDOf(r), "method", r.Method, "path", r.URL.Path,
		"err", fmt.Sprint(v), "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	s.fail(w, r, errBug)
}

func (s *server) observe(w *recorder, r *http.Request, m match, begun time.Time) {
	o := Observation{Method: knownMethod(r.Method), Status: w.status, Duration: time.Since(begun), Held: w.held}
	if m.route != nil {
		o.Route = m.route.Pattern
	}
	if o.Status == 0 {
		o.Status = http.StatusOK
	}
	s.Observe(o)
	s.Log.Debug("request", "request", requestIDOf(r), "method", r.Method, "path", r.URL.Path,
		"status", o.Status, "bytes", w.bytes, "duration", o.Duration, "peer", r.RemoteAddr)
}

// isConnect says whether a request is for the RPC services, which have errors of their own shape.
func isConnect(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/ci.v1.") }

// knownMethod keeps callers from filling metrics with methods of their own making.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}
