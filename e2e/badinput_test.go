package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/testscript"

	"ci/e2e/rig"
)

// endpoint is one method on one path, as the server's own OpenAPI document
// lists it: an endpoint that is added later is tried without a word here.
type endpoint struct {
	method, pattern string
	public          bool
	body            bool
}

// path fills the pattern's variables in.
func (e endpoint) path(values map[string]string) string {
	p := e.pattern
	for name, v := range values {
		p = strings.ReplaceAll(p, "{"+name+"}", v)
	}
	return p
}

// badInputCommand sends every endpoint what it must refuse. It wants a job
// "done" with a finished run $ID and a result "out", and tokens in READ (role
// read) and OTHER (trigger, limited to the job "other").
func badInputCommand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, append(args, ""), 1, 1)
	admin := client(ts)
	t := &badInput{
		admin: admin,
		read:  rig.NewClient(admin.URL, ts.Getenv("READ")),
		other: rig.NewClient(admin.URL, ts.Getenv("OTHER")),
		vars:  map[string]string{"name": "done", "id": ts.Getenv("ID"), "result": "out", "key": "NPM_TOKEN", "host": "registry.example.com", "call": "1", "provider": "github"},
	}
	all, err := t.endpoints()
	ts.Check(err)
	if len(all) < 20 {
		ts.Fatalf("the OpenAPI document lists %d endpoints only", len(all))
	}
	for _, e := range all {
		t.everywhere(e)
	}
	t.table()
	ts.Logf("%d requests to %d endpoints", t.sent, len(all))
	if len(t.faults) > 0 {
		ts.Fatalf("%d of %d bad requests are not answered as they should be:\n%s", len(t.faults), t.sent, strings.Join(t.faults, "\n"))
	}
}

type badInput struct {
	admin, read, other *rig.Client
	vars               map[string]string
	sent               int
	faults             []string
}

// endpoints reads the OpenAPI document.
func (t *badInput) endpoints() ([]endpoint, error) {
	a, err := t.admin.Do(context.Background(), "GET", "/openapi.yaml", nil)
	if err != nil {
		return nil, err
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Security    *[]any `yaml:"security"`
			RequestBody any    `yaml:"requestBody"`
		} `yaml:"paths"`
	}
	if err := yaml.Unmarshal(a.Body, &doc); err != nil {
		return nil, err
	}
	var all []endpoint
	for _, pattern := range slices.Sorted(maps.Keys(doc.Paths)) {
		for method, op := range doc.Paths[pattern] {
			if method != strings.ToLower(method) || len(method) > 7 {
				continue
			}
			all = append(all, endpoint{strings.ToUpper(method), pattern, op.Security != nil && len(*op.Security) == 0, op.RequestBody != nil})
		}
	}
	return all, nil
}

// refused sends a request and notes when its answer is not a problem with one of the statuses.
func (t *badInput) refused(c *rig.Client, what, method, path string, body []byte, headers []string, statuses ...int) {
	t.sent++
	a, err := c.Do(context.Background(), method, path, body, headers...)
	fault := err
	if err == nil {
		fault = isProblem(a, statuses[0], "")
		for _, s := range statuses[1:] {
			if fault != nil {
				fault = isProblem(a, s, "")
			}
		}
	}
	if fault != nil {
		t.faults = append(t.faults, fmt.Sprintf("%s %.150s with %s: %v", method, path, what, fault))
	}
}

