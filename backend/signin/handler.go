package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"ci/pkg/api"
	"ci/pkg/ci"
)

const (
	// maxBody is the longest body of a request: a flow and a code, with room.
	maxBody = 32 << 10
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
)

// Handler serves everything under /sign-in, which needs no token but for the end
// of one. openapi.yaml describes it.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range s.routes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, serve) })
	}
	return mux
}

// operation answers with a status and JSON; nil is no body.
type operation func(http.ResponseWriter, *http.Request) (status int, answer any, err error)

// routes are the operations by their patterns.
func (s *Service) routes() map[string]operation {
	return map[string]operation{
		"GET /sign-in": func(http.ResponseWriter, *http.Request) (int, any, error) {
			return http.StatusOK, map[string]any{"providers": s.Providers()}, nil
		},
		"POST /sign-in/{provider}": func(_ http.ResponseWriter, r *http.Request) (int, any, error) {
			begun, err := s.Begin(r.Context(), r.PathValue("provider"), r.RemoteAddr)
			return http.StatusOK, begun, err
		},
		"POST /sign-in/{provider}/token": func(w http.ResponseWriter, r *http.Request) (int, any, error) {
			var a ci.SignInAnswer
			if err := read(w, r, &a); err != nil {
				return 0, nil, err
			}
			in, err := s.Finish(r.Context(), r.PathValue("provider"), r.RemoteAddr, a)
			return http.StatusCreated, in, err
		},
		"DELETE /sign-in/token": func(_ http.ResponseWriter, r *http.Request) (int, any, error) {
			scheme, bearer, ok := strings.Cut(r.Header.Get("Authorization"), " ")
			if !ok || !strings.EqualFold(scheme, "Bearer") {
				return 0, nil, ci.Errorf(ci.CodeUnauthorized, "a token is needed: send the header Authorization: Bearer abc.def.ghi")
			}
			return http.StatusNoContent, nil, s.End(r.Context(), bearer)
		},
		"/": func(_ http.ResponseWriter, r *http.Request) (int, any, error) {
			return 0, nil, ci.Errorf(ci.CodeNotFound, "there is nothing at %.20s %.200s; /openapi.yaml lists what there is", r.Method, r.URL.Path)
		},
	}
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request, fn operation) {
	defer func() {
		if v := recover(); v != nil {
			s.Log.Error("sign-in: a request panicked", "path", r.URL.Path, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			api.WriteProblem(w, errors.New("a bug"))
		}
	}()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	status, answer, err := fn(w, r)
	var body []byte
	if err == nil && answer != nil {
		body, err = json.Marshal(answer)
	}
	var kind *kindError
	switch {
	case errors.As(err, &kind):
		api.WriteTypeProblem(w)
		return
	case err != nil:
		if ci.CodeOf(err) == ci.CodeInternal && r.Context().Err() == nil {
			s.Log.Error("sign-in: a request failed", "path", r.URL.Path, "err", err)
		}
		api.WriteProblem(w, err)
		return
	}
	if body != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a reader that is gone needs no error
}

// kindError says that a body is no JSON by its type.
type kindError struct{}

func (*kindError) Error() string { return "the body is not JSON" }

// read takes a body strictly.
func read(w http.ResponseWriter, r *http.Request, into any) error {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyTime)) // not every writer can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = rc.SetReadDeadline(time.Time{})
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return ci.Errorf(ci.CodeTooLarge, "the body has more than %d bytes", long.Limit)
	case err != nil:
		return ci.Errorf(ci.CodeInvalid, "the body broke off: %w", err)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &kindError{}
	}
	// encoding/json alone takes the last of two fields of a name.
	if _, err := jsontext.AppendFormat(nil, body); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the body is not JSON: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the body is not the JSON that belongs here: %w", err)
	}
	return nil
}
