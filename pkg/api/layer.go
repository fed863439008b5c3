package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"ci/pkg/ci"
)

// What follows is for layers that serve paths of their own beside the API's, and
// are to be as strict as it is.

// ErrMediaType says that a body is of another media type than JSON (415).
var ErrMediaType = errors.New("the body is not JSON")

// MethodError is about a path that is there for other methods (405).
type MethodError struct{ Allow []string }

// Error implements error.
func (e *MethodError) Error() string { return fmt.Sprintf("the methods here are %v", e.Allow) }

// AllowedMethods are the methods that a path is there for, where "/" is the
// pattern of all that is not there.
func AllowedMethods(mux *http.ServeMux, r *http.Request) (methods []string) {
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
			methods = append(methods, method)
		}
	}
	return methods
}

// CheckQuery refuses what would be ignored: a parameter that is not known, or
// there twice.
func CheckQuery(r *http.Request, known []string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return ci.Errorf(ci.CodeInvalid, "the query is not one: %w", err)
	}
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return ci.Errorf(ci.CodeInvalid, "the parameter %q is not known here; those that are: %v", Cut(name, 50), known)
		case len(values) != 1:
			return ci.Errorf(ci.CodeInvalid, "the parameter %s is there %d times", name, len(values))
		}
	}
	return nil
}

// DecodeStrict parses a request's body, which was read: unknown and doubled
// fields, bytes that are no text and more after the end are errors.
func DecodeStrict(r *http.Request, body []byte, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return ErrMediaType
	}
	// encoding/json alone takes the last of two fields of a name.
	if _, err := jsontext.AppendFormat(nil, body); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the body is not JSON: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the body is not the JSON that belongs here: %w", err)
	}
	return nil
}

// Cut shortens a foreign text for a message.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
