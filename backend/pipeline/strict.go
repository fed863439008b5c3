package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"ci/pkg/ci"
)

// errMediaType says that a body is of another media type than JSON.
var errMediaType = errors.New("the body is not JSON")

// methodError is about a path that is there for other methods.
type methodError struct{ allow []string }

func (e *methodError) Error() string { return fmt.Sprintf("the methods here are %v", e.allow) }

// allowed are the methods that a path is there for.
func allowed(mux *http.ServeMux, r *http.Request) (methods []string) {
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(other); pattern != "/" && pattern != "" {
			methods = append(methods, method)
		}
	}
	return methods
}

// checkQuery refuses what would be ignored: a parameter that is not known, or
// there twice.
func (r *request) checkQuery(known []string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return ci.Errorf(ci.CodeInvalid, "the query is not one: %w", err)
	}
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return ci.Errorf(ci.CodeInvalid, "the parameter %q is not known here; those that are: %v", cut(name, 50), known)
		case len(values) != 1:
			return ci.Errorf(ci.CodeInvalid, "the parameter %s is there %d times", name, len(values))
		}
	}
	return nil
}

// read parses the body strictly. An empty one is fine where all is optional.
func (r *request) read(into any) error {
	body := bytes.TrimSpace(r.body)
	if len(body) == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errMediaType
	}
	// encoding/json alone takes the last of two fields of a name, bytes that are no text, and more after the end.
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
