package ghtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// fields is a JSON object.
type fields = map[string]any

// route is one operation that the server has.
type route struct {
	method, template string
	need             need
	serve            func(*call) answer
	// undescribed operations are real, but not in the description that requests are held against.
	undescribed bool

	path *regexp.Regexp
	vars []string
}

// call is one request to the API.
type call struct {
	s     *Server
	http  *http.Request
	route *route
	vars  map[string]string
	query url.Values
	body  []byte
	who   *token // nil: nobody in particular
	app   *App   // who calls with an App's own JWT
	repo  *Repo  // the path's, if it names one
}

// answer is what a call gets.
type answer struct {
	status int
	body   any // JSON; nil is none
	raw    []byte
	kind   string // of raw
	header map[string]string
}

func ok(body any) answer      { return answer{status: http.StatusOK, body: body} }
func created(body any) answer { return answer{status: http.StatusCreated, body: body} }

const docsURL = "https://docs.github.com/rest"

func refuse(status int, format string, args ...any) answer {
	return answer{status: status, body: fields{"message": fmt.Sprintf(format, args...), "documentation_url": docsURL}}
}

func notFound() answer { return refuse(http.StatusNotFound, "Not Found") }

// invalid is a 422, as GitHub writes them.
func invalid(resource, field, format string, args ...any) answer {
	return answer{status: http.StatusUnprocessableEntity, body: fields{
		"message": "Validation Failed", "documentation_url": docsURL,
		"errors": []fields{{"resource": resource, "field": field, "code": "invalid", "message": fmt.Sprintf(format, args...)}},
	}}
}

// serveAPI finds the route, does what it says unless a fault is in the way, and
// holds request and answer against the description.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request, path string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // who asked is gone
	}
	c := &call{s: s, http: r, query: r.URL.Query(), body: body}
	c.route, c.vars = s.find(r.Method, path)
	fault := s.fault(r.Method, path)
	if fault != nil && !fault.wait(r.Context()) {
		return
	}
	a := s.answer(c, fault)
	s.note(Request{Method: r.Method, Path: path, Template: c.template(), Status: a.status, Body: body})
	if fault != nil && fault.Lose {
		drop(w)
		return
	}
	s.write(w, c, a)
}

func (c *call) template() string {
	if c.route == nil {
		return ""
	}
	return c.route.template
}

func (s *Server) note(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

func (s *Server) answer(c *call, fault *Fault) answer {
	if fault != nil && fault.Status != 0 {
		return fault.answer()
	}
	if c.route == nil {
		return notFound()
	}
	s.mu.Lock()
	refused := c.identify()
	limited := s.spend(c)
	s.mu.Unlock()
	if limited != nil {
		return *limited
	}
	if refused != nil {
		return *refused
	}
	s.checkRequest(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.route.serve(c)
}

func (s *Server) checkRequest(c *call) {
	if s.contract == nil || c.route.undescribed {
		return
	}
	op := s.contract.operations[c.route.method+" "+c.route.template]
	if op == nil {
		s.violate("%s %s is served, but not described", c.route.method, c.route.template)
		return
	}
	if err := s.contract.request(op, c.query, c.body); err != nil {
		s.violate("request %s %s: %v\n%s", c.http.Method, c.http.URL, err, abridged(c.body))
	}
}

// write sends an answer with the headers that GitHub's have.
func (s *Server) write(w http.ResponseWriter, c *call, a answer) {
	out, kind := a.raw, a.kind
	if a.body != nil {
		var err error
		if out, err = json.Marshal(a.body); err != nil {
			s.violate("answer of %s %s: %v", c.http.Method, c.http.URL, err)
		}
		kind = "application/json; charset=utf-8"
	}
	if s.contract != nil && c.route != nil && !c.route.undescribed {
		if op := s.contract.operations[c.route.method+" "+c.route.template]; op != nil {
			if err := s.contract.answer(op, a.status, kind, out); err != nil {
				s.violate("answer %d of %s %s: %v\n%s", a.status, c.http.Method, c.http.URL, err, abridged(out))
			}
		}
	}
	if kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.Header().Set("Date", s.date())
	w.Header().Set("X-GitHub-Request-Id", random(8))
	w.Header().Set("X-GitHub-Media-Type", "github.v3; format=json")
	s.rateHeaders(w.Header(), c)
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(out)
}

// decode reads the body's JSON; what it can't hold stays as it is.
func (c *call) decode(into any) *answer {
	d := json.NewDecoder(bytes.NewReader(c.body))
	if err := d.Decode(into); err != nil && err != io.EOF {
		a := refuse(http.StatusBadRequest, "Problems parsing JSON")
		return &a
	}
	return nil
}

// number is a path variable that is one; 0 when it isn't.
func (c *call) number(name string) int64 {
	n, _ := strconv.ParseInt(c.vars[name], 10, 64)
	return n
}

// greedy variables may hold slashes.
var greedy = map[string]bool{"ref": true, "path": true, "basehead": true}

// compile prepares the matching of a route's path.
func (r *route) compile() {
	var b strings.Builder
	for _, segment := range strings.Split(strings.TrimPrefix(r.template, "/"), "/") {
		b.WriteString("/")
		name, isVar := strings.CutPrefix(segment, "{")
		name = strings.TrimSuffix(name, "}")
		switch {
		case !isVar:
			b.WriteString(regexp.QuoteMeta(segment))
			continue
		case greedy[name]:
			b.WriteString("(.+)")
		default:
			b.WriteString("([^/]+)")
		}
		r.vars = append(r.vars, name)
	}
	r.path = regexp.MustCompile("^" + b.String() + "$")
}

// find returns the route of a path, and its variables. Routes stand in the
// order in which they are tried.
func (s *Server) find(method, path string) (*route, map[string]string) {
	for i := range s.routes {
		r := &s.routes[i]
		m := r.path.FindStringSubmatch(path)
		if m == nil || r.method != method {
			continue
		}
		vars := map[string]string{}
		for i, name := range r.vars {
			v, err := url.PathUnescape(m[i+1])
			if err != nil {
				return nil, nil
			}
			vars[name] = v
		}
		return r, vars
	}
	return nil, nil
}

// page cuts a list to the page that is asked for, and says where the others are.
func page[T any](c *call, list []T) ([]T, map[string]string) {
	size, number := c.pageOf(30, 100)
	return paged(c, list, size, number)
}

func paged[T any](c *call, list []T, size, number int) ([]T, map[string]string) {
	pages := max((len(list)+size-1)/size, 1)
	var links []string
	link := func(n int, rel string) {
		u := *c.http.URL
		q := u.Query()
		q.Set("page", strconv.Itoa(n))
		u.RawQuery = q.Encode()
		links = append(links, fmt.Sprintf("<%s%s>; rel=%q", c.s.URL, u.RequestURI(), rel))
	}
	if number > 1 {
		link(number-1, "prev")
	}
	if number < pages {
		link(number+1, "next")
		link(pages, "last")
	}
	header := map[string]string{}
	if len(links) > 0 {
		header["Link"] = strings.Join(links, ", ")
	}
	from := min((number-1)*size, len(list))
	return list[from:min(from+size, len(list))], header
}

// pageOf returns the size and the number (from 1) of the page that is asked for.
func (c *call) pageOf(size, most int) (int, int) {
	if n, err := strconv.Atoi(c.query.Get("per_page")); err == nil && n > 0 {
		size = min(n, most)
	}
	number, _ := strconv.Atoi(c.query.Get("page"))
	return size, max(number, 1)
}
