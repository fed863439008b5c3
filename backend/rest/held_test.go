package rest

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// one sends requests over one connection, which it never gives up.
type one struct {
	*site
	transport *http.Transport
	used      bool
}

// do returns how long the answer took.
func (o *one) do(method, path, body string) time.Duration {
	o.t.Helper()
	req := o.request(method, path, body)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		require.Equal(o.t, o.used, c.Reused, "%s %s", method, path)
		o.used = true
	}}))
	begun := time.Now()
	resp, err := o.transport.RoundTrip(req)
	require.NoError(o.t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(o.t, err)
	require.Less(o.t, resp.StatusCode, 300, "%s %s: %s", method, path, got)
	require.Contains(o.t, string(got), `"status":"in_progress"`)
	return time.Since(begun)
}

// The time in which a body has to arrive is over with the body: it ends no
// answer that is held for longer, neither that of the same request nor one
// that comes after it over the same connection.
func TestHeldOnAKeptConnection(t *testing.T) {
	t.Parallel()
	const bodyTime = 200 * time.Millisecond
	s := stocked(t)
	h, ok := s.server.Config.Handler.(*server)
	require.True(t, ok)
	h.bodyTime = bodyTime
	o := &one{site: s, transport: new(http.Transport)}
	t.Cleanup(o.transport.CloseIdleConnections)
	o.do("POST", "/jobs/mine/runs", "{}") // run 3
	require.GreaterOrEqual(t, o.do("GET", "/jobs/mine/runs/3?wait=500ms&until=done", ""), 2*bodyTime)
	require.GreaterOrEqual(t, o.do("POST", "/jobs/mine/runs?wait=500ms&until=done", "{}"), 2*bodyTime)
	o.do("GET", "/jobs/mine/runs/3", "")
}

// A server that stops answers what it holds, and what comes late, with the run as it is.
func TestStopEndsWaits(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	s := stocked(t, func(c *Config) { c.Stop = stop })
	require.Equal(t, 201, s.do("POST", "/jobs/mine/runs", "{}").status) // run 3
	held := make(chan answer, 1)
	go func() { held <- s.do("GET", "/jobs/mine/runs/3?wait=50s&until=done", "") }()
	close(stop)
	for _, got := range []answer{<-held, s.do("GET", "/jobs/mine/runs/3?wait=50s&until=done", ""), s.do("POST", "/jobs/mine/runs?wait=50s", "{}")} {
		require.Less(t, got.status, 300, got.body)
		require.Contains(t, got.body, `"status":"in_progress"`)
	}
}
