package provider_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestAnswerIsLost: a job is made, and the connection breaks before anybody
// hears of it. The call is repeated, and what it finds is its own job.
func TestAnswerIsLost(t *testing.T) {
	t.Parallel()
	c := setup(t)
	target, err := url.Parse(c.url)
	require.NoError(t, err)
	var lost atomic.Int32
	before := func() {} // what somebody does before the call gets through
	forward := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/PutJob") || lost.Add(1) > 1 {
			forward.ServeHTTP(w, r)
			return
		}
		before()
		forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}))
	t.Cleanup(proxy.Close)
	require.Empty(t, c.configure(map[string]any{"url": proxy.URL, "token": c.token}))

	config := map[string]any{"name": "unit", "freestyle": `{ "script": "make" }`, "parameters": []any{map[string]any{"name": "LEVEL"}}}
	require.EqualValues(t, 1, c.resource("ci_job").apply(config)["version"])
	require.EqualValues(t, 2, lost.Load())

	// Somebody else's job of the same moment is not taken for it.
	lost.Store(0)
	before = func() {
		_, _, err := c.admin.PutJob(t.Context(), &ci.Job{Name: "other", Freestyle: []byte(`{"script": "true"}`)}, 0)
		if err != nil {
			t.Error(err)
		}
	}
	require.Contains(t, lines(c.resource("ci_job").try(with(config, map[string]any{"name": "other"}))), "tofu import ADDRESS other")
}