// everywhere sends what no endpoint may accept.
func (t *badInput) everywhere(e endpoint) {
	path := e.path(t.vars)
	if !e.public && e.pattern != "/metrics" { // callers on the same machine may read it
		nobody := rig.NewClient(t.admin.URL, "")
		t.refused(nobody, "no token", e.method, path, nil, nil, 401)
		for _, bearer := range []string{"x", "a.b.c", strings.Repeat("x", 5000), t.admin.Token + "x", "\xff"} {
			t.refused(rig.NewClient(t.admin.URL, bearer), "a bad token", e.method, path, nil, nil, 401)
		}
		t.refused(nobody, "Basic", e.method, path, nil, []string{"Authorization: Basic YTpi"}, 401)
		t.refused(t.admin, "a foreign host", e.method, path, nil, []string{"Host: evil.example"}, 403)
	}
	if e.pattern == "/metrics" { // Prometheus' own handler, which has parameters of its own
		return
	}
	for _, q := range []string{"?nonsense=1", "?=1", "?a=%zz", "?wait=", "?pageSize=5&pageSize=6"} {
		t.refused(t.admin, "a bad query", e.method, path+q, nil, nil, 400)
	}
	t.refused(t.admin, "a method that is not there", "PATCH", path, nil, nil, 405)
	if strings.Contains(e.pattern, "{") && strings.HasPrefix(e.pattern, "/jobs/{name}") {
		t.badNames(e)
	}
	if e.body {
		t.badBodies(e, path)
	}
}

func (t *badInput) badNames(e endpoint) {
	for _, name := range []string{"%00", "a%2fb", "..", ".hidden", "-x", "a%20b", strings.Repeat("n", 300), "%e4", "no-such-job"} {
		if name == "no-such-job" && e.method == "PUT" {
			continue
		}
		vars := maps.Clone(t.vars)
		vars["name"] = name
		t.refused(t.admin, "a bad name", e.method, e.path(vars), []byte(`{}`)[:0:0], nil, 404, 400)
	}
	t.refused(t.other, "a token of another job", e.method, e.path(t.vars), nil, nil, 404)
	if !strings.Contains(e.pattern, "{id}") {
		return
	}
	for _, id := range []string{"0", "-1", "abc", "1e3", "01", "4294967295", "4294967296", strings.Repeat("9", 40), "1.0", "%31"} {
		vars := maps.Clone(t.vars)
		vars["id"] = id
		t.refused(t.admin, "a bad id", e.method, e.path(vars), nil, nil, 404, 400)
	}
}

func (t *badInput) badBodies(e endpoint, path string) {
	for what, body := range map[string]string{
		"half of a document": `{"a":`, "no JSON": `hello`, "a list": `[]`, "text": `"x"`, "a number": `1`, "two documents": `{} {}`,
		"an unknown field": `{"nonsense":1}`, "a proto name": `{"branch_name":"x"}`, "a doubled field": `{"parameters":null,"parameters":null}`,
		"deep nesting": strings.Repeat(`{"git":`, 4000) + "1" + strings.Repeat("}", 4000), "no UTF-8": "{\"\xff\":1}", "a NUL": "{\"a\x00\":1}",
	} {
		t.refused(t.admin, what, e.method, path, []byte(body), nil, 400)
	}
	t.refused(t.admin, "another media type", e.method, path, []byte(`a=b`), []string{"Content-Type: application/x-www-form-urlencoded"}, 415)
	t.refused(t.admin, "too much", e.method, path, bytes.Repeat([]byte(" "), 8<<20), nil, 413)
	t.refused(t.admin, "another origin", e.method, path, []byte(`{}`), []string{"Origin: http://evil.example"}, 403)
}

