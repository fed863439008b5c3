package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"ci/pkg/api/convert"
	"ci/pkg/ci"
)

// WriteProblem answers with err as RFC 9457 writes it, as the API itself does.
// It is for layers on top of the API that have paths of their own. What is no
// ci.Error is told as a plain sentence.
func WriteProblem(w http.ResponseWriter, err error) {
	e := convert.Public(err)
	switch e.Code {
	case ci.CodeUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="ci"`)
	case ci.CodeTooMany, ci.CodeUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	writeProblem(w, convert.Status(e.Code), string(e.Code), e.Message, e.Fields)
}

// WriteMethodProblem answers that a method is not among those that are allowed at a path (405).
func WriteMethodProblem(w http.ResponseWriter, r *http.Request, allow []string) {
	list := strings.Join(allow, ", ")
	w.Header().Set("Allow", list)
	writeProblem(w, http.StatusMethodNotAllowed, "method_not_allowed", fmt.Sprintf("%.20s is not possible here; what is: %s", r.Method, list), nil)
}

// WriteTypeProblem answers that a body is not of the one media type that is understood (415).
func WriteTypeProblem(w http.ResponseWriter) {
	writeProblem(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "the request body must be JSON: send the header Content-Type: application/json", nil)
}

func writeProblem(w http.ResponseWriter, status int, code, detail string, fields []ci.Field) {
	body, err := json.Marshal(struct {
		Type   string     `json:"type"`
		Title  string     `json:"title"`
		Status int        `json:"status"`
		Detail string     `json:"detail"`
		Code   string     `json:"code"`
		Errors []ci.Field `json:"errors,omitempty"`
	}{"urn:ci:problem:" + code, http.StatusText(status), status, detail, code, fields})
	if err != nil {
		body = []byte(`{"status":500}`) // strings and numbers always marshal
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a reader that is gone needs no error
}
