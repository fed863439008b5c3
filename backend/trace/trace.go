// Package trace tells a collector, in OpenTelemetry's protocol, what requests and
// runs have done and when. Spans of a run are made once, at its end, of the times
// that its row has: nothing is kept for them while it goes on, whichever processes
// move it. Sending is never waited for: where the collector is away, spans are dropped.
package trace

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"ci/pkg/ci"
)

// Config says where spans go.
type Config struct {
	// Endpoint is http://HOST:PORT, https://…, grpc://… or grpcs://…. "" looks at the
	// variables that OpenTelemetry has for all programs, and without them sends nothing;
	// "off" sends nothing in any case.
	Endpoint string
	// Getenv reads these variables; the libraries read those of how to send (headers,
	// certificates, timeouts, samplers, what the resource is called) by themselves.
	Getenv func(string) string
	// Program and Version are what the spans say of their origin.
	Program string
	Version string
	Log     *slog.Logger
	// Metrics counts what was sent and dropped. Default: nobody counts.
	Metrics prometheus.Registerer
}

const (
	scope = "ci/backend/trace"
	// closeTime bounds how long the end of a process waits for its last spans.
	closeTime = 2 * time.Second
	// maxText is how many bytes of a text an attribute has. Callers choose some of them
	// (a user agent, a query) before it is known who they are.
	maxText = 1024
)

// Tracer makes spans. The zero Tracer makes none, and hands traces of others on.
// It is safe for concurrent use.
type Tracer struct {
	requests *sdk.TracerProvider // nil: nothing is sent
	runs     *sdk.TracerProvider
	sender   *sender
}

// Open begins to send. It does not ask whether a collector is there. Without an
// endpoint it returns a Tracer that makes no spans.
func Open(ctx context.Context, c Config) (*Tracer, error) {
	to, err := c.destination()
	if err != nil || to == nil {
		return &Tracer{}, err
	}
	exporter, err := to.exporter(ctx)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "traces can't be sent to %s: %w", to, err)
	}
	about, err := c.resource(ctx)
	if err != nil {
		return nil, ci.Errorf(ci.CodeInvalid, "OTEL_RESOURCE_ATTRIBUTES is not what OpenTelemetry says it should be: %w", err)
	}
	t := &Tracer{sender: newSender(exporter, to.String(), c.Log)}
	if err := t.sender.measure(c.Metrics); err != nil {
		return nil, err
	}
	shared := []sdk.TracerProviderOption{sdk.WithSpanProcessor(t.sender), sdk.WithResource(about), sdk.WithIDGenerator(ids{}), sdk.WithRawSpanLimits(limits())}
	t.requests = sdk.NewTracerProvider(shared...)
	// Whether a run's spans are kept was decided when it was triggered.
	t.runs = sdk.NewTracerProvider(append(shared, sdk.WithSampler(sdk.AlwaysSample()))...)
	c.Log.Info("traces are sent", "to", to.String())
	return t, nil
}

// limits are OpenTelemetry's, with an end to texts. Its variables may draw it closer.
func limits() sdk.SpanLimits {
	l := sdk.NewSpanLimits()
	if l.AttributeValueLengthLimit < 0 || l.AttributeValueLengthLimit > maxText {
		l.AttributeValueLengthLimit = maxText
	}
	return l
}

// On says whether spans are made.
func (t *Tracer) On() bool { return t.requests != nil }

// Close sends what is left, for a moment.
func (t *Tracer) Close() error {
	if !t.On() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	defer t.sender.abandon()
	err := errors.Join(t.requests.Shutdown(ctx), t.runs.Shutdown(ctx))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // the sender has warned; a collector that is away is no fault of ours
	}
	return err
}

// Begin is the trace of a run that nobody's trace led to.
func (t *Tracer) Begin(ctx context.Context, job string) *ci.Trace {
	if !t.On() {
		return nil
	}
	_, span := t.requests.Tracer(scope).Start(context.WithoutCancel(ctx), "TRIGGER "+job, api.WithNewRoot())
	defer span.End()
	return placeOf(span.SpanContext())
}

// placeOf is where a span is.
func placeOf(at api.SpanContext) *ci.Trace {
	return &ci.Trace{ID: at.TraceID().String(), Span: at.SpanID().String(), Sampled: at.IsSampled(), State: at.TraceState().String()}
}
