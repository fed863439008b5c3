// Package vaultserver is a Vault for tests: log-in by AppRole and token,
// leases that end, and a KV engine of version 2, by the API that HashiCorp
// documents (https://developer.hashicorp.com/vault/api-docs), as far as a
// store of secrets needs it. It can be sealed, slow, and deny paths.
package vaultserver

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// What a test logs in with.
const (
	RoleID   = "role-0123"
	SecretID = "secret-id-4567"
	// Root is a token that never ends.
	Root = "hvs.root"
)

// Server is one Vault.
type Server struct {
	URL string
	// Namespace is the only one that there is; "" is the root's.
	Namespace string

	http    *httptest.Server
	mu      sync.Mutex
	sealed  bool
	denied  string // paths that begin so are denied
	stall   chan struct{}
	lease   int // seconds that a token lives
	renew   bool
	tokens  map[string]time.Time // when each ends; zero never does
	secrets map[string]*entry
	counts  map[string]int
}

// entry is one path of the KV engine.
type entry struct {
	Versions []version
	Custom   map[string]any
}

type version struct {
	Data             map[string]any
	Created, Deleted time.Time
	Destroyed        bool
}

// New starts a server; Close ends it.
func New() *Server {
	s := &Server{lease: 3600, renew: true, tokens: map[string]time.Time{Root: {}}, secrets: map[string]*entry{}, counts: map[string]int{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.http.URL
	return s
}

// Close ends the server.
func (s *Server) Close() {
	s.Stall(false)
	s.http.Close()
}

// Seal seals it, or unseals it.
func (s *Server) Seal(on bool) { s.change(func() { s.sealed = on }) }

// Deny denies all paths that begin with prefix ("secret/data/"); "" denies none.
func (s *Server) Deny(prefix string) { s.change(func() { s.denied = prefix }) }

// Lease sets how long tokens live that are made from now on, and whether they can be renewed.
func (s *Server) Lease(seconds int, renewable bool) {
	s.change(func() { s.lease, s.renew = seconds, renewable })
}

// Expire ends all tokens but Root's.
func (s *Server) Expire() {
	s.change(func() { s.tokens = map[string]time.Time{Root: {}} })
}

// Stall lets requests wait until it is turned off again.
func (s *Server) Stall(on bool) {
	s.change(func() {
		if s.stall != nil {
			close(s.stall)
			s.stall = nil
		}
		if on {
			s.stall = make(chan struct{})
		}
	})
}

// Count is how often something happened: "login", "renew", "revoke", "read".
func (s *Server) Count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[what]
}

// Tokens is how many tokens are alive, beside Root.
func (s *Server) Tokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for t, end := range s.tokens {
		if t != Root && time.Now().Before(end) {
			n++
		}
	}
	return n
}

// Put sets a secret as somebody would with Vault's own tools.
func (s *Server) Put(path string, data map[string]any) {
	s.change(func() { s.put(path, data) })
}

func (s *Server) change(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	stall := s.stall
	s.mu.Unlock()
	if stall != nil {
		select {
		case <-stall:
		case <-r.Context().Done():
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	var body map[string]any
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&body) // none is an empty one
	}
	token := r.Header.Get("X-Vault-Token")
	end, known := s.tokens[token]
	switch {
	case s.sealed:
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
	case r.Header.Get("X-Vault-Namespace") != s.Namespace:
		fail(w, http.StatusNotFound, "no handler for route \""+path+"\". route entry not found.")
	case path == "auth/approle/login" && isWrite(r):
		s.login(w, body)
	case !known || (!end.IsZero() && time.Now().After(end)):
		fail(w, http.StatusForbidden, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
	case strings.HasPrefix(path, "auth/token/"):
		s.token(w, r, strings.TrimPrefix(path, "auth/token/"), token)
	case s.denied != "" && strings.HasPrefix(path, s.denied):
		fail(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
	case strings.HasPrefix(path, "secret/data/"):
		s.data(w, r, strings.TrimPrefix(path, "secret/data/"), body)
	case strings.HasPrefix(path, "secret/metadata/"):
		s.metadata(w, r, strings.TrimPrefix(path, "secret/metadata/"), body)
	default:
		fail(w, http.StatusNotFound, "no handler for route \""+path+"\". route entry not found.")
	}
}

func isWrite(r *http.Request) bool { return r.Method == http.MethodPost || r.Method == http.MethodPut }

func (s *Server) login(w http.ResponseWriter, body map[string]any) {
	if body["role_id"] != RoleID || body["secret_id"] != SecretID {
		fail(w, http.StatusBadRequest, "invalid role or secret ID")
		return
	}
	s.counts["login"]++
	token := "hvs." + uuid.NewString()
	s.tokens[token] = time.Now().Add(time.Duration(s.lease) * time.Second)
	answer(w, map[string]any{"auth": s.auth(token)})
}

func (s *Server) auth(token string) map[string]any {
	return map[string]any{
		"client_token": token, "accessor": "a", "policies": []string{"default", "ci"}, "token_type": "service",
		"lease_duration": s.lease, "renewable": s.renew,
	}
}

func (s *Server) token(w http.ResponseWriter, r *http.Request, verb, token string) {
	switch {
	case verb == "lookup-self" && r.Method == http.MethodGet:
		ttl, renewable := 0, false
		if end := s.tokens[token]; !end.IsZero() {
			ttl, renewable = int(time.Until(end).Seconds()), s.renew
		}
		answer(w, map[string]any{"data": map[string]any{"ttl": ttl, "renewable": renewable, "policies": []string{"ci"}}})
	case verb == "renew-self" && isWrite(r) && s.renew && token != Root:
		s.counts["renew"]++
		s.tokens[token] = time.Now().Add(time.Duration(s.lease) * time.Second)
		answer(w, map[string]any{"auth": s.auth(token)})
	case verb == "renew-self" && isWrite(r):
		fail(w, http.StatusBadRequest, "lease is not renewable")
	case verb == "revoke-self" && isWrite(r):
		s.counts["revoke"]++
		delete(s.tokens, token)
		w.WriteHeader(http.StatusNoContent)
	default:
		fail(w, http.StatusMethodNotAllowed, "unsupported operation")
	}
}

func answer(w http.ResponseWriter, body map[string]any) {
	for k, v := range map[string]any{"request_id": uuid.NewString(), "lease_id": "", "lease_duration": 0, "renewable": false, "data": nil, "wrap_info": nil, "warnings": nil, "auth": nil} {
		if _, ok := body[k]; !ok {
			body[k] = v
		}
	}
	reply(w, http.StatusOK, body)
}

func fail(w http.ResponseWriter, status int, errors ...string) {
	reply(w, status, map[string]any{"errors": append([]string{}, errors...)})
}

func reply(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}
