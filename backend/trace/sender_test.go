package trace

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"ci/backend/trace/tracetest"
	"ci/pkg/ci"
	"ci/pkg/porttest"
)

// TestDeadCollector: nobody waits for one that is away, silent or refuses; what it
// does not take is counted, and said once.
func TestDeadCollector(t *testing.T) {
	t.Parallel()
	refuses := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(refuses.Close)
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // it accepts, and never answers
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	gone, _ := porttest.Refusing(t)
	for name, endpoint := range map[string]string{
		"away": "http://" + gone, "away, gRPC": "grpc://" + gone,
		"silent": "http://" + silent.Addr().String(), "silent, gRPC": "grpc://" + silent.Addr().String(), "refuses": refuses.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log lines
			reg := prometheus.NewRegistry()
			tr, err := Open(t.Context(), Config{Endpoint: endpoint, Getenv: env(), Program: "cid", Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: reg})
			require.NoError(t, err)
			at := time.Now()
			for id := range int64(2000) { // 16,000 spans: more than may wait
				tr.Done(doneRun(id, ci.OutcomeSucceeded, at))
			}
			require.Less(t, time.Since(at), 30*time.Second)
			require.Positive(t, count(t, reg, "dropped"))
			require.Zero(t, count(t, reg, "sent"))
			require.Equal(t, 1, strings.Count(log.String(), "spans are dropped"), log.String())
			closing := time.Now()
			require.NoError(t, tr.Close())
			require.Less(t, time.Since(closing), 30*time.Second)
			require.Equal(t, 1, strings.Count(log.String(), "spans are dropped"), log.String())
		})
	}
}

// TestCollectorComesBack: what it missed is gone, what comes after is there, and both are said.
func TestCollectorComesBack(t *testing.T) {
	t.Parallel()
	c := tracetest.Start(t)
	var mu sync.Mutex
	away := true
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if away {
			http.Error(w, "maintenance", http.StatusBadRequest) // which is not tried again
			return
		}
		http.Redirect(w, r, c.HTTP+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(proxy.Close)
	var log lines
	tr, err := Open(t.Context(), Config{Endpoint: proxy.URL, Getenv: env(), Program: "cid", Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	lost := tr.Begin(t.Context(), "lost")
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "spans are dropped") }, time.Minute, 10*time.Millisecond)
	mu.Lock()
	away = false
	mu.Unlock()
	found := tr.Begin(t.Context(), "found")
	c.Named(t, found.ID, "TRIGGER found")
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "takes spans again") }, time.Minute, 10*time.Millisecond)
	for _, s := range c.Spans() {
		require.NotEqual(t, lost.ID, s.Trace)
	}
}

func count(t *testing.T, reg *prometheus.Registry, result string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "ci_trace_spans_total" && is(m, result) {
				return m.GetCounter().GetValue()
			}
		}
	}
	require.Fail(t, "no counter", result)
	return 0
}

func is(m *dto.Metric, result string) bool { return m.GetLabel()[0].GetValue() == result }

// lines is a log that tests may read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
