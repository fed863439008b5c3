package trace

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	api "go.opentelemetry.io/otel/trace"

	"ci/pkg/ci"
)

// results are OpenTelemetry's words for our outcomes.
var results = map[ci.Outcome]attribute.KeyValue{
	ci.OutcomeSucceeded: semconv.CICDPipelineResultSuccess,
	ci.OutcomeFailed:    semconv.CICDPipelineResultFailure,
	ci.OutcomeError:     semconv.CICDPipelineResultError,
	ci.OutcomeAborted:   semconv.CICDPipelineResultCancellation,
	ci.OutcomeTimedOut:  semconv.CICDPipelineResultTimeout,
	ci.OutcomeLost:      semconv.CICDPipelineResultError,
}

// Done makes the spans of a run that has ended: of all of it, of its phases (the
// wait in the queue is one), and of the steps of its preparation. Whoever records
// the end calls it. Their ids follow from the run, so that telling twice tells nothing new.
func (t *Tracer) Done(r *ci.Run) {
	ctx := t.under(r.Trace)
	if ctx == nil {
		return
	}
	s := story{t.runs.Tracer(scope), r}
	ctx, whole := s.start(ctx, "RUN "+r.Job, r.Times.Triggered, nil, api.WithSpanKind(api.SpanKindServer), api.WithAttributes(about(r)...))
	judge(whole, r.Outcome, r.Reason)
	for _, p := range r.PhaseTimes() {
		if p.To.After(p.From) {
			s.phase(ctx, p)
		}
	}
	whole.End(api.WithTimestamp(r.Times.Done))
}

// PipelineDone makes the span of a pipeline's run that has ended. The runs that it
// triggered have spans of their own, below it.
func (t *Tracer) PipelineDone(r *ci.PipelineRun) {
	ctx := t.under(r.Trace)
	if ctx == nil {
		return
	}
	ctx = context.WithValue(ctx, chosen{}, r.OwnTrace().Span)
	_, span := t.runs.Tracer(scope).Start(ctx, "RUN pipeline "+r.Pipeline, api.WithTimestamp(r.Triggered), api.WithSpanKind(api.SpanKindServer), api.WithAttributes(
		semconv.CICDPipelineName(r.Pipeline), semconv.CICDPipelineRunID(strconv.FormatInt(r.ID, 10)), semconv.CICDPipelineActionNameRun, results[r.Outcome],
		attribute.String("ci.outcome", string(r.Outcome)), attribute.String("ci.triggered_by", r.TriggeredBy)))
	judge(span, r.Outcome, r.Reason)
	span.End(api.WithTimestamp(r.Done))
}

// judge says of a span that what it is of did not succeed.
func judge(span api.Span, o ci.Outcome, reason string) {
	if o == ci.OutcomeSucceeded {
		return
	}
	span.SetStatus(codes.Error, reason)
	span.SetAttributes(semconv.ErrorTypeKey.String(string(o)))
}

// story makes the spans of one run.
type story struct {
	api.Tracer
	run *ci.Run
}

// start begins the span of a part of the run.
func (s story) start(ctx context.Context, name string, at time.Time, part []string, options ...api.SpanStartOption) (context.Context, api.Span) {
	ctx = context.WithValue(ctx, chosen{}, s.run.TracePart(part...).Span)
	return s.Start(ctx, name, append(options, api.WithTimestamp(at))...)
}

func (s story) phase(ctx context.Context, p ci.PhaseTime) {
	ctx, span := s.start(ctx, string(p.Phase), p.From, []string{string(p.Phase)}, api.WithAttributes(semconv.CICDPipelineTaskName(string(p.Phase))))
	defer span.End(api.WithTimestamp(p.To))
	if p.Phase != ci.PhasePreparing {
		return
	}
	for i, step := range s.run.Steps {
		_, part := s.start(ctx, step.Name, step.Began, []string{"step", strconv.Itoa(i)}, api.WithAttributes(attribute.String("ci.step.detail", step.Detail)))
		part.End(api.WithTimestamp(step.Began.Add(time.Duration(step.Took))))
	}
}

// about is what the span of a run says of it.
func about(r *ci.Run) []attribute.KeyValue {
	list := []attribute.KeyValue{
		semconv.CICDPipelineName(r.Job), semconv.CICDPipelineRunID(strconv.FormatInt(r.ID, 10)), semconv.CICDPipelineActionNameRun, results[r.Outcome],
		attribute.String("ci.outcome", string(r.Outcome)), attribute.String("ci.priority", string(r.Priority)), attribute.String("ci.triggered_by", r.TriggeredBy),
	}
	add := func(key attribute.Key, value string) {
		if value != "" {
			list = append(list, key.String(value))
		}
	}
	add("ci.class", r.Class)
	add(semconv.CICDWorkerIDKey, r.Agent)
	add(semconv.VCSRefHeadRevisionKey, r.CommitSHA)
	add(semconv.VCSRefHeadNameKey, r.BranchName)
	if r.Git != nil {
		add(semconv.VCSRepositoryURLFullKey, r.Git.URL)
	}
	if r.ExitCode != nil {
		list = append(list, attribute.Int("ci.exit_code", *r.ExitCode))
	}
	return list
}

// under is a context in which spans begin below a place; nil when none are to be made there.
func (t *Tracer) under(place *ci.Trace) context.Context {
	if !t.On() || place == nil || !place.Recorded || !place.Sampled {
		return nil
	}
	id, err := api.TraceIDFromHex(place.ID)
	if err != nil {
		return nil
	}
	span, err := api.SpanIDFromHex(place.Span)
	if err != nil {
		return nil
	}
	state, err := api.ParseTraceState(place.State)
	if err != nil {
		state = api.TraceState{}
	}
	return api.ContextWithRemoteSpanContext(context.Background(), api.NewSpanContext(api.SpanContextConfig{
		TraceID: id, SpanID: span, TraceFlags: api.FlagsSampled, TraceState: state,
	}))
}

// chosen is the key of the id that the next span gets.
type chosen struct{}

// ids gives spans the id that was chosen for them, and all others a random one.
type ids struct{}

// NewIDs is for the first span of a trace.
func (g ids) NewIDs(ctx context.Context) (id api.TraceID, span api.SpanID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID is for all spans.
func (ids) NewSpanID(ctx context.Context, _ api.TraceID) (id api.SpanID) {
	if text, ok := ctx.Value(chosen{}).(string); ok {
		if id, err := api.SpanIDFromHex(text); err == nil {
			return id
		}
	}
	_, _ = rand.Read(id[:])
	return id
}
