package ci

import (
	"errors"
	"fmt"
	"strings"
)

// Code says what kind of failure an Error is, for programs. Each code has one
// HTTP status and one Connect code (see pkg/api).
type Code string

// The codes. Whoever makes an Error picks the one whose sentence fits.
const (
	CodeInvalid      Code = "invalid"            // the caller sent something malformed; 400
	CodeUnauthorized Code = "unauthorized"       // no token, or one that is not valid; 401
	CodeForbidden    Code = "forbidden"          // a valid token that may not do this; 403
	CodeNotFound     Code = "not_found"          // there is none, or the caller may not know of it; 404
	CodeExpired      Code = "expired"            // it was there, and is kept no longer; 410
	CodeConflict     Code = "conflict"           // impossible in the present state; 409
	CodeStale        Code = "stale"              // If-Match names a version that is no longer; 412
	CodeTooLarge     Code = "too_large"          // the body is over its limit; 413
	CodeMismatch     Code = "idempotency_reused" // an Idempotency-Key came again with another request; 422
	CodeTooMany      Code = "too_many"           // come again later; 429 with Retry-After
	CodeInternal     Code = "internal"           // our fault; 500
	CodeUnavailable  Code = "unavailable"        // something we depend on is down; 503
)

// Field is one thing that is wrong with an input, and where it is.
type Field struct {
	// Path names the place: a JSON path ("parameters[0].name") or file:line:column.
	Path string `json:"path"`
	// Message says what was found, and what would be right.
	Message string `json:"message"`
}

// Error is the one error type that crosses a room's border: a code for
// programs, a sentence for people, and a cause for us. The wire shows Code,
// Message and Fields; Cause is only ever logged.
type Error struct {
	Code    Code
	Message string
	Fields  []Field
	Cause   error
}

// Error returns the sentence, followed by its fields.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Path, f.Message)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an Error with a formatted sentence. A %w verb sets its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Cause: errors.Unwrap(err)}
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal for
// any other error and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// faults collects the fields of one validation.
type faults struct{ fields []Field }

func (f *faults) add(path, format string, args ...any) {
	f.fields = append(f.fields, Field{Path: path, Message: fmt.Sprintf(format, args...)})
}

// err returns nil when nothing was added.
func (f *faults) err(what string) error {
	if len(f.fields) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: what + " is not valid", Fields: f.fields}
}
