package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"connectrpc.com/connect"

	"ci/pkg/api/convert"
	"ci/pkg/ci"
)

// problem is an error as RFC 9457 writes it.
type problem struct {
	// Type is a URN: stable, and made of Code.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Code is for programs: a ci.Code, or one of the codes that HTTP alone has.
	Code      string     `json:"code"`
	Errors    []ci.Field `json:"errors,omitempty"`
	RequestID string     `json:"requestId"`
}

// httpError is an error that only HTTP has; everything else is a ci.Error.
type httpError struct {
	status int
	code   string
	detail string
}

// Error returns the sentence.
func (e *httpError) Error() string { return e.detail }

// errBug is all that a caller hears of a panic.
var errBug = errors.New("a bug")

// titles say in a word or two what each code means. HTTP's own codes take the status' name.
var titles = map[ci.Code]string{
	ci.CodeInvalid:      "Not valid",
	ci.CodeUnauthorized: "Not authenticated",
	ci.CodeForbidden:    "Not allowed",
	ci.CodeNotFound:     "Not found",
	ci.CodeExpired:      "Kept no longer",
	ci.CodeConflict:     "Not possible in the present state",
	ci.CodeStale:        "Changed meanwhile",
	ci.CodeTooLarge:     "Too large",
	ci.CodeMismatch:     "Idempotency-Key used for another request",
	ci.CodeTooMany:      "Too many requests",
	ci.CodeInternal:     "Internal error",
	ci.CodeUnavailable:  "Not available at the moment",
}

func problemOf(err error) problem {
	var he *httpError
	if errors.As(err, &he) {
		return problem{Title: http.StatusText(he.status), Status: he.status, Detail: he.detail, Code: he.code}
	}
	e := convert.Public(err)
	p := problem{Title: titles[e.Code], Status: convert.Status(e.Code), Detail: e.Message, Code: string(e.Code), Errors: e.Fields}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	return p
}

// fail answers with a problem, or with a Connect error on the RPC services' paths.
func (s *server) fail(w *recorder, r *http.Request, err error) {
	p := problemOf(err)
	p.Type, p.RequestID = "urn:ci:problem:"+p.Code, requestIDOf(r)
	if p.Status >= 500 && r.Context().Err() == nil { // else the caller left, and nothing is wrong here
		s.Log.Error("request failed", "request", p.RequestID, "method", r.Method, "path", r.URL.Path, "err", cause(err))
	}
	if w.status != 0 { // too late for a problem; the reader sees the end of the stream
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Disposition", "Content-Encoding", "ETag", "Accept-Ranges", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	if retry := retryAfter(p.Status); retry > 0 && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(retry))
	}
	if isConnect(r) {
		s.failConnect(w, r, err)
		return
	}
	body, merr := json.Marshal(p)
	if merr != nil {
		body = []byte(`{"status":500}`) // strings and numbers always marshal
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a reader that is gone needs no error
	}
}

func (s *server) failConnect(w *recorder, r *http.Request, err error) {
	var he *httpError
	if errors.As(err, &he) {
		err = &ci.Error{Code: convert.CodeOfStatus(he.status), Message: he.detail}
	}
	ew := connect.NewErrorWriter()
	if !ew.IsSupported(r) {
		http.Error(w, err.Error(), problemOf(err).Status)
		return
	}
	_ = ew.Write(w, r, convert.ToConnect(err, requestIDOf(r))) // a reader that is gone needs no error
}

// retryAfter is when to come again, in seconds; 0 says nothing.
func retryAfter(status int) int {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return 1
	}
	return 0
}

// cause is what the log shows: the sentence and what is behind it.
func cause(err error) error {
	var e *ci.Error
	if errors.As(err, &e) && e.Cause != nil {
		return errors.Join(err, e.Cause)
	}
	return err
}
