package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestStrict sends what is almost right.
func TestStrict(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		say                      string
		headers                  []string
	}{
		{"no body", "POST", "/jobs/mine/runs", "", 201, "", nil},
		{"empty object", "POST", "/jobs/mine/runs", "{}", 201, "", nil},
		{"null is absent", "POST", "/jobs/mine/runs", `{"commitSha": null, "parameters": null}`, 201, "", nil},
		{"not JSON", "POST", "/jobs/mine/runs", "hello", 400, "line 1, column 1", nil},
		{"cut off", "POST", "/jobs/mine/runs", `{"priority": "ur`, 400, "ends before its end", nil},
		{"trailing", "POST", "/jobs/mine/runs", `{} x`, 400, "something follows the end", nil},
		{"two documents", "POST", "/jobs/mine/runs", `{}{}`, 400, "something follows the end", nil},
		{"a list", "POST", "/jobs/mine/runs", `[]`, 400, "is a list; an object", nil},
		{"doubled", "POST", "/jobs/mine/runs", `{"priority":"normal","priority":"urgent"}`, 400, "is there twice", nil},
		{"doubled in a map", "POST", "/jobs/mine/runs", `{"parameters":{"A":"1","A":"2"}}`, 400, `"path":"parameters.A","message":"is there twice"`, nil},
		{"other spelling", "POST", "/jobs/mine/runs", `{"commit_sha":"x"}`, 400, "commit_sha", nil},
		{"other case", "POST", "/jobs/mine/runs", `{"CommitSha":"x"}`, 400, "CommitSha", nil},
		{"job in the body", "POST", "/jobs/mine/runs", `{"job":"theirs"}`, 400, "job", nil},
		{"number for text", "POST", "/jobs/mine/runs", `{"parameters":{"A":1}}`, 400, `"path":"parameters.A","message":"is 1; a string is needed"`, nil},
		{"text for bool", "PUT", "/jobs/x", `{"freestyle":{"script":"x"},"parameters":[{"name":"A"},{"name":"B","required":"yes"}]}`, 400, `"path":"parameters[1].required"`, nil},
		{"invalid UTF-8", "POST", "/jobs/mine/runs", "{\"priority\":\"\xff\"}", 400, "UTF-8", nil},
		{"half a pair", "POST", "/jobs/mine/runs", `{"priority":"\ud800"}`, 400, "surrogate", nil},
		{"deep", "PUT", "/jobs/x", `{"freestyle":` + deep + `}`, 400, "nested deeper", nil},
		{"big number", "PUT", "/jobs/x", `{"freestyle":{"script":"x","n":1e999}}`, 400, "freestyle.n", nil},
		{"both kinds", "PUT", "/jobs/x", `{"git":{"url":"https://h/x","configPath":"a"},"freestyle":{"script":"x"}}`, 400, "both are there", nil},
		{"no kind", "PUT", "/jobs/x", `{}`, 400, "neither is there", nil},
		{"bad job file", "PUT", "/jobs/x", `{"freestyle":{"scrpt":"x"}}`, 400, "freestyle.script", nil},
		{"bad URL", "PUT", "/jobs/x", `{"git":{"url":"http://h/x","configPath":"a"}}`, 400, "git.url", nil},
		{"renamed", "PUT", "/jobs/x", `{"name":"y","freestyle":{"script":"x"}}`, 400, "can't be renamed", nil},
		{"bad name", "PUT", "/jobs/-x", `{"freestyle":{"script":"x"}}`, 400, "must begin with", nil},
		{"put what get gave", "PUT", "/jobs/mine", s.do("GET", "/jobs/mine", "").body, 200, "", nil},
		{"form", "POST", "/jobs/mine/runs", "priority=urgent", 415, "application/json", []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"no type", "POST", "/jobs/mine/runs", "{}", 415, "Content-Type", []string{"Content-Type: "}},
		{"other charset", "POST", "/jobs/mine/runs", "{}", 415, "UTF-8", []string{"Content-Type: application/json; charset=latin1"}},
		{"charset", "POST", "/jobs/mine/runs", "{}", 201, "", []string{"Content-Type: application/json; charset=utf-8"}},
		{"gzip", "POST", "/jobs/mine/runs", "{}", 415, "Content-Encoding", []string{"Content-Encoding: gzip"}},
		{"large", "POST", "/jobs/mine/runs", `{"priority":"` + strings.Repeat("x", 4<<20) + `"}`, 413, "4MiB", nil},
		{"body on GET", "GET", "/jobs/mine", `{"x":1}`, 400, "x", nil},
		{"unknown parameter", "GET", "/runs?state=done", "", 400, `"path":"state","message":"is not a parameter here; what is: branchName, commitSha, job, outcome`, nil},
		{"parameter of the path", "GET", "/jobs/mine?name=theirs", "", 400, "name", nil},
		{"repeated parameter", "GET", "/runs?status=done&status=done", "", 400, "is there 2 times", nil},
		{"empty parameter", "GET", "/runs?branchName=", "", 400, "leave it out", nil},
		{"broken query", "GET", "/runs?status=%zz", "", 400, "query string", nil},
		{"semicolon", "GET", "/runs?a;b", "", 400, "query string", nil},
		{"no such status", "GET", "/runs?status=running", "", 400, "in_progress", nil},
		{"no such outcome", "GET", "/jobs/mine/runs?outcome=ok", "", 400, "succeeded", nil},
		{"bad time", "GET", "/runs?since=yesterday", "", 400, "RFC 3339", nil},
		{"page of none", "GET", "/runs?pageSize=0", "", 400, "pageSize", nil},
		{"page too large", "GET", "/runs?pageSize=501", "", 400, "between 1 and 500", nil},
		{"page not a number", "GET", "/runs?pageSize=1e2", "", 400, "whole number", nil},
		{"garbage token", "GET", "/runs?pageToken=abc", "", 400, "pageToken", nil},
		{"long wait", "GET", "/jobs/mine/runs/1?wait=61s", "", 400, "between 0s and 1m0s", nil},
		{"bad wait", "GET", "/jobs/mine/runs/1?wait=60", "", 400, "duration", nil},
		{"bad until", "GET", "/jobs/mine/runs/1?wait=1s&until=finished", "", 400, "planned, started or done", nil},
		{"until alone", "GET", "/jobs/mine/runs/1?until=done", "", 400, "wait", nil},
		{"no number", "GET", "/jobs/mine/runs/x", "", 404, "whole numbers", nil},
		{"no such run", "GET", "/jobs/mine/runs/99", "", 404, "no run 99", nil},
		{"another job's run", "GET", "/jobs/mine/runs/2", "", 404, "no run 2", nil},
		{"runs of nothing", "GET", "/jobs/nothing/runs", "", 404, "no job", nil},
		{"long key", "POST", "/jobs/mine/runs", "{}", 400, "Idempotency-Key", []string{"Idempotency-Key: " + strings.Repeat("k", 256)}},
		{"bad tag", "PUT", "/jobs/mine", helloJob, 400, "If-Match", []string{"If-Match: 3"}},
		{"half a byte", "PUT", "/config", `{"maxConsole":1.5}`, 400, "maxConsole", nil},
		{"empty batch", "POST", "/runs:batch", `{"runs":[{}]}`, 400, "runs[0].job", nil},
		{"token for nobody", "POST", "/tokens", `{"name":"x","role":"run"}`, 400, "role", nil},
		{"draining nobody", "PUT", "/agents/none/drain", `{}`, 404, "no agent", nil},
		{"a drain of nobody", "GET", "/agents/none/drain", "", 404, "no agent", nil},
	} {
		got := s.do(c.method, c.path, c.body, c.headers...)
		require.Equal(t, c.status, got.status, "%s: %s", c.name, got.body)
		if c.status >= 400 {
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"), c.name)
			var p problem
			d := json.NewDecoder(strings.NewReader(got.body))
			d.DisallowUnknownFields()
			require.NoError(t, d.Decode(&p), c.name)
			require.Equal(t, c.status, p.Status)
			require.NotEmpty(t, p.RequestID)
			require.Contains(t, got.body, c.say, c.name)
		}
	}
}

