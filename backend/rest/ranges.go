package rest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// span is the part of size bytes that a caller wants: from from up to to, exclusive.
type span struct {
	from, to, size int64
	// partial says that a Range header asked for it.
	partial bool
}

// maxDigits keeps positions within an int64.
const maxDigits = 18

// spanOf reads the Range header: one range of bytes (RFC 9110, 14.1.2). An
// If-Range that names another version makes it the whole, as does another unit.
func spanOf(r *http.Request, size int64, etag string) (span, error) {
	whole := span{to: size, size: size}
	values := r.Header.Values("Range")
	if len(values) == 0 {
		return whole, nil
	}
	if cond := r.Header.Get("If-Range"); cond != "" && cond != etag {
		return whole, nil
	}
	unit, spec, _ := strings.Cut(values[0], "=")
	if !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return whole, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || len(values) > 1 || !digits(first) || !digits(last) || first+last == "" {
		return whole, errRange(size, "the Range header %q is not one range of bytes, for example bytes=0-99", cutText(values[0], 100))
	}
	s := whole
	s.partial = true
	switch {
	case first == "": // the last so many
		s.from = max(0, size-number(last))
	case last == "":
		s.from = number(first)
	default:
		s.from, s.to = number(first), min(size, number(last)+1)
		if number(first) > number(last) {
			return whole, errRange(size, "the Range header %q ends before it begins", values[0])
		}
	}
	if s.from >= s.to {
		return whole, errRange(size, "there are %d bytes at present; the range %q has none of them", size, values[0])
	}
	return s, nil
}

func digits(s string) bool {
	return len(s) <= maxDigits && strings.Trim(s, "0123456789") == ""
}

// number reads what digits has approved; "" is 0.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// rangeError carries the size for Content-Range.
type rangeError struct {
	httpError
	size int64
}

// Unwrap shows the httpError.
func (e *rangeError) Unwrap() error { return &e.httpError }

func errRange(size int64, format string, args ...any) error {
	return &rangeError{
		httpError: httpError{http.StatusRequestedRangeNotSatisfiable, "range_not_satisfiable", fmt.Sprintf(format, args...)},
		size:      size,
	}
}

// describe sets the headers of an answer with these bytes and returns its status.
func (s span) describe(h http.Header) int {
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(s.to-s.from, 10))
	if !s.partial {
		return http.StatusOK
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", s.from, s.to-1, s.size))
	return http.StatusPartialContent
}
