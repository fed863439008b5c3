package rest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestExpired wants what is kept no longer to be told apart from what never
// was: 410, which of the two it was and when, and what to do.
func TestExpired(t *testing.T) {
	t.Parallel()
	s := running(t)
	const run = "/jobs/mine/runs/1"
	went := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	s.mu.Lock()
	s.runs[0].ConsoleExpiredAt = went
	s.mu.Unlock()
	for _, path := range []string{"/results/console", "/results/console?follow=1", "/results/console?offset=3", "/results/console/times"} {
		got := s.do("GET", run+path, "")
		require.Equal(t, 410, got.status, path)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"), path)
		for _, part := range []string{`"urn:ci:problem:expired"`, `"Kept no longer"`, "the console of run 1", "went on 2026-03-04 05:06 UTC", "ci rerun mine/1", "keep.console"} {
			require.Contains(t, got.body, part, path)
		}
	}
	require.Equal(t, 410, s.do("GET", run+"/results/console", "", "Accept: text/event-stream").status)
	require.Equal(t, 410, s.do("HEAD", run+"/results/console", "").status)
	require.Equal(t, 200, s.do("GET", run+"/results/junit", "").status, "results are another thing")
	require.Contains(t, s.do("GET", run, "").body, `"consoleExpiredAt":"2026-03-04T05:06:07Z"`)
	require.Contains(t, s.do("GET", run+"/results", "").body, `"name":"console","contentType":"text/plain; charset=utf-8"`)
	require.Contains(t, s.do("GET", run+"/results", "").body, `"expiredAt":"2026-03-04T05:06:07Z"`)

	s.mu.Lock()
	s.runs[0].ResultsExpiredAt = went
	s.mu.Unlock()
	got := s.do("GET", run+"/results/junit", "")
	require.Equal(t, 410, got.status)
	require.Contains(t, got.body, "the results of run 1")
	require.Equal(t, 404, s.do("GET", run+"/results/none", "").status, "what never was is not there")
	require.Contains(t, s.do("GET", run, "").body, `"resultsExpiredAt"`)
}

// TestConsoleGoesMeanwhile removes a console between the look at its run and the
// first byte: that is 410 and kept by nobody, never a 200 that is cut off.
func TestConsoleGoesMeanwhile(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/results/console", "/results/console?offset=3", "/results/console/times"} {
		s := running(t)
		s.mu.Lock()
		s.goes = true
		s.mu.Unlock()
		got := s.do("GET", "/jobs/mine/runs/1"+path, "")
		require.Equal(t, 410, got.status, path)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"), path)
		require.Contains(t, got.body, "the console of run 1", path)
	}
}

