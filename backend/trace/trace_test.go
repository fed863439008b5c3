package trace

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/trace/tracetest"
	"ci/pkg/ci"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				return v
			}
		}
		return ""
	}
}

func open(t *testing.T, endpoint string) *Tracer {
	t.Helper()
	tr, err := Open(t.Context(), Config{Endpoint: endpoint, Getenv: env(), Program: "cid", Version: "1", Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

// doneRun is a run that has been everywhere.
func doneRun(id int64, o ci.Outcome, at time.Time) *ci.Run {
	second := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	code := 3
	return &ci.Run{
		ID: id, Job: "unit-test", Status: ci.StatusDone, Outcome: o, Reason: "It is so.", ExitCode: &code,
		CommitSHA: strings.Repeat("a", 40), BranchName: "main", Priority: ci.PriorityNormal, TriggeredBy: "dev", Class: "small", Agent: "agent-1",
		Git:   &ci.Git{URL: "https://host/project.git"},
		Trace: &ci.Trace{ID: traceID, Span: spanID, Sampled: true, Recorded: true},
		Times: ci.Times{Triggered: second(0), Queued: second(1), Claimed: second(3), Started: second(6), Collecting: second(10), Done: second(15)},
		Steps: []ci.Step{
			{Name: "checkout", Began: second(3), Took: ci.Duration(time.Second)},
			{Name: "environment", Began: second(4), Took: ci.Duration(2 * time.Second), Detail: "pulled"},
		},
	}
}

// TestRun sends the spans of a run by either protocol, and looks at what came.
func TestRun(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(*tracetest.Collector) string{
		"HTTP": func(c *tracetest.Collector) string { return c.HTTP },
		"gRPC": func(c *tracetest.Collector) string { return "grpc://" + c.GRPC },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tracetest.Start(t)
			tr := open(t, of(c))
			at := time.Unix(1_700_000_000, 0).UTC()
			run := doneRun(7, ci.OutcomeFailed, at)
			tr.Done(run)

			whole := c.Named(t, traceID, "RUN unit-test")
			require.Equal(t, spanID, whole.Parent)
			require.Equal(t, run.TracePart().Span, whole.ID)
			require.Equal(t, at, whole.Began)
			require.Equal(t, run.Times.Done, whole.Ended)
			require.Equal(t, "cid", whole.Service)
			require.True(t, whole.Failed)
			require.Equal(t, "It is so.", whole.Says)
			for key, value := range map[string]string{
				"cicd.pipeline.name": "unit-test", "cicd.pipeline.run.id": "7", "cicd.pipeline.result": "failure", "ci.outcome": "failed",
				"vcs.ref.head.revision": run.CommitSHA, "vcs.ref.head.name": "main", "cicd.worker.id": "agent-1", "error.type": "failed",
			} {
				require.Equal(t, value, whole.Attributes[key], key)
			}
			for i, p := range run.PhaseTimes() {
				span := c.Named(t, traceID, string(p.Phase))
				require.Equal(t, whole.ID, span.Parent, p.Phase)
				require.Equal(t, p.From, span.Began, p.Phase)
				require.Equal(t, p.To, span.Ended, p.Phase)
				require.Equal(t, time.Duration(i+1)*time.Second, span.Ended.Sub(span.Began), p.Phase)
			}
			require.Equal(t, run.ScriptTrace().Span, c.Named(t, traceID, "running").ID, "the script goes on from a span that is there")
			preparing := c.Named(t, traceID, "preparing")
			pulled := c.Named(t, traceID, "environment")
			require.Equal(t, preparing.ID, pulled.Parent)
			require.Equal(t, 2*time.Second, pulled.Ended.Sub(pulled.Began))
			require.Equal(t, "pulled", pulled.Attributes["ci.step.detail"])
			require.Len(t, c.Spans(), 8)
		})
	}
}

func TestRunsThatAreNotTold(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	tr := open(t, c.HTTP)
	at := time.Now()
	unsampled, foreign, none, bad := doneRun(1, ci.OutcomeSucceeded, at), doneRun(2, ci.OutcomeSucceeded, at), doneRun(3, ci.OutcomeSucceeded, at), doneRun(4, ci.OutcomeSucceeded, at)
	unsampled.Trace.Sampled, foreign.Trace.Recorded, none.Trace, bad.Trace.ID = false, false, nil, "x"
	for _, r := range []*ci.Run{unsampled, foreign, none, bad} {
		tr.Done(r)
	}
	last := doneRun(5, ci.OutcomeSucceeded, at)
	tr.Done(last)
	whole := c.Named(t, "", "RUN unit-test")
	require.Equal(t, last.TracePart().Span, whole.ID)
	require.False(t, whole.Failed)
	for _, s := range c.Spans() {
		require.Contains(t, []string{last.Trace.Span, whole.ID, last.TracePart("preparing").Span}, s.Parent)
	}
}

func TestPipelineDone(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	tr := open(t, c.HTTP)
	at := time.Unix(1_700_000_000, 0).UTC()
	r := &ci.PipelineRun{ID: 4, Pipeline: "release", Outcome: ci.OutcomeSucceeded, Triggered: at, Done: at.Add(time.Hour), Trace: &ci.Trace{ID: traceID, Span: spanID, Sampled: true, Recorded: true}}
	tr.PipelineDone(r)
	span := c.Named(t, traceID, "RUN pipeline release")
	require.Equal(t, spanID, span.Parent)
	require.Equal(t, r.OwnTrace().Span, span.ID)
	require.Equal(t, time.Hour, span.Ended.Sub(span.Began))
}

func TestBegin(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	tr := open(t, c.HTTP)
	place := tr.Begin(t.Context(), "a")
	require.NotNil(t, ci.ParseTrace(place.Parent(), ""))
	require.True(t, place.Sampled)
	span := c.Named(t, place.ID, "TRIGGER a")
	require.Equal(t, place.Span, span.ID)
	require.Empty(t, span.Parent)
	require.NotEqual(t, place.ID, tr.Begin(t.Context(), "a").ID)
	require.Nil(t, (&Tracer{}).Begin(t.Context(), "a"))
}

// where answers with where the request is in its trace.
func where(tr *Tracer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Pattern = "GET /things/{name}"
		place, came := tr.Of(r.Context())
		if place != nil {
			fmt.Fprintf(w, "%s %s %t", place.Parent(), place.State, came)
		}
	})
}

