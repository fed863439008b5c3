package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ci/backend/auth"
	"ci/pkg/ci"
)

func (s *server) serveHealth(w *recorder, r *http.Request, _ []string) error {
	return writeJSON(w, r, map[string]string{"status": "ok"})
}

// serveReady says of each part whether it answers. What it says when it does
// not is shown only where it is a sentence meant for people; the log has all.
// It also tells what should be set up better.
func (s *server) serveReady(w *recorder, r *http.Request, _ []string) error {
	checks := s.Ready(r.Context())
	var bad []ci.Field
	fine := map[string]string{}
	for name, err := range checks {
		if err == nil {
			fine[name] = "ok"
			continue
		}
		s.Log.Warn("not ready", "part", name, "err", err)
		message := "does not answer"
		var e *ci.Error
		if errors.As(err, &e) {
			message = e.Message
		}
		bad = append(bad, ci.Field{Path: name, Message: message})
	}
	if len(bad) > 0 {
		slices.SortFunc(bad, func(a, b ci.Field) int { return strings.Compare(a.Path, b.Path) })
		return &ci.Error{Code: ci.CodeUnavailable, Message: "the server is not ready", Fields: bad}
	}
	ready := map[string]any{"status": "ready", "checks": fine}
	if warnings := s.Warnings(r.Context()); len(warnings) > 0 {
		ready["warnings"] = warnings
	}
	return writeJSON(w, r, ready)
}

func (s *server) serveMetrics(w *recorder, r *http.Request, _ []string) error {
	p, _ := auth.FromContext(r.Context())
	if err := auth.May(p, auth.MetricsRead, ""); err != nil {
		return err
	}
	s.Metrics.ServeHTTP(w, r)
	return nil
}

func (s *server) serveSchema(w *recorder, r *http.Request, _ []string) error {
	return writeDocument(w, r, "application/schema+json", s.Schema)
}

func writeJSON(w *recorder, r *http.Request, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return ci.Errorf(ci.CodeInternal, "the answer could not be written as JSON: %w", err)
	}
	return writeWhole(w, r, "application/json", append(body, '\n'))
}

// writeDocument answers with a document that is the same for all callers until the program changes.
func writeDocument(w *recorder, r *http.Request, contentType string, doc []byte) error {
	w.Header().Set("Cache-Control", "no-cache")
	tag(w.Header(), nil, doc)
	if noneMatch(r, w.Header().Get("ETag")) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeWhole(w, r, contentType, doc)
}

func writeWhole(w *recorder, r *http.Request, contentType string, body []byte) error {
	if _, err := parseQuery(r.URL.RawQuery, nil); err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader that is gone needs no error
	}
	return nil
}
