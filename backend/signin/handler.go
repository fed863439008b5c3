package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

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
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, strict(serve)) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, func(http.ResponseWriter, *http.Request) (int, any, error) {
			if allow := api.AllowedMethods(mux, r); len(allow) > 0 {
				return 0, nil, &api.MethodError{Allow: allow}
			}
			return 0, nil, ci.Errorf(ci.CodeNotFound, "there is nothing at %.20s %.200s; /openapi.yaml lists what there is", r.Method, r.URL.Path)
		})
	})
	return mux
}

// strict refuses parameters: no operation knows any.
func strict(serve operation) operation {
	return func(w http.ResponseWriter, r *http.Request) (int, any, error) {
		if err := api.CheckQuery(r, nil); err != nil {
			return 0, nil, err
		}
		return serve(w, r)
	}
}

// operation answers with a status and JSON; nil is no body.
type operation func(http.ResponseWriter, *http.Request) (status int, answer any, err error)

// routes are the operations by their patterns.
func (s *Service) routes() map[string]operation {
	return map[string]operation{
		"GET /sign-in": func(http.ResponseWriter, *http.Request) (int, any, error) {
			return http.StatusOK, map[string]any{"providers": s.Providers()}, nil
		},
		"POST /sign-in/{provider}": func(w http.ResponseWriter, r *http.Request) (int, any, error) {
			var how struct {
				Paste bool `json:"paste"`
			}
			if r.ContentLength != 0 {
				if err := read(w, r, &how); err != nil {
					return 0, nil, err
				}
			}
			begun, err := s.Begin(r.Context(), r.PathValue("provider"), r.RemoteAddr, how.Paste)
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
	var method *api.MethodError
	switch {
	case errors.As(err, &method):
		api.WriteMethodProblem(w, r, method.Allow)
		return
	case errors.Is(err, api.ErrMediaType):
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
	return api.DecodeStrict(r, body, into)
}
