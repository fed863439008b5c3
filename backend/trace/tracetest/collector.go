// Package tracetest is a collector for tests: it takes spans by OTLP, over HTTP and
// over gRPC, and remembers them.
package tracetest

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// patience is how long a span may be on its way on a machine that is busy.
const patience = 2 * time.Minute

// Span is what a test wants to know of a span.
type Span struct {
	// Trace, ID and Parent are in hex; Parent is "" for the first span of a trace.
	Trace, ID, Parent string
	Name              string
	Began, Ended      time.Time
	// Attributes are those of the span, as text; Service is who sent it.
	Attributes map[string]string
	Service    string
	// Failed says that its status is an error, Says what the status says.
	Failed bool
	Says   string
}

// Collector remembers what it was told. It is safe for concurrent use.
type Collector struct {
	collect.UnimplementedTraceServiceServer
	// HTTP and GRPC are where it is: http://… and HOST:PORT.
	HTTP, GRPC string

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
}

// Start starts a collector for the time of a test.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.serveHTTP)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	rpc := grpc.NewServer()
	collect.RegisterTraceServiceServer(rpc, c)
	var serving sync.WaitGroup
	serving.Go(func() { _ = rpc.Serve(listener) })
	t.Cleanup(func() { rpc.Stop(); serving.Wait() })
	c.HTTP, c.GRPC = server.URL, listener.Addr().String()
	return c
}

func (c *Collector) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in collect.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.take(&in, r.Header)
}

// Export is gRPC's.
func (c *Collector) Export(ctx context.Context, in *collect.ExportTraceServiceRequest) (*collect.ExportTraceServiceResponse, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	header := http.Header{}
	for name, values := range sent {
		for _, v := range values {
			header.Add(name, v)
		}
	}
	c.take(in, header)
	return &collect.ExportTraceServiceResponse{}, nil
}

func (c *Collector) take(in *collect.ExportTraceServiceRequest, header http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = append(c.headers, header)
	for _, resource := range in.GetResourceSpans() {
		service := texts(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Name: s.GetName(), Began: time.Unix(0, int64(s.GetStartTimeUnixNano())).UTC(), Ended: time.Unix(0, int64(s.GetEndTimeUnixNano())).UTC(),
					Attributes: texts(s.GetAttributes()), Service: service,
					Failed: s.GetStatus().GetCode() == spans.Status_STATUS_CODE_ERROR, Says: s.GetStatus().GetMessage(),
				})
			}
		}
	}
}

func texts(list []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		text := kv.GetValue().GetStringValue()
		if _, is := kv.GetValue().GetValue().(*common.AnyValue_StringValue); !is {
			text = kv.GetValue().String()
		}
		m[kv.GetKey()] = text
	}
	return m
}

// Headers are those of every request that came.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.headers)
}

// Spans are all that came so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Find returns the first span that one is, and fails the test when none comes.
func (c *Collector) Find(t testing.TB, what string, is func(Span) bool) Span {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		list := c.Spans()
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i]
		}
		if time.Now().After(deadline) {
			require.Failf(t, "no such span", "%s; there are %+v", what, list)
		}
	}
}

// Named finds the span of a name in a trace; trace "" is any.
func (c *Collector) Named(t testing.TB, trace, name string) Span {
	t.Helper()
	return c.Find(t, name, func(s Span) bool { return s.Name == name && (trace == "" || s.Trace == trace) })
}
