package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ci/backend/auth"
	"ci/backend/rpc"
	"ci/pkg/ci"
)

// Route is one method on one path.
type Route struct {
	Method string
	// Pattern has one {variable} a segment at most: "/jobs/{name}/runs/{id}".
	Pattern string
	// Action is what a caller must be allowed to do; "" on public routes.
	Action auth.Action
	// Public says that no token is needed.
	Public bool
	// Held says that the answer is a stream, or may be held on purpose.
	Held bool
	// RPC is the method behind it; nil for byte streams and the like.
	RPC *rpc.Method
	// Summary is for the OpenAPI document, where RPC does not say it.
	Summary string

	serve func(w *recorder, r *http.Request, vars []string) error
}

// router finds routes. Paths match exactly: no cleaning, no redirects, no escapes.
type router struct {
	routes []*Route
	root   *node
}

type node struct {
	static  map[string]*node
	wild    *node
	methods map[string]*Route
}

// match is what a request was found to be for.
type match struct {
	// route is nil when there is none of that method and path.
	route *Route
	// vars are the values of the pattern's variables, in order.
	vars []string
	// allow lists the methods of the path; empty when there is no such path.
	allow []string
}

func (rt *router) add(r *Route) error {
	if rt.root == nil {
		rt.root = new(node)
	}
	n := rt.root
	for _, seg := range strings.Split(r.Pattern[1:], "/") {
		n = n.child(seg)
	}
	if n.methods == nil {
		n.methods = map[string]*Route{}
	}
	if n.methods[r.Method] != nil {
		return fmt.Errorf("rest: %s %s is there twice", r.Method, r.Pattern)
	}
	n.methods[r.Method] = r
	rt.routes = append(rt.routes, r)
	return nil
}

func (n *node) child(seg string) *node {
	if strings.HasPrefix(seg, "{") {
		if n.wild == nil {
			n.wild = new(node)
		}
		return n.wild
	}
	if n.static == nil {
		n.static = map[string]*node{}
	}
	if n.static[seg] == nil {
		n.static[seg] = new(node)
	}
	return n.static[seg]
}

func (rt *router) match(r *http.Request) match {
	// No name of ours needs an escape, so a path that has one is not ours. This is what
	// keeps every disguise of a path (%2f, %2e%2e, %00) from meaning anything.
	path := r.URL.EscapedPath()
	if path == "" || path[0] != '/' || strings.Contains(path, "%") {
		return match{}
	}
	n, vars := rt.root.find(path[1:], nil)
	if n == nil || n.methods == nil {
		return match{}
	}
	method := r.Method
	if method == http.MethodHead && n.methods[http.MethodHead] == nil {
		method = http.MethodGet
	}
	return match{route: n.methods[method], vars: vars, allow: n.allow()}
}

// find walks the path's segments. A fixed segment goes before a variable one.
func (n *node) find(path string, vars []string) (*node, []string) {
	seg, rest, more := strings.Cut(path, "/")
	next := n.static[seg]
	if next == nil {
		if n.wild == nil || !validSegment(seg) {
			return nil, nil
		}
		next, vars = n.wild, append(vars, seg)
	}
	if !more {
		return next, vars
	}
	return next.find(rest, vars)
}

// validSegment is what a variable may be: the names of jobs, results, agents and ids all are,
// and the hosts of registries, which may end with a port.
func validSegment(s string) bool {
	host, port, found := strings.Cut(s, ":")
	if n, err := strconv.ParseUint(port, 10, 16); found && (err != nil || n == 0) {
		return false
	}
	s = host
	if s == "" || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

func (n *node) allow() []string {
	var list []string
	for m := range n.methods {
		list = append(list, m)
		if m == http.MethodGet {
			list = append(list, http.MethodHead)
		}
	}
	slices.Sort(list)
	return list
}

// missing is the error of a path or method that is not there.
func (m match) missing(w http.ResponseWriter, r *http.Request) error {
	if len(m.allow) == 0 {
		return ci.Errorf(ci.CodeNotFound, "there is nothing at %s; /openapi.yaml lists what there is", shortPath(r))
	}
	allow := strings.Join(m.allow, ", ")
	w.Header().Set("Allow", allow)
	return &httpError{
		status: http.StatusMethodNotAllowed, code: "method_not_allowed",
		detail: fmt.Sprintf("%s is not possible on %s; what is: %s", shortMethod(r), shortPath(r), allow),
	}
}

// shortPath keeps a message about a long path readable.
func shortPath(r *http.Request) string { return cutText(r.URL.EscapedPath(), 200) }

func shortMethod(r *http.Request) string { return cutText(r.Method, 20) }

func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
