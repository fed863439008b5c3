package rest

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// raw sends bytes as they are and returns the status line and headers.
func (s *site) raw(request string) *http.Response {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	require.NoError(s.t, err)
	defer conn.Close()
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = conn.Write([]byte(request))
	require.NoError(s.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	return resp
}

// TestNoBypass tries to come by the token with paths in disguise, odd methods
// and headers that some servers let override them.
func TestNoBypass(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	paths := []string{
		"//jobs", "/jobs/", "/./jobs", "/healthz/../jobs", "/healthz/..%2fjobs", "/healthz%2f..%2fjobs", "/healthz;/../jobs",
		"/jobs;.jsp", "/healthz;x", "/JOBS", "/Healthz", "/jobs%00", "/jobs/%2e%2e", "/%6a%6f%62s", "/jobs/..", "/jobs/.",
		"/healthz/", "/healthz/x", "/openapi.yaml/../config", "/metrics/../config", "/schemas/job.json/..", "/schemas/../config",
		"/jobs/mine/runs/1/results/..%2f..%2f..", "/ci.v1.RunService/GetRun/", "//ci.v1.RunService/GetRun", "/ci.v1.RunService",
		"/jobs?x=/healthz", "/jobs#/healthz", "/jobs\\..\\healthz", "/jobs/mine/runs/+1", "/jobs/mine/runs/01", "/",
		"/jobs/" + strings.Repeat("a", 5000), "/config/healthz", "/ui", "/favicon.ico",
	}
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "TRACE", "PROPFIND", "get"} {
		for _, path := range paths {
			resp := s.raw(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-HTTP-Method-Override: GET\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\nConnection: close\r\n\r\n", method, path))
			require.Contains(t, []int{400, 401}, resp.StatusCode, "%s %s", method, path)
		}
	}
	for _, path := range paths[:31] { // with a token they are nothing at all
		if strings.ContainsAny(path, "?#\\") {
			continue
		}
		resp := s.raw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", path, s.bearer["admin"]))
		require.Equal(t, 404, resp.StatusCode, path)
		require.Contains(t, resp.Header.Get("Content-Type"), "json", path)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	for _, c := range []struct{ method, path, allow string }{
		{"POST", "/jobs/mine", "DELETE, GET, HEAD, PUT"},
		{"PATCH", "/jobs", "GET, HEAD"},
		{"GET", "/runs:batch", "POST"},
		{"OPTIONS", "/config", "GET, HEAD, PUT"},
		{"DELETE", "/healthz", "GET, HEAD"},
	} {
		got := s.do(c.method, c.path, "")
		require.Equal(t, 405, got.status, c.path)
		require.Equal(t, c.allow, got.header.Get("Allow"))
		require.Contains(t, got.body, `"code":"method_not_allowed"`)
	}
	for _, path := range []string{"/jobs", "/jobs/mine", "/jobs/mine/runs/1", "/jobs/mine/runs/1/results/console", "/jobs/mine/runs/1/results/junit", "/healthz", "/openapi.yaml", "/events"} {
		got := s.do("HEAD", path, "")
		require.Equal(t, 200, got.status, path)
		require.Empty(t, got.body)
		if path != "/events" && path != "/healthz" {
			require.NotEmpty(t, got.header.Get("ETag"), path)
			require.Equal(t, 304, s.do("GET", path, "", "If-None-Match: "+got.header.Get("ETag")).status, path)
		}
	}
	require.Equal(t, 404, s.do("HEAD", "/jobs/nothing", "").status)
}

func TestHosts(t *testing.T) {
	t.Parallel()
	local := stocked(t)
	require.Equal(t, 403, local.do("GET", "/jobs", "", "Host: evil.example").status, "a name that was rebound to loopback")
	for _, host := range []string{"localhost:8080", "127.0.0.1", "[::1]:80", "ci.localhost"} {
		require.Equal(t, 200, local.do("GET", "/jobs", "", "Host: "+host).status, host)
	}
	require.Equal(t, 200, local.do("GET", "/healthz", "", "Host: 10.0.0.7").status, "probes use addresses")
	named := stocked(t, func(c *Config) { c.Hosts = []string{"ci.example.org"} })
	require.Equal(t, 200, named.do("GET", "/jobs", "", "Host: CI.example.org:443").status)
	require.Equal(t, 403, named.do("GET", "/jobs", "", "Host: localhost").status)
	open := stocked(t, func(c *Config) { c.Hosts = []string{"*"} })
	require.Equal(t, 200, open.do("GET", "/jobs", "", "Host: what.ever").status)

	for origin, want := range map[string]int{"https://evil.example": 403, "null": 403, "http://localhost:1": 403, "http://localhost": 201} {
		got := local.do("POST", "/jobs/mine/runs", "", "Host: localhost", "Origin: "+origin)
		require.Equal(t, want, got.status, origin)
		require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
	}
	require.Equal(t, 200, local.do("GET", "/jobs", "", "Origin: https://evil.example").status, "reading needs the token anyway")
}

func TestMetricsAccess(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) {
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "up 1") })
	})
	require.Equal(t, 200, s.do("GET", "/metrics", "", "Authorization: ").status, "from this machine")
	require.Equal(t, 401, s.do("GET", "/metrics", "", "Authorization: ", "X-Forwarded-For: 10.0.0.1").status, "through a proxy on this machine")
	require.Equal(t, 200, s.do("GET", "/metrics", "", s.as("read"), "X-Forwarded-For: 10.0.0.1").status)
	require.Equal(t, 403, s.do("GET", "/metrics", "", s.as("agent"), "X-Forwarded-For: 10.0.0.1").status)
	require.Equal(t, 401, newSite(t).do("GET", "/metrics", "", "Authorization: ").status, "not served at all")
}