func TestPanicAndFailures(t *testing.T) {
	t.Parallel()
	s := stocked(t, func(c *Config) {
		c.Ready = func(context.Context) map[string]error {
			return map[string]error{"queue": errors.New("dial amqp://user:secret@host"), "database": nil}
		}
		c.CheckURL = func(context.Context, string) error { panic("a secret") }
	})
	got := s.do("PUT", "/jobs/x", gitJob)
	require.Equal(t, 500, got.status)
	require.NotContains(t, got.body, "secret")
	require.NotContains(t, got.body, ".go:")
	require.Contains(t, s.logged(), "a secret")
	require.Contains(t, s.logged(), "jobs.go", "the log has the stack")

	s.mu.Lock()
	s.fail = errors.New("disk on fire at /var/secret")
	s.mu.Unlock()
	got = s.do("GET", "/jobs/mine/runs/1", "", "X-Request-Id: abc-123")
	require.Equal(t, 500, got.status)
	require.NotContains(t, got.body, "secret")
	require.Contains(t, got.body, `"requestId":"abc-123"`)
	require.Contains(t, s.logged(), "disk on fire")
	s.mu.Lock()
	s.fail = ci.Errorf(ci.CodeUnavailable, "the database is away")
	s.mu.Unlock()
	got = s.do("GET", "/jobs/mine/runs/1", "")
	require.Equal(t, 503, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))

	got = s.do("GET", "/readyz", "", "Authorization: ")
	require.Equal(t, 503, got.status)
	require.Contains(t, got.body, `"path":"queue"`)
	require.NotContains(t, got.body, "secret")
	require.Equal(t, `{"checks":{},"status":"ready"}`+"\n", newSite(t).do("GET", "/readyz", "").body)
	warned := stocked(t, func(c *Config) {
		c.Warnings = func(context.Context) []string { return []string{"a disk is slow"} }
	})
	require.Equal(t, `{"checks":{},"status":"ready","warnings":["a disk is slow"]}`+"\n", warned.do("GET", "/readyz", "").body)
	odd := s.do("GET", "/healthz", "", "X-Request-Id: a b\u2028")
	require.Regexp(t, "^[0-9a-f]{16}$", odd.header.Get("X-Request-Id"))
}

