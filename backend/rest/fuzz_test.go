package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// ask sends a request to the handler without a network. Whatever it was, the
// answer is no failure of ours, and errors are problems.
func (s *site) ask(t *testing.T, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	r.Header.Set("Authorization", "Bearer "+s.bearer[ci.RoleAdmin])
	w := httptest.NewRecorder()
	s.server.Config.Handler.ServeHTTP(w, r)
	if w.Code >= 500 {
		t.Fatalf("%s %q: %d %s\n%s", r.Method, r.URL, w.Code, w.Body, s.logged())
	}
	if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%s %q: %d is no problem+json", r.Method, r.URL, w.Code)
	}
	return w
}

func FuzzBody(f *testing.F) {
	s := stocked(f)
	routes := []string{"PUT /jobs/x", "POST /jobs/mine/runs", "POST /runs:batch", "PUT /config", "POST /tokens", "PUT /agents/agent/drain"}
	for i := range routes {
		for _, seed := range []string{helloJob, gitJob, `{"runs":[{"job":"mine"}]}`, `{"name":"x","role":"read","expiresAt":"2099-01-01T00:00:00Z"}`, `{"globalTimeout":"1h"}`, `{"reason":"x","deadline":"2030-01-01T00:00:00Z"}`, `[]`, ``} {
			f.Add(byte(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, route byte, body string) {
		method, path, _ := strings.Cut(routes[int(route)%len(routes)], " ")
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		s.ask(t, r)
	})
}

func FuzzQuery(f *testing.F) {
	s := stocked(f)
	routes := []string{"/runs", "/jobs", "/jobs/mine/runs", "/jobs/mine/runs/1", consolePath, "/tokens", "/healthz"}
	for i := range routes {
		for _, seed := range []string{"status=done", "pageSize=1&pageToken=abc", "wait=1ms&until=done", "since=2030-01-01T00:00:00Z", "offset=3&follow=1", "a=%00", "a;b", "=&=", "pageToken=AAAAAAAAAAAA"} {
			f.Add(byte(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, route byte, query string) {
		r := httptest.NewRequest("GET", routes[int(route)%len(routes)], nil)
		r.URL.RawQuery = query
		s.ask(t, r)
	})
}

func FuzzRange(f *testing.F) {
	s := stocked(f)
	for _, seed := range []string{"bytes=0-1", "bytes=-1", "bytes=5-", "bytes=0-0,2-3", "bytes=9223372036854775807-", "bytes= 1-2", "items=1", "bytes", "=", "bytes=--1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := httptest.NewRequest("GET", consolePath, nil)
		r.Header.Set("Range", value)
		w := s.ask(t, r)
		const whole = "hello\nworld\n"
		switch w.Code {
		case http.StatusOK:
			require.Equal(t, whole, w.Body.String())
		case http.StatusPartialContent:
			require.Contains(t, whole, w.Body.String())
			require.NotEmpty(t, w.Body.String())
			require.NotEmpty(t, w.Header().Get("Content-Range"))
		default:
			require.Equal(t, http.StatusRequestedRangeNotSatisfiable, w.Code)
		}
	})
}

func FuzzPath(f *testing.F) {
	s := stocked(f)
	h := s.server.Config.Handler
	for _, seed := range []string{"/jobs", "//jobs", "/healthz/../jobs", "/jobs/mine/runs/1", "/%2e%2e/jobs", "/jobs/mine/runs/1/results/console", "/ci.v1.RunService/GetRun", "/metrics"} {
		f.Add("GET", seed)
		f.Add("POST", seed)
	}
	public := map[string]bool{"/healthz": true, "/readyz": true, "/openapi.yaml": true, "/schemas/job.json": true}
	f.Fuzz(func(t *testing.T, method, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method = method
		u, err := r.URL.Parse("http://example.com" + path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		r.URL = u
		r.URL.RawQuery = ""
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r) // without a token
		if w.Code != http.StatusUnauthorized && !public[r.URL.EscapedPath()] {
			t.Fatalf("%q %q answers %d without a token", method, path, w.Code)
		}
	})
}

func (s *site) bench(b *testing.B, method, path, body string, want int) {
	h := s.server.Config.Handler
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+s.bearer[ci.RoleAdmin])
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			b.Fatal(w.Code, w.Body)
		}
	}
}

func BenchmarkGetRun(b *testing.B) { stocked(b).bench(b, "GET", "/jobs/mine/runs/1", "", 200) }

func BenchmarkTrigger(b *testing.B) {
	stocked(b).bench(b, "POST", "/jobs/mine/runs", `{"parameters":{},"priority":"urgent"}`, 201)
}

func BenchmarkList50(b *testing.B) {
	s := stocked(b)
	for range 60 {
		_, _, err := s.Trigger(b.Context(), ci.Trigger{Job: "mine"})
		require.NoError(b, err)
	}
	s.bench(b, "GET", "/runs", "", 200)
}
