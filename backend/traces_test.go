package backend

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/trace"
	"ci/backend/trace/tracetest"
	"ci/pkg/api"
	"ci/pkg/ci"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

// traced is a backend with a collector.
type traced struct {
	*Backend
	t         *testing.T
	collector *tracetest.Collector
	url       string
	bearer    string
}

func openTraced(t *testing.T) *traced {
	t.Helper()
	c := tracetest.Start(t)
	tracer, err := trace.Open(t.Context(), trace.Config{Endpoint: c.HTTP, Getenv: func(string) string { return "" }, Program: "cid", Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tracer.Close()) })
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	b := openCid(t, Config{Key: key, Traces: tracer})
	bearer, err := b.FirstAdmin(t.Context())
	require.NoError(t, err)
	server := httptest.NewServer(b.Handler())
	t.Cleanup(server.Close)
	return &traced{b, t, c, server.URL, bearer}
}

func (b *traced) client(place *ci.Trace) *api.Client {
	b.t.Helper()
	c, err := api.New(api.Config{URL: b.url, Token: b.bearer, Trace: place})
	require.NoError(b.t, err)
	return c
}

// ask asks the REST interface.
func (b *traced) ask(method, path, body string, header ...string) string {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	require.NoError(b.t, err)
	r.Header.Set("Authorization", "Bearer "+b.bearer)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(b.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(b.t, err)
	require.Less(b.t, resp.StatusCode, 300, string(answer))
	return string(answer)
}

// TestTraceOfARequest: from the caller's span to the request's, from there to the
// run's, and to what the run's script triggers.
func TestTraceOfARequest(t *testing.T) {
	t.Parallel()
	b := openTraced(t)
	b.ask("PUT", "/jobs/hello", `{"freestyle":{"script":"echo hello"}}`)
	for name, trigger := range map[string]func(){
		"REST": func() { b.ask("POST", "/jobs/hello/runs", `{}`, "traceparent: "+parent, "tracestate: a=1") },
		"the client": func() {
			_, err := b.client(ci.ParseTrace(parent, "a=1")).Trigger(t.Context(), ci.Trigger{Job: "hello"})
			require.NoError(t, err)
		},
		"the client, for one trigger": func() {
			_, err := b.client(nil).Trigger(t.Context(), ci.Trigger{Job: "hello", Trace: ci.ParseTrace(parent, "a=1")})
			require.NoError(t, err)
		},
		"a batch": func() {
			_, err := b.client(ci.ParseTrace(parent, "a=1")).TriggerBatch(t.Context(), []ci.Trigger{{Job: "hello"}})
			require.NoError(t, err)
		},
	} {
		trigger()
		runs, err := b.Store.ListRuns(t.Context(), ci.RunFilter{}, 1)
		require.NoError(t, err)
		run := runs[0]
		require.NotNil(t, run.Trace, name)
		require.Equal(t, traceID, run.Trace.ID, name)
		require.Equal(t, "a=1", run.Trace.State, name)
		request := b.collector.Find(t, "the request", func(s tracetest.Span) bool { return s.ID == run.Trace.Span })
		require.Equal(t, spanID, request.Parent, name)
		require.Contains(t, []string{"POST /jobs/{name}/runs", "POST /runs:batch", "POST /runs/batch", "POST /ci.v1.RunService/TriggerRun", "POST /ci.v1.RunService/TriggerRuns"}, request.Name)
		require.Contains(t, b.ask("GET", fmt.Sprintf("/jobs/hello/runs/%d", run.ID), ""), `"trace":{"id":"`+traceID+`"`)

		_, err = b.client(nil).Abort(t.Context(), "hello", run.ID)
		require.NoError(t, err)
		whole := b.collector.Find(t, "the run", func(s tracetest.Span) bool { return s.ID == run.TracePart().Span })
		require.Equal(t, request.ID, whole.Parent, name)
		require.Equal(t, "RUN hello", whole.Name)
		queued := b.collector.Find(t, "its wait", func(s tracetest.Span) bool { return s.Parent == whole.ID })
		require.Equal(t, "queued", queued.Name)
	}
}

// TestTraceOfAScript: a script that says nothing is in its run's trace.
func TestTraceOfAScript(t *testing.T) {
	t.Parallel()
	b := openTraced(t)
	b.ask("PUT", "/jobs/child", `{"freestyle":{"script":"true"}}`)
	b.ask("PUT", "/jobs/parent", `{"freestyle":{"script":"true","ci":true},"triggers":["child"]}`)
	b.ask("POST", "/jobs/parent/runs", `{}`, "traceparent: "+parent)
	work, err := b.Engine.Claim(t.Context(), ci.Claim{Run: 1, Agent: "a", ID: "claim"})
	require.NoError(t, err)
	b.bearer = work.Token
	b.ask("POST", "/jobs/child/runs", `{}`)
	child, err := b.Store.GetRun(t.Context(), "child", 2)
	require.NoError(t, err)
	require.Equal(t, work.Run.ScriptTrace(), child.Trace)

	// A tool of the script has a span of its own.
	b.ask("POST", "/jobs/child/runs", `{}`, "traceparent: 00-"+traceID+"-00000000000000aa-01")
	child, err = b.Store.GetRun(t.Context(), "child", 3)
	require.NoError(t, err)
	request := b.collector.Find(t, "the request", func(s tracetest.Span) bool { return s.ID == child.Trace.Span })
	require.Equal(t, "00000000000000aa", request.Parent)
}