func (s *site) logged() string {
	s.logLock.mu.Lock()
	defer s.logLock.mu.Unlock()
	return s.log.String()
}

// TestShortBody sends bodies whose length is wrong.
func TestShortBody(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	resp := s.raw("POST /jobs/mine/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer " + s.bearer["admin"] +
		"\r\nContent-Length: 4\r\nConnection: close\r\n\r\n{}  ")
	require.Equal(t, 201, resp.StatusCode)
	chunked := s.raw("POST /jobs/mine/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer " + s.bearer["admin"] +
		"\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\nzz\r\n")
	require.Equal(t, 400, chunked.StatusCode)
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	for range 5 {
		_, _, err := s.Trigger(t.Context(), ci.Trigger{Job: "mine"})
		require.NoError(t, err)
	}
	var seen []int
	next := "/runs?pageSize=3"
	for next != "" {
		got := s.do("GET", next, "")
		require.Equal(t, 200, got.status, got.body)
		var page struct {
			Runs []struct {
				ID int `json:"id"`
			} `json:"runs"`
			NextPageToken string `json:"nextPageToken"`
		}
		require.NoError(t, json.Unmarshal([]byte(got.body), &page))
		for _, r := range page.Runs {
			seen = append(seen, r.ID)
		}
		next = ""
		if link := got.header.Get("Link"); link != "" {
			require.Contains(t, link, page.NextPageToken)
			next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		} else {
			require.Empty(t, page.NextPageToken)
		}
	}
	require.Equal(t, []int{7, 6, 5, 4, 3, 2, 1}, seen)
	token := tokenOf(t, s.do("GET", "/runs?pageSize=3", "").body)
	require.Equal(t, 200, s.do("GET", "/runs?pageToken="+token, "").status)
	require.Equal(t, 400, s.do("GET", "/runs?status=done&pageToken="+token, "").status, "a token of other filters")
	require.Equal(t, 400, s.do("GET", "/jobs?pageToken="+token, "").status, "a token of another list")
}

