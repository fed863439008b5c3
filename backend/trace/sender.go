package trace

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// maxWaiting is how many spans wait for the collector at most: of some thousand
	// runs that end at once. A span is about a KiB.
	maxWaiting = 8192
	batch      = 512
	// sendEvery is how long a span waits for others to be sent with.
	sendEvery = 2 * time.Second
)

// sender is a bounded queue before a collector. What does not fit, or can't be
// sent, is dropped: with one warning, until the collector takes spans again.
type sender struct {
	sdk.SpanProcessor // batches, and calls ExportSpans from a goroutine of its own
	to                string
	log               *slog.Logger
	waiting           atomic.Int64
	unwell            atomic.Bool // it was warned of
	lost              atomic.Int64
	total             *prometheus.CounterVec
	sent, dropped     prometheus.Counter
	life              context.Context
	abandon           context.CancelFunc // what is under way is given up, and all that follows
}

func newSender(e sdk.SpanExporter, to string, log *slog.Logger) *sender {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ci_trace_spans_total", Help: "Spans of traces, by what became of them: sent to the collector, or dropped.",
	}, []string{"result"})
	s := &sender{to: to, log: log, total: total, sent: total.WithLabelValues("sent"), dropped: total.WithLabelValues("dropped")}
	s.life, s.abandon = context.WithCancel(context.Background())
	s.SpanProcessor = sdk.NewBatchSpanProcessor(exporter{e, s},
		sdk.WithMaxQueueSize(maxWaiting+batch), sdk.WithMaxExportBatchSize(batch), sdk.WithBatchTimeout(sendEvery))
	return s
}

// measure shows the counters; nil shows them nowhere.
func (s *sender) measure(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	return reg.Register(s.total)
}

// OnEnd takes a span, or drops it. It never waits.
func (s *sender) OnEnd(span sdk.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	if s.waiting.Add(1) > maxWaiting {
		s.waiting.Add(-1)
		s.drop(1, "spans come faster than it takes them")
		return
	}
	s.SpanProcessor.OnEnd(span)
}

func (s *sender) drop(n int, why any) {
	s.dropped.Add(float64(n))
	s.lost.Add(int64(n))
	if s.unwell.CompareAndSwap(false, true) {
		s.log.Warn("traces: spans are dropped until the collector takes them again; runs go on as ever", "to", s.to, "err", why)
	}
}

func (s *sender) took(n int) {
	s.sent.Add(float64(n))
	if s.waiting.Load() < maxWaiting/2 && s.unwell.CompareAndSwap(true, false) {
		s.log.Info("traces: the collector takes spans again", "to", s.to, "dropped", s.lost.Swap(0))
	}
}

// exporter sends batches for a sender.
type exporter struct {
	sdk.SpanExporter
	*sender
}

// Shutdown is the exporter's, not the sender's.
func (e exporter) Shutdown(ctx context.Context) error { return e.SpanExporter.Shutdown(ctx) }

// ExportSpans never fails: what can't be sent is dropped and counted.
func (e exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.drop(len(spans), err)
		return nil
	}
	e.took(len(spans))
	return nil
}