func TestPins(t *testing.T) {
	t.Parallel()
	s := running(t)
	const pins = "/jobs/mine/runs/1/pins"
	pin := func(until time.Time) string {
		return fmt.Sprintf(`{"reason":"the release","until":%q}`, until.Format(time.RFC3339))
	}
	soon := time.Now().Add(time.Hour)
	got := s.do("PUT", pins+"/release", pin(soon))
	require.Equal(t, 200, got.status, got.body)
	require.Contains(t, got.body, `"by":"admin"`)
	require.Equal(t, 200, s.do("PUT", pins+"/release", pin(soon)).status, "again is fine")
	require.Contains(t, s.do("GET", pins, "").body, `{"pins":[{"name":"release","reason":"the release"`)

	for body, want := range map[string]string{
		`{}`:                        "is missing; a pin ends at some time",
		pin(time.Now().Add(-1)):     "is over already",
		pin(soon.AddDate(11, 0, 0)): "more than ten years ahead",
	} {
		got := s.do("PUT", pins+"/x", body)
		require.Equal(t, 400, got.status, body)
		require.Contains(t, got.body, want)
	}
	trigger := "Authorization: Bearer " + s.bearer[ci.RoleTrigger]
	require.Equal(t, 200, s.do("PUT", pins+"/pipeline", pin(soon), trigger).status)
	require.Contains(t, s.do("PUT", pins+"/pipeline", pin(soon.AddDate(1, 0, 0)), trigger).body, "more than 62 days ahead")
	for method, body := range map[string]string{"PUT": pin(soon), "DELETE": ""} {
		got := s.do(method, pins+"/release", body, trigger)
		require.Equal(t, 403, got.status, got.body)
		require.Contains(t, got.body, "the pin is set by admin; the token trigger has the role trigger, which takes away and replaces only its own pins")
	}
	require.Contains(t, s.do("GET", pins, "").body, `"name":"release"`, "it is still there")
	require.Equal(t, 200, s.do("PUT", pins+"/pipeline", pin(soon), trigger).status, "its own can be replaced")
	require.Equal(t, 204, s.do("DELETE", pins+"/pipeline", "", trigger).status, "and taken away")
	require.Equal(t, 403, s.do("PUT", pins+"/x", pin(soon), "Authorization: Bearer "+s.bearer[ci.RoleRead]).status)
	require.Equal(t, 404, s.do("PUT", "/jobs/mine/runs/99/pins/x", pin(soon)).status)

	require.Equal(t, 204, s.do("DELETE", pins+"/release", "").status)
	require.Equal(t, 204, s.do("DELETE", pins+"/release", "").status, "again is fine")
	require.NotContains(t, s.do("GET", pins, "").body, `"name":"release"`)
}

func TestRetentionPlan(t *testing.T) {
	t.Parallel()
	s := running(t)
	require.Equal(t, `{"runs":{"count":0,"bytes":0},"results":{"count":0,"bytes":0},"console":{"count":0,"bytes":0},"kept":{"count":0,"bytes":0},"items":[],"more":false}`,
		s.do("POST", "/retention/plan", `{}`).body, "the present configuration keeps all")
	config := `{"globalTimeout":"1h","abortGrace":"10s","classes":[{"name":"a","cpus":1,"memory":1}],"maxConsole":1,"maxResult":1,"maxResultFiles":1,"retention":"720h"%s}`
	got := s.do("POST", "/retention/plan", `{"config":`+fmt.Sprintf(config, "")+`,"job":"mine"}`)
	require.Equal(t, 200, got.status, got.body)
	require.Contains(t, got.body, `"job":"mine","run":1,"what":"run"`)
	require.Contains(t, got.body, `"reason":"it is old (retention)"`)
	for more, path := range map[string]string{
		`,"keep":{"runs":{"age":"1s"}}`:              "keep.runs.age",
		`,"keep":{"console":{"bytes":-1}}`:           "keep.console.bytes",
		`,"keep":{"results":{"bytes":1.5}}`:          "keep.results.bytes",
		`,"keepTotal":{"results":{"age":"24h"}}`:     "keepTotal.results.age",
		`,"keepTotal":{"runs":{"count":4000000000}}`: "keepTotal.runs.count",
	} {
		got := s.do("POST", "/retention/plan", `{"config":`+fmt.Sprintf(config, more)+`}`)
		require.Equal(t, 400, got.status, got.body)
		require.Contains(t, got.body, `"path":"`+path+`"`)
	}
	require.Equal(t, 400, s.do("POST", "/retention/plan", `{"limit":10001}`).status)
	limited := "Authorization: Bearer " + s.mint(ci.Token{Name: "lim", Role: ci.RoleMaintain, Jobs: []string{"mine"}})
	require.Equal(t, 200, s.do("POST", "/retention/plan", `{"job":"mine"}`, limited).status)
	require.Equal(t, 404, s.do("POST", "/retention/plan", `{"job":"theirs"}`, limited).status)
	got = s.do("POST", "/retention/plan", `{}`, limited)
	require.Equal(t, 400, got.status)
	require.Contains(t, got.body, "name one of its jobs")
	require.Equal(t, 403, s.do("POST", "/retention/plan", `{}`, "Authorization: Bearer "+s.bearer[ci.RoleTrigger]).status)
}
