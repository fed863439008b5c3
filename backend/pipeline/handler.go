package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"ci/pkg/api"
	"ci/pkg/ci"
)

const (
	// maxBody is the longest body of a request: a program in JSON, with room for escapes.
	maxBody = 6*ci.MaxProgram + 64<<10
	// defaultBodyTime is how long a body may take to arrive.
	defaultBodyTime = 30 * time.Second
	// maxHeld is how many answers one process holds back at once.
	maxHeld = 1024
)

// anyPipeline stands for all pipelines in the path of a list of runs.
const anyPipeline = "-"

// request is one call of the API of pipelines, by somebody who may make it.
type request struct {
	*http.Request
	w    http.ResponseWriter
	who  *ci.Caller
	body []byte
}

// route is one operation. openapi.yaml describes each.
type route struct {
	pattern string
	roles   []ci.Role
	serve   func(*request) (any, error)
	query   []string // the parameters that it knows
}

func (s *Service) routes() []route {
	read := []ci.Role{ci.RoleAdmin, ci.RoleMaintain, ci.RoleTrigger, ci.RoleRead}
	trigger, maintain := read[:3], read[:2]
	return []route{
		{"GET /pipelines", read, s.listPipelines, []string{"pageSize", "pageToken"}},
		{"GET /pipelines/{name}", read, s.getPipeline, nil},
		{"PUT /pipelines/{name}", maintain, s.putPipeline, nil},
		{"DELETE /pipelines/{name}", maintain, s.deletePipeline, nil},
		{"POST /pipelines/{name}/runs", trigger, s.startRun, nil},
		{"GET /pipelines/{name}/runs", read, s.listRuns, []string{"status", "outcome", "pageSize", "pageToken", "wait", "since"}},
		{"GET /pipelines/{name}/runs/{id}", read, s.getRun, []string{"wait", "since"}},
		{"GET /pipelines/{name}/runs/{id}/graph", read, s.getGraph, nil},
		{"GET /pipelines/{name}/runs/{id}/program", read, s.getProgram, nil},
		{"POST /pipelines/{name}/runs/{id}/abort", trigger, s.abortRun, nil},
		{"POST /pipelines/{name}/runs/{id}/rerun", trigger, s.rerun, nil},
		{"POST /pipelines/{name}/runs/{id}/approvals/{call}", trigger, s.answer, nil},
	}
}

// Handler serves everything under /pipelines. It checks tokens itself.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		mux.HandleFunc(route.pattern, func(w http.ResponseWriter, r *http.Request) {
			s.serve(&request{Request: r, w: w}, route)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.serve(&request{Request: r, w: w}, route{serve: func(r *request) (any, error) {
			if allow := api.AllowedMethods(mux, r.Request); len(allow) > 0 {
				return nil, &api.MethodError{Allow: allow}
			}
			return nil, ci.Errorf(ci.CodeNotFound, "there is nothing at %s %s; /openapi.yaml of a cid lists what there is", r.Method, api.Cut(r.URL.Path, 200))
		}})
	})
	return mux
}

