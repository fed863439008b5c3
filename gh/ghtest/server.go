// Package ghtest is a GitHub for tests, over HTTP: what a GitHub App needs of
// its REST API, its webhooks, its pages and its git server. Every request to it
// and every answer of it is held against GitHub's published description, so
// neither the code that is tested nor this fake can drift from the real one
// unnoticed. Repositories are real ones, and git answers what git knows.
//
// It can be down, slow, out of quota, and lose answers on their way.
package ghtest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// apiPath is where a GitHub Enterprise Server has its REST API.
const apiPath = "/api/v3"

// Server is one GitHub. Its methods are safe for concurrent use.
type Server struct {
	// URL is where its pages and git repositories are; no slash at the end.
	URL string

	t        testing.TB
	dir      string // of the git repositories
	contract *contract
	routes   []route
	http     *httptest.Server
	hooks    *http.Client

	mu         sync.Mutex
	last       int64 // the last id given out
	ahead      time.Duration
	apps       map[int64]*App
	users      map[string]*User
	repos      map[string]*Repo // by lower-case full name
	tokens     map[string]*token
	pending    map[string]*App // manifests that wait for their conversion, by code
	faults     []*Fault
	down       int // 0: up
	quota      map[string]*quota
	requests   []Request
	violations []string
}

// Request is one that the server got.
type Request struct {
	Method string
	// Path is without the API's prefix: "/repos/octo/hello/check-runs".
	Path string
	// Template is the description's: "/repos/{owner}/{repo}/check-runs"; "" was unknown.
	Template string
	// Status is what it was answered.
	Status int
	Body   []byte
}

// New starts a GitHub, which ends with the test. The test fails if a request
// or an answer was not as GitHub describes them; where the description is not
// on this machine, nothing is held against it, and the test says so.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		t: t, dir: t.TempDir(), apps: map[int64]*App{}, users: map[string]*User{}, repos: map[string]*Repo{},
		tokens: map[string]*token{}, pending: map[string]*App{}, quota: map[string]*quota{}, last: 1000,
		hooks: &http.Client{Timeout: 10 * time.Second},
	}
	s.routes = s.table()
	if path := findDescription(); path == "" {
		t.Logf("NOT CHECKED against GitHub's description: there is no %s beside the repository", descriptionFile)
	} else {
		var err error
		if s.contract, err = readContract(path); err != nil {
			t.Fatalf("GitHub's description: %v", err)
		}
	}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	t.Cleanup(s.close)
	return s
}

// Checked says whether requests and answers are held against the description.
func (s *Server) Checked() bool { return s.contract != nil }

// API is the base URL of the REST API, with a slash at the end.
func (s *Server) API() string { return s.URL + apiPath + "/" }

func (s *Server) close() {
	s.http.CloseClientConnections()
	s.http.Close()
	for _, v := range s.Violations() {
		s.t.Errorf("not as GitHub describes it: %s", v)
	}
}

// Violations returns what was not as described since the last call.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.violations
	s.violations = nil
	return v
}

func (s *Server) violate(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// Requests returns every request to the API until now whose method is method
// and whose template or path contains part; "" selects all.
func (s *Server) Requests(method, part string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Request
	for _, r := range s.requests {
		if (method == "" || r.Method == method) && (strings.Contains(r.Template, part) || strings.Contains(r.Path, part)) {
			list = append(list, r)
		}
	}
	return list
}

// Advance puts GitHub's clock ahead: tokens end, quotas begin anew.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

// now is GitHub's time, in whole seconds as its API shows it. s.mu is held.
func (s *Server) now() time.Time { return time.Now().Add(s.ahead).UTC().Truncate(time.Second) }

// id gives a new id. s.mu is held.
func (s *Server) id() int64 {
	s.last++
	return s.last
}

// random is n bytes in hex.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// ServeHTTP serves the API, the pages and git.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.cut(w) {
		return
	}
	switch path := r.URL.EscapedPath(); {
	case strings.HasPrefix(path, apiPath+"/"):
		s.serveAPI(w, r, strings.TrimPrefix(path, apiPath))
	case strings.Contains(path, ".git/"):
		s.serveGit(w, r)
	case path == "/settings/apps/new" || strings.HasPrefix(path, "/organizations/") && strings.HasSuffix(path, "/settings/apps/new"):
		s.registerApp(w, r)
	default:
		http.NotFound(w, r)
	}
}