func ask(t *testing.T, h http.Handler, path string, headers ...string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", path, http.NoBody)
	for _, pair := range headers {
		k, v, _ := strings.Cut(pair, ": ")
		r.Header.Add(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

func TestRequests(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	tr := open(t, c.HTTP)
	h := tr.Handler(where(tr))

	told := ask(t, h, "/things/a", "traceparent: "+parent, "tracestate: a=1", "tracestate: b=2")
	span := c.Named(t, traceID, "GET /things/{name}")
	require.Equal(t, spanID, span.Parent)
	require.Equal(t, "00-"+traceID+"-"+span.ID+"-01 a=1,b=2 true", told)

	told = ask(t, h, "/things/b")
	own := ci.ParseTrace(strings.Fields(told)[0], "")
	require.Equal(t, own.Span, c.Named(t, own.ID, "GET /things/{name}").ID)
	require.True(t, strings.HasSuffix(told, " false"), told)

	told = ask(t, h, "/things/c", "traceparent: 00-bad", "tracestate: a=1")
	require.NotContains(t, told, "bad")
	require.True(t, strings.HasSuffix(told, " false"), told)

	unsampled := strings.TrimSuffix(parent, "1") + "0"
	told = ask(t, h, "/things/d", "traceparent: "+unsampled)
	require.True(t, strings.HasPrefix(told, "00-"+traceID) && strings.HasSuffix(strings.Fields(told)[0], "-00"), told)

	// Probes and what is held are no spans, and go on with the trace they came with.
	for _, path := range []string{"/healthz", "/metrics", "/events", "/jobs/a/runs/1?wait=60s", "/jobs/a/runs/1/results/console?follow=1", "/ui/jobs/a/runs/1/live", "/ci.v1.WorkService/Renew"} {
		require.Equal(t, parent+"  true", ask(t, h, path, "traceparent: "+parent), path)
		require.Empty(t, ask(t, h, path), path)
	}
}

// Callers whom nobody knows choose texts of spans, so these have an end.
func TestLongTexts(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	tr := open(t, c.HTTP)
	ask(t, tr.Handler(where(tr)), "/things/a", "traceparent: "+parent, "User-Agent: "+strings.Repeat("x", 100_000))
	span := c.Named(t, traceID, "GET /things/{name}")
	require.Equal(t, strings.Repeat("x", maxText), span.Attributes["user_agent.original"])
}

// TestLimitsOfTheEnvironment: its variables draw the end of texts closer, and no further away.
func TestLimitsOfTheEnvironment(t *testing.T) {
	for value, want := range map[string]int{"": maxText, "100": 100, "100000": maxText, "-1": maxText} {
		t.Setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", value)
		require.Equal(t, want, limits().AttributeValueLengthLimit, value)
	}
}

// TestOff: without a collector, a trace is handed on as it came, and nothing else is.
func TestOff(t *testing.T) {
	t.Parallel()
	tr := &Tracer{}
	h := tr.Handler(where(tr))
	require.Equal(t, parent+" a=1 true", ask(t, h, "/things/a", "traceparent: "+parent, "tracestate: a=1"))
	require.Empty(t, ask(t, h, "/things/a"))
	require.Empty(t, ask(t, h, "/things/a", "traceparent: "+parent, "traceparent: "+parent), "two are none")
	tr.Done(doneRun(1, ci.OutcomeSucceeded, time.Now()))
	require.NoError(t, tr.Close())
	require.Nil(t, tr.Recorded(t.Context()))
}
