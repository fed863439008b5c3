package rest

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"

	"ci/backend/auth"
	"ci/backend/rpc"
)

// Paths of byte streams, which the wire's services don't have.
const (
	consolePattern = "/jobs/{name}/runs/{id}/results/console"
	timesPattern   = consolePattern + "/times"
	resultPattern  = "/jobs/{name}/runs/{id}/results/{result}"
)

func (s *server) newRouter() (router, error) {
	var rt router
	for _, m := range s.rpc.Methods() {
		if !proto.HasExtension(m.Descriptor.Options(), annotations.E_Http) {
			continue // what agents call is no part of REST
		}
		route, err := s.transcoded(m)
		if err != nil {
			return rt, err
		}
		if err := rt.add(route); err != nil {
			return rt, err
		}
	}
	for _, route := range s.plain() {
		if err := rt.add(route); err != nil {
			return rt, err
		}
	}
	return rt, s.mountConnect(&rt)
}

// transcoded makes the REST route of a method from its google.api.http rule.
func (s *server) transcoded(m *rpc.Method) (*Route, error) {
	rule, _ := proto.GetExtension(m.Descriptor.Options(), annotations.E_Http).(*annotations.HttpRule)
	route := &Route{Action: m.Action, RPC: m}
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		route.Method, route.Pattern = http.MethodGet, p.Get
	case *annotations.HttpRule_Put:
		route.Method, route.Pattern = http.MethodPut, p.Put
	case *annotations.HttpRule_Post:
		route.Method, route.Pattern = http.MethodPost, p.Post
	case *annotations.HttpRule_Delete:
		route.Method, route.Pattern = http.MethodDelete, p.Delete
	default:
		return nil, fmt.Errorf("rest: %s has no google.api.http rule with a method that we serve", m.Procedure)
	}
	if m.Stream() {
		route.Held, route.serve = true, s.serveEvents
		return route, nil
	}
	t, err := s.newTranscoder(m, rule, route.Pattern)
	if err != nil {
		return nil, err
	}
	route.serve = t.serve
	return route, nil
}

// plain lists the routes that no method stands behind.
func (s *server) plain() []*Route {
	get := func(pattern string, serve func(*recorder, *http.Request, []string) error, summary string) *Route {
		return &Route{Method: http.MethodGet, Pattern: pattern, Summary: summary, serve: serve}
	}
	public := func(r *Route) *Route { r.Public = true; return r }
	guarded := func(r *Route, a auth.Action) *Route { r.Action = a; return r }
	console := guarded(get(consolePattern, s.serveConsole, "Returns a run's console output, live or finished."), auth.RunRead)
	console.Held = true
	routes := []*Route{
		console,
		guarded(get(timesPattern, s.serveTimes, "Says when the parts of a run's console were stored."), auth.RunRead),
		guarded(get(resultPattern, s.serveResult, "Returns the bytes of one result."), auth.RunRead),
		public(get("/healthz", s.serveHealth, "Says that the server lives.")),
		public(get("/readyz", s.serveReady, "Says whether all that the server depends on answers.")),
		public(get("/openapi.yaml", s.serveOpenAPI, "Returns this document.")),
		public(get("/schemas/job.json", s.serveSchema, "Returns the JSON Schema of job files.")),
	}
	if s.Metrics != nil {
		routes = append(routes, guarded(get("/metrics", s.serveMetrics, "Returns metrics for Prometheus. Callers on the same machine need no token."), auth.MetricsRead))
	}
	return routes
}

// mountConnect puts every procedure under its own exact path.
func (s *server) mountConnect(rt *router) error {
	handlers := map[string]http.Handler{}
	s.rpc.Mount(func(path string, h http.Handler) { handlers[path] = h }, requestIDFrom)
	for procedure, m := range s.rpc.Methods() {
		service := procedure[:strings.LastIndex(procedure, "/")+1]
		h := handlers[service]
		if h == nil {
			return fmt.Errorf("rest: %s has no Connect handler", procedure)
		}
		err := rt.add(&Route{
			Method: http.MethodPost, Pattern: procedure, Action: m.Action, Held: m.Stream() || m.Held, RPC: m,
			serve: func(w *recorder, r *http.Request, _ []string) error {
				return s.serveConnect(w, r, h, m)
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