// serve checks who calls and what, and writes what the route returns: nothing (204), or JSON.
func (s *Service) serve(r *request, at route) {
	defer func() {
		if v := recover(); v != nil {
			s.Log.Error("pipelines: a request panicked", "path", r.URL.Path, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			api.WriteProblem(r.w, errors.New("a bug"))
		}
	}()
	r.w.Header().Set("X-Content-Type-Options", "nosniff")
	r.w.Header().Set("Cache-Control", "no-store")
	var answer any
	err := s.admit(r, at.roles)
	if err == nil && at.pattern != "" {
		err = api.CheckQuery(r.Request, at.query)
	}
	if err == nil {
		err = r.readBody(s.bodyTime)
	}
	if err == nil {
		answer, err = at.serve(r)
	}
	if err != nil {
		s.refuse(r, err)
		return
	}
	r.write(answer)
}

func (s *Service) refuse(r *request, err error) {
	var method *api.MethodError
	switch {
	case errors.As(err, &method):
		api.WriteMethodProblem(r.w, r.Request, method.Allow)
		return
	case errors.Is(err, api.ErrMediaType):
		api.WriteTypeProblem(r.w)
		return
	case ci.CodeOf(err) == ci.CodeInternal && r.Context().Err() == nil:
		s.Log.Error("pipelines: a request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	api.WriteProblem(r.w, err)
}

// admit says whether the caller may do what one of roles may. nil are all roles.
func (s *Service) admit(r *request, roles []ci.Role) (err error) {
	scheme, bearer, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		return ci.Errorf(ci.CodeUnauthorized, "a token is needed: send the header Authorization: Bearer abc.def.ghi")
	}
	if r.who, err = s.Who(r.Context(), bearer); err != nil || roles == nil {
		return err
	}
	switch {
	case !slices.Contains(roles, r.who.Role):
		return ci.Errorf(ci.CodeForbidden, "the token %s has the role %s, which may not do this; the roles that may are %v", r.who.Name, r.who.Role, roles)
	case len(r.who.Jobs) > 0:
		return ci.Errorf(ci.CodeForbidden, "the token %s is limited to some jobs, and a pipeline is of many; use a token without limits", r.who.Name)
	}
	return nil
}

// reply is an answer with a status or headers of its own.
type reply struct {
	status int
	header map[string]string
	body   any
}

func (r *request) write(answer any) {
	status := http.StatusOK
	if a, ok := answer.(reply); ok {
		status, answer = a.status, a.body
		for k, v := range a.header {
			r.w.Header().Set(k, v)
		}
	}
	if text, ok := answer.(string); ok {
		r.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		r.w.WriteHeader(status)
		_, _ = io.WriteString(r.w, text) // a reader that is gone needs no error
		return
	}
	if answer == nil {
		r.w.WriteHeader(http.StatusNoContent)
		return
	}
	body, err := json.Marshal(answer)
	if err != nil {
		api.WriteProblem(r.w, err)
		return
	}
	r.w.Header().Set("Content-Type", "application/json")
	r.w.WriteHeader(status)
	_, _ = r.w.Write(append(body, '\n'))
}

// readBody takes the body in before anything is done. Its time ends with it: a
// deadline left behind would end the request of an answer that is held.
func (r *request) readBody(limit time.Duration) (err error) {
	if r.ContentLength == 0 {
		return nil
	}
	rc := http.NewResponseController(r.w)
	_ = rc.SetReadDeadline(time.Now().Add(limit)) // not every writer can
	r.body, err = io.ReadAll(http.MaxBytesReader(r.w, r.Body, maxBody))
	_ = rc.SetReadDeadline(time.Time{})
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return ci.Errorf(ci.CodeTooLarge, "the body has more than %d bytes", long.Limit)
	case err != nil:
		r.w.Header().Set("Connection", "close") // the rest of it would be taken for the next request
		return ci.Errorf(ci.CodeInvalid, "the body broke off: %w", err)
	}
	return nil
}

// name is the pipeline in the path.
func (r *request) name() string { return r.PathValue("name") }

// id is the run in the path.
func (r *request) id() (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id <= 0 {
		return 0, ci.Errorf(ci.CodeNotFound, "%q is not the number of a run", api.Cut(r.PathValue("id"), 50))
	}
	return id, nil
}

// page reads pageSize and pageToken.
func (r *request) page() (size int, token string, err error) {
	size, token = 100, r.URL.Query().Get("pageToken")
	if text := r.URL.Query().Get("pageSize"); text != "" {
		if size, err = strconv.Atoi(text); err != nil || size < 1 || size > 500 {
			return 0, "", ci.Errorf(ci.CodeInvalid, "pageSize %q is not a number from 1 to 500", api.Cut(text, 50))
		}
	}
	return size, token, nil
}
