package trace

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	api "go.opentelemetry.io/otel/trace"

	"ci/pkg/ci"
)

// given is the key of the trace that a request came with.
type given struct{}

// Handler makes a span of each request to next that is answered at once, in the
// trace that the request's headers name, or in one of its own. The span is named by
// the request's Pattern, which a ServeMux sets, or next.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	if t.On() {
		next = otelhttp.NewHandler(next, "request",
			otelhttp.WithTracerProvider(t.requests), otelhttp.WithMeterProvider(noop.NewMeterProvider()),
			otelhttp.WithPropagators(propagation.TraceContext{}), otelhttp.WithFilter(telling))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if parents := r.Header[ci.TraceParentHeader]; len(parents) == 1 {
			if place := ci.ParseTrace(parents[0], strings.Join(r.Header[ci.TraceStateHeader], ",")); place != nil {
				r = r.WithContext(context.WithValue(r.Context(), given{}, place))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// telling says whether a request's span would tell anything: probes come all the
// time, and answers that are held on purpose take as long as nothing happens.
func telling(r *http.Request) bool {
	path := r.URL.Path
	switch path {
	case "/healthz", "/readyz", "/metrics", "/events", "/ui/live", "/ui/live-pipelines":
		return false
	}
	for _, prefix := range []string{"/ci.v1.WorkService/", "/ci.v1.EventService/", "/ui/static/"} {
		if strings.HasPrefix(path, prefix) {
			return false
		}
	}
	query := r.URL.RawQuery
	held := r.Method == http.MethodGet && (strings.Contains(query, "wait=") || strings.Contains(query, "follow="))
	return !held && !(strings.HasPrefix(path, "/ui/") && strings.HasSuffix(path, "/live"))
}

// Recorded is where a request is in its trace, for what comes of it here; nil for nowhere.
func (t *Tracer) Recorded(ctx context.Context) *ci.Trace {
	place, _ := t.Of(ctx)
	if place == nil {
		return nil
	}
	own := *place
	own.Recorded = t.On()
	return &own
}

// Of is where a request is in its trace, nil for nowhere. came says that the caller
// has named the trace.
func (t *Tracer) Of(ctx context.Context) (place *ci.Trace, came bool) {
	place, came = ctx.Value(given{}).(*ci.Trace)
	at := api.SpanContextFromContext(ctx)
	if !t.On() || !at.IsValid() {
		return place, came
	}
	own := placeOf(at)
	if came && own.ID == place.ID {
		own.State = place.State // the library reads the first of several headers
	}
	return own, came
}
