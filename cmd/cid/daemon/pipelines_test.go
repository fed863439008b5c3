package daemon

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend"
	"ci/backend/trace"
)

// With a token its settings are fine as they are: what stops it is the address
// that somebody else has, which comes after all checks.
func TestPipelinesAsAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("abc.def.ghi\n"), 0o600))
	for _, c := range []struct {
		says string
		args []string
	}{
		{"--token-file is required", nil},
		{"can't be read", []string{"--token-file", token + ".none"}},
		{"is not loopback", []string{"--token-file", token, "--listen", "0.0.0.0:1"}},
		{"can't listen on " + taken.Addr().String(), []string{"--token-file", token, "--listen", taken.Addr().String()}},
	} {
		var out, errs bytes.Buffer
		require.NotZero(t, Main(append([]string{"pipelines", "--data", t.TempDir()}, c.args...), &out, &errs))
		require.Contains(t, errs.String(), c.says)
	}
}

// A request that is under way when the process is told to end is answered.
func TestPipelinesEndWithAnAnswer(t *testing.T) {
	t.Parallel()
	asked, goOn := make(chan struct{}), make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/WhoAmI") {
			close(asked)
			<-goOn
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(api.Close)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	log := slog.New(slog.DiscardHandler)
	p, err := backend.OpenPipelines(ctx, backend.PipelinesConfig{
		Database: "sqlite:" + filepath.Join(t.TempDir(), "pipelines.db"), URL: api.URL, Token: func() string { return "a.b.c" }, Log: log, Stop: ctx.Done(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served, answered := make(chan error, 1), make(chan int, 1)
	go func() { served <- new(pipelineOptions).serve(ctx, p, l, log, new(trace.Tracer)) }()
	go func() {
		req, err := http.NewRequest(http.MethodGet, "http://"+l.Addr().String()+"/pipelines", nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer a.b.c")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-asked
	end()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, 5*time.Millisecond, "it takes no new connections")
	close(goOn)
	require.Equal(t, http.StatusUnauthorized, <-answered)
	require.NoError(t, <-served)
}