func tokenOf(t *testing.T, body string) string {
	t.Helper()
	var page struct {
		NextPageToken string `json:"nextPageToken"`
	}
	require.NoError(t, json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&page))
	require.NotEmpty(t, page.NextPageToken)
	return page.NextPageToken
}

func TestPreconditions(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	first := s.do("GET", "/jobs/mine", "").header.Get("ETag")
	require.Regexp(t, `^"1-[0-9a-z]+"$`, first)
	put := func(headers ...string) answer { return s.do("PUT", "/jobs/mine", helloJob, headers...) }
	require.Equal(t, 412, put("If-None-Match: *").status)
	second := put("If-Match: " + first)
	require.Equal(t, 200, second.status, second.body)
	require.Equal(t, 412, put("If-Match: "+first).status)
	require.Equal(t, 412, put(`If-Match: W/"2"`).status, "weak tags never match")
	require.Equal(t, 200, put(`If-Match: "7", "2"`).status)
	require.Equal(t, 200, put("If-Match: *").status)
	require.Equal(t, 412, s.do("PUT", "/jobs/new", helloJob, "If-Match: *").status)
	require.Equal(t, 201, s.do("PUT", "/jobs/new", helloJob, "If-None-Match: *").status)
	require.Equal(t, 412, s.do("DELETE", "/jobs/mine", "", "If-Match: "+first).status)
	require.Equal(t, 204, s.do("DELETE", "/jobs/mine", "").status)
	require.Equal(t, 201, put().status)
	require.Equal(t, 412, put("If-Match: "+first).status, "version 1 of another job of that name")

	config := s.do("GET", "/config", "")
	require.Equal(t, `"1"`, config.header.Get("ETag"))
	require.Equal(t, 200, s.do("PUT", "/config", config.body, `If-Match: "1"`).status)
	require.Equal(t, 412, s.do("PUT", "/config", config.body, `If-Match: "1"`).status)
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	first := s.do("POST", "/jobs/mine/runs", "{}", "Idempotency-Key: k1")
	again := s.do("POST", "/jobs/mine/runs", "{}", "Idempotency-Key: k1")
	require.Equal(t, []int{201, 201}, []int{first.status, again.status})
	require.Equal(t, first.body, again.body)
	require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
	require.Equal(t, []string{"", "true"}, []string{first.header.Get("Idempotency-Replayed"), again.header.Get("Idempotency-Replayed")})
	require.Equal(t, 422, s.do("POST", "/jobs/mine/runs", `{"branchName":"b"}`, "Idempotency-Key: k1").status)
}

func TestWait(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	require.Equal(t, 201, s.do("POST", "/jobs/mine/runs", "{}").status) // run 3
	begun := time.Now()
	got := s.do("GET", "/jobs/mine/runs/3?wait=100ms", "")
	require.Equal(t, 200, got.status)
	require.Contains(t, got.body, `"status":"in_progress"`)
	require.GreaterOrEqual(t, time.Since(begun), 100*time.Millisecond)
	held := make(chan answer, 1)
	go func() { held <- s.do("GET", "/jobs/mine/runs/3?wait=30s&until=done", "") }()
	s.finish(3)
	require.Contains(t, (<-held).body, `"status":"done"`)
	require.Equal(t, 201, s.do("POST", "/jobs/mine/runs?wait=10ms&until=planned", "{}").status)
}

// TestFull fills all seats for held answers; other requests still have theirs.
func TestFull(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	s := stocked(t, func(c *Config) { c.MaxHeld, c.Stop = 1, stop })
	require.Equal(t, 201, s.do("POST", "/jobs/mine/runs", "{}").status) // run 3
	resp, err := s.server.Client().Do(s.request("GET", "/jobs/mine/runs/3/results/console?follow=1", ""))
	require.NoError(t, err)
	defer resp.Body.Close()
	full := s.do("GET", "/jobs/mine/runs/3?wait=1s", "")
	require.Equal(t, 429, full.status)
	require.Equal(t, "1", full.header.Get("Retry-After"))
	require.Equal(t, 200, s.do("GET", "/jobs/mine/runs/3", "").status)
	close(stop) // a server that stops ends its streams
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
}
