package runner

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestServeHTTP(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			close(held)
			<-r.Context().Done()
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	here, there := net.Pipe()
	served := make(chan struct{})
	go func() { defer close(served); serveHTTP(ctx, there, h) }()

	answers := bufio.NewReader(here)
	for _, body := range []string{"one", "two"} { // on one connection
		req, err := http.NewRequestWithContext(ctx, "POST", "http://127.0.0.1/echo", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, req.Write(here))
		resp, err := http.ReadResponse(answers, req)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, body, string(got))
	}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://127.0.0.1/hold", nil)
	require.NoError(t, err)
	require.NoError(t, req.Write(here))
	<-held
	cancel() // the run's end ends an answer that is held
	<-served
	_, err = io.Copy(io.Discard, answers)
	require.NoError(t, err)

	for _, sent := range []string{"", "GARBAGE\r\n\r\n", "GET / HTTP/1.1\r\n"} { // and so does a caller who hangs up
		here, there := net.Pipe()
		served := make(chan struct{})
		go func() { defer close(served); serveHTTP(t.Context(), there, h) }()
		go func() { _, _ = io.Copy(io.Discard, here) }()
		_, _ = io.WriteString(here, sent)
		require.NoError(t, here.Close())
		<-served
	}
}

func TestOfferAPI(t *testing.T) {
	t.Parallel()
	offer := func(token string, h http.Handler) Order {
		r := &Runner{cfg: Config{API: h}, work: ci.Work{Token: token, Run: ci.Run{Spec: &ci.Spec{}}}}
		return r.order()
	}
	with := offer("run.1.secret", http.NotFoundHandler())
	require.Len(t, with.Relays, 1)
	require.Subset(t, with.Env, []string{"CI_URL=http://127.0.0.1:4208", "CI_TOKEN=run.1.secret"})
	for _, without := range []Order{offer("", http.NotFoundHandler()), offer("run.1.secret", nil)} {
		require.Empty(t, without.Relays)
		require.NotContains(t, strings.Join(without.Env, "\n"), "CI_URL")
	}
}