// table sends what single endpoints must refuse.
func (t *badInput) table() {
	run := "/jobs/done/runs/" + t.vars["id"]
	big := strconv.Itoa(1 << 40)
	for _, r := range []struct {
		method, path, body string
		status             int
		headers            []string
	}{
		// Jobs.
		{"PUT", "/jobs/x", `{}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"https://host/x.git","configPath":"a"},"freestyle":{"script":"true"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"name":"y","freestyle":{"script":"true"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":""}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":7}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true","nonsense":1}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true","timeout":"soon"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true","resources":{"cpus":1000}}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true","services":{"db":{"image":"x","privileged":true}}}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true","results":{"console":"x"}}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true","results":{"a":"../x"}}}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true"},"parameters":[{"name":"CI_X"}]}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true"},"parameters":[{"name":"A"},{"name":"A"}]}`, 400, nil},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true"},"parameters":{"A":"b"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"http://elsewhere.example/x.git","configPath":"a"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"file:///etc","configPath":"a"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"ext::sh -c id","configPath":"a"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"-oProxyCommand=id","configPath":"a"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"https://169.254.169.254/x.git","configPath":"a"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"https://127.0.0.1/x.git","configPath":"a"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"https://host/x.git","configPath":"../a"}}`, 400, nil},
		{"PUT", "/jobs/x", `{"git":{"url":"https://host/x.git","configPath":"/a"}}`, 400, nil},
		{"PUT", "/jobs/done", `{"freestyle":{"script":"true"}}`, 412, []string{`If-Match: "77"`}},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true"}}`, 412, []string{`If-Match: "1"`}},
		{"PUT", "/jobs/x", `{"freestyle":{"script":"true"}}`, 400, []string{`If-Match: 1`}},
		{"PUT", "/jobs/done", `{"freestyle":{"script":"true"}}`, 412, []string{`If-None-Match: *`}},
		{"DELETE", "/jobs/done", ``, 412, []string{`If-Match: "77"`}},
		// Triggers.
		{"POST", "/jobs/done/runs", `{"branchName":"main"}`, 400, nil},
		{"POST", "/jobs/done/runs", `{"commitSha":"abc"}`, 400, nil},
		{"POST", "/jobs/done/runs", `{"branchName":7}`, 400, nil},
		{"POST", "/jobs/done/runs", `{"parameters":{"A":7}}`, 400, nil},
		{"POST", "/jobs/done/runs", `{"parameters":{"NOPE":"x"}}`, 400, nil},
		{"POST", "/jobs/done/runs", `{"parameters":["A"]}`, 400, nil},
		{"POST", "/jobs/done/runs", `{"priority":"highest"}`, 400, nil},
		{"POST", "/jobs/done/runs", `{}`, 400, []string{"Idempotency-Key: " + strings.Repeat("k", 256)}},
		{"POST", "/jobs/gitjob/runs", `{}`, 400, nil},
		{"POST", "/jobs/gitjob/runs", `{"branchName":"main","commitSha":"` + strings.Repeat("a", 40) + `"}`, 400, nil},
		{"POST", "/jobs/gitjob/runs", `{"branchName":"-x"}`, 400, nil},
		{"POST", "/jobs/gitjob/runs", `{"branchName":"a..b"}`, 400, nil},
		{"POST", "/jobs/gitjob/runs", `{"branchName":"a\nb"}`, 400, nil},
		{"POST", "/jobs/gitjob/runs", `{"commitSha":"` + strings.Repeat("A", 40) + `"}`, 400, nil},
		{"POST", "/jobs/done/runs?wait=61s", `{}`, 400, nil},
		{"POST", "/jobs/done/runs?wait=-1s", `{}`, 400, nil},
		{"POST", "/jobs/done/runs?wait=soon", `{}`, 400, nil},
		{"POST", "/jobs/done/runs?wait=1s&until=never", `{}`, 400, nil},
		{"POST", "/jobs/done/runs:withdraw", ``, 400, nil},
		{"POST", "/jobs/done/runs:withdraw", ``, 400, []string{"Idempotency-Key: " + strings.Repeat("k", 256)}},
		{"POST", "/jobs/done/runs:withdraw", `{"run":1}`, 400, []string{"Idempotency-Key: k"}},
		{"POST", "/jobs/no-such-job/runs:withdraw", ``, 404, []string{"Idempotency-Key: k"}},
		{"POST", "/runs:batch", `{"runs":[]}`, 400, nil},
		{"POST", "/runs:batch", `{"runs":[{"job":"done"},{"job":"no-such-job"}]}`, 404, nil},
		{"POST", "/runs:batch", `{"runs":[{"job":"done"},{"job":"done","parameters":{"NOPE":"x"}}]}`, 400, nil},
		// Runs and lists.
		{"POST", run + "/abort", ``, 409, nil},
		{"GET", run + "?wait=1h", ``, 400, nil},
		{"GET", "/runs?status=finished", ``, 400, nil},
		{"GET", "/runs?outcome=fine", ``, 400, nil},
		{"GET", "/runs?since=yesterday", ``, 400, nil},
		{"GET", "/runs?commitSha=abc", ``, 400, nil},
		{"GET", "/runs?branchName=-x", ``, 400, nil},
		{"GET", "/runs?pageSize=0", ``, 400, nil},
		{"GET", "/runs?pageSize=501", ``, 400, nil},
		{"GET", "/runs?pageSize=-1", ``, 400, nil},
		{"GET", "/runs?pageSize=x", ``, 400, nil},
		{"GET", "/runs?pageToken=x", ``, 400, nil},
		{"GET", "/jobs?pageToken=AAAAAAAAAAAAAAAA", ``, 400, nil},
		{"GET", "/tokens?pageToken=%00", ``, 400, nil},
		{"GET", run + "/results/none", ``, 404, nil},
		{"GET", run + "/results/out", ``, 416, []string{"Range: bytes=999999999-"}},
		{"GET", run + "/results/console", ``, 416, []string{"Range: bytes=999999999-"}},
		{"GET", run + "/results/console?from=-1", ``, 400, nil},
		{"GET", run + "/results/console?follow=maybe", ``, 400, nil},
		{"GET", "/events?after=-1", ``, 400, nil},
		{"GET", "/events?after=x", ``, 400, nil},
		{"GET", "/no/such/path", ``, 404, nil},
		{"GET", "/jobs/", ``, 404, nil},
		{"GET", "//jobs", ``, 404, nil},
		{"GET", "/jobs/../jobs", ``, 404, nil},
		// Agents, configuration, tokens.
		{"PUT", "/agents/none/drain", `{}`, 404, nil},
		{"DELETE", "/agents/none/drain", ``, 404, nil},
		{"PUT", "/config", `{}`, 400, nil},
		{"PUT", "/config", `{"globalTimeout":"-1s"}`, 400, nil},
		{"PUT", "/config", `{"globalTimeout":60}`, 400, nil},
		{"PUT", "/config", `{"maxConsole":1.5}`, 400, nil},
		{"PUT", "/config", `{"globalTimeout":"1h","abortGrace":"10s","classes":[{"name":"a","cpus":1,"memory":1}],"maxConsole":` + big + `,"maxResult":1,"maxResultFiles":1,"retention":"0s"}`, 412, []string{`If-Match: "77"`}},
		{"POST", "/tokens", `{}`, 400, nil},
		{"POST", "/tokens", `{"name":"a","role":"king"}`, 400, nil},
		{"POST", "/tokens", `{"name":"a","role":"run"}`, 400, nil},
		{"POST", "/tokens", `{"name":"a b","role":"read"}`, 400, nil},
		{"POST", "/tokens", `{"name":"a","role":"read","expiresAt":"2001-01-01T00:00:00Z"}`, 400, nil},
		{"POST", "/tokens", `{"name":"a","role":"read","expiresAt":"tomorrow"}`, 400, nil},
		{"POST", "/tokens", `{"name":"reader","role":"read"}`, 409, nil},
		{"DELETE", "/tokens/none", ``, 404, nil},
	} {
		var body []byte
		if r.body != "" {
			body = []byte(r.body)
		}
		t.refused(t.admin, fmt.Sprintf("%.100s %q", r.body, r.headers), r.method, r.path, body, r.headers, r.status)
	}
	t.roles(run)
}

// roles sends what the caller's role does not allow.
func (t *badInput) roles(run string) {
	for _, r := range [][3]string{
		{"PUT", "/jobs/done", `{"freestyle":{"script":"true"}}`},
		{"DELETE", "/jobs/done", ""},
		{"POST", "/jobs/done/runs", "{}"},
		{"POST", run + "/abort", ""},
		{"PUT", "/config", "{}"},
		{"POST", "/tokens", `{"name":"mine","role":"admin"}`},
		{"GET", "/tokens", ""},
	} {
		var body []byte
		if r[2] != "" {
			body = []byte(r[2])
		}
		t.refused(t.read, "the role read", r[0], r[1], body, nil, 403)
	}
	t.refused(t.other, "a limited token", "POST", "/runs:batch", []byte(`{"runs":[{"job":"done"}]}`), nil, 404)
	t.refused(t.other, "a limited token", "PUT", "/jobs/other", []byte(`{"freestyle":{"script":"true"}}`), nil, 403)
}
