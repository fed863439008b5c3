package rest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// answer is one HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as an administrator. headers are pairs "Name: value"; a
// body is JSON unless they say otherwise.
func (s *site) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	req := s.request(method, path, body, headers...)
	resp, err := s.server.Client().Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (s *site) request(method, path, body string, headers ...string) *http.Request {
	s.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, s.server.URL+path, r)
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.bearer[ci.RoleAdmin])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
		if value == "" {
			req.Header.Del(name)
		}
	}
	return req
}

// as is the header of another role's token.
func (s *site) as(r ci.Role) string { return "Authorization: Bearer " + s.bearer[r] }

const (
	gitJob   = `{"git": {"url": "https://git.example/x.git", "configPath": "ci/unit-test.yaml", "sshKey": ""}, "parameters": [{"name": "LEVEL", "default": "1", "required": false, "description": "how hard"}]}`
	helloJob = `{"freestyle": {"script": "echo hello", "timeout": "30m", "resources": {"cpus": 0.5}}}`
	sha      = "0123456789abcdef0123456789abcdef01234567"
)

var stamp = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"`)

// TestPinned shows the exact documents that others' scripts rely on.
func TestPinned(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	type step struct {
		name, method, path, body string
		status                   int
		want                     string
		headers                  map[string]string
	}
	job := `{"name":"unit-test","git":{"url":"https://git.example/x.git","configPath":"ci/unit-test.yaml","sshKey":""},` +
		`"parameters":[{"name":"LEVEL","default":"1","required":false,"description":"how hard"}],"version":VERSION,"createdAt":"T","updatedAt":"T","triggers":[],"owner":""}`
	run := `{"id":1,"job":"unit-test","jobVersion":2,"status":"in_progress","phase":"queued","outcome":"","reason":"","scriptStarted":false,` +
		`"commitSha":"` + sha + `","branchName":"","parameters":{"LEVEL":"2"},"priority":"normal","triggeredBy":"admin",` +
		`"git":{"url":"https://git.example/x.git","configPath":"ci/unit-test.yaml","sshKey":""},"class":"small","agent":"",ABORT` +
		`"times":{"triggered":"T","queued":"T"},"console":{"bytes":0,"sha256":"","truncated":false},"steps":[],"images":[]}`
	done := `{"id":1,"job":"unit-test","jobVersion":2,"status":"done","phase":"collecting","outcome":"succeeded","reason":"The script exited 0.","exitCode":0,"scriptStarted":true,` +
		`"commitSha":"` + sha + `","branchName":"","parameters":{"LEVEL":"2"},"priority":"normal","triggeredBy":"admin",` +
		`"git":{"url":"https://git.example/x.git","configPath":"ci/unit-test.yaml","sshKey":""},"class":"small","agent":"","abortRequestedAt":"T",` +
		`"times":{"triggered":"T","queued":"T","done":"T"},"console":{"bytes":6,"sha256":"b7e90a4136d2f3be2d5e6f7f1fa6f2f7c4b9b5c6","truncated":false},"steps":[],"images":[]}`
	steps := []step{
		{"create", "PUT", "/jobs/unit-test", gitJob, 201, strings.Replace(job, "VERSION", "1", 1), map[string]string{"Location": "/jobs/unit-test"}},
		{"replace", "PUT", "/jobs/unit-test", gitJob, 200, strings.Replace(job, "VERSION", "2", 1), nil},
		{"freestyle", "PUT", "/jobs/hello", helloJob, 201, `{"name":"hello","freestyle":{"resources":{"cpus":0.5},"script":"echo hello","timeout":"30m"},"parameters":[],"version":1,"createdAt":"T","updatedAt":"T","triggers":[],"owner":""}`, nil},
		{"trigger", "POST", "/jobs/unit-test/runs", `{"commitSha": "` + sha + `", "parameters": {"LEVEL": "2"}}`, 201, strings.Replace(run, "ABORT", "", 1), map[string]string{"Location": "/jobs/unit-test/runs/1", "Cache-Control": "no-store"}},
		{"get", "GET", "/jobs/unit-test/runs/1", "", 200, strings.Replace(run, "ABORT", "", 1), map[string]string{"Cache-Control": "no-store", "Content-Type": "application/json"}},
		{"list", "GET", "/jobs/unit-test/runs", "", 200, `{"runs":[` + strings.Replace(run, "ABORT", "", 1) + `],"nextPageToken":""}`, nil},
		{"abort", "POST", "/jobs/unit-test/runs/1/abort", "", 202, strings.Replace(run, "ABORT", `"abortRequestedAt":"T",`, 1), nil},
		{"queue", "GET", "/jobs/unit-test/runs/1/queue", "", 200, `{"run":1,"phase":"queued","position":0,"class":"small","priority":"normal","unschedulable":false,"reason":"it is next","agents":[]}`, nil},
		{"finish", "", "", "", 0, "", nil},
		{"done", "GET", "/jobs/unit-test/runs/1", "", 200, done, map[string]string{"Cache-Control": "private, max-age=31536000, immutable"}},
		{"abort done", "POST", "/jobs/unit-test/runs/1/abort", "", 409, `{"type":"urn:ci:problem:conflict","title":"Not possible in the present state","status":409,"detail":"run 1 is done (succeeded)","code":"conflict","requestId":"ID"}`, map[string]string{"Content-Type": "application/problem+json"}},
		{"results", "GET", "/jobs/unit-test/runs/1/results", "", 200, `{"results":[{"name":"console","contentType":"text/plain; charset=utf-8","size":6,"sha256":"b7e90a4136d2f3be2d5e6f7f1fa6f2f7c4b9b5c6","href":"/jobs/unit-test/runs/1/results/console","filename":"console.txt","files":1,"run":1}],"final":true}`, nil},
		{"delete", "DELETE", "/jobs/unit-test", "", 204, "", nil},
		{"gone", "GET", "/jobs/unit-test", "", 404, `{"type":"urn:ci:problem:not_found","title":"Not found","status":404,"detail":"there is no job unit-test","code":"not_found","requestId":"ID"}`, nil},
		{"unknown field", "POST", "/jobs/hello/runs", `{"comitSha": "x", "priority": 3}`, 400, `{"type":"urn:ci:problem:invalid","title":"Not valid","status":400,"detail":"the request body is not valid","code":"invalid","errors":[{"path":"comitSha","message":"is not known here; what is: commitSha, branchName, parameters, priority"},{"path":"priority","message":"is 3; a string is needed"}],"requestId":"ID"}`, nil},
	}
	hash := regexp.MustCompile(`"sha256":"[0-9a-f]+"`)
	for _, c := range steps {
		if c.method == "" {
			s.say(1, "hello\n")
			s.finish(1)
			continue
		}
		got := s.do(c.method, c.path, c.body)
		require.Equal(t, c.status, got.status, "%s: %s", c.name, got.body)
		body := stamp.ReplaceAllString(got.body, `"T"`)
		body = regexp.MustCompile(`"requestId":"[0-9a-f]{16}"`).ReplaceAllString(body, `"requestId":"ID"`)
		require.Equal(t, hash.ReplaceAllString(c.want, `"sha256":"S"`), hash.ReplaceAllString(body, `"sha256":"S"`), c.name)
		for name, want := range c.headers {
			require.Equal(t, want, got.header.Get(name), "%s: %s", c.name, name)
		}
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
		if got.body != "" {
			require.NoError(t, json.Compact(new(bytes.Buffer), []byte(got.body)))
		}
	}
}
