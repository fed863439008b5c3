package daemon

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "the queue is away")
		}
	})
	plain := httptest.NewServer(answer)
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(answer)
	secure.TLS = &tls.Config{}
	secure.StartTLS()
	t.Cleanup(secure.Close)
	ask := func(args ...string) (int, string) {
		var stderr bytes.Buffer
		code := Main(append([]string{"healthcheck"}, args...), io.Discard, &stderr)
		return code, stderr.String()
	}
	port := func(s *httptest.Server) string { return s.URL[strings.LastIndex(s.URL, ":"):] }

	for _, host := range []string{"127.0.0.1", "0.0.0.0", ""} {
		code, said := ask("--listen", host+port(plain))
		require.Zero(t, code, said)
	}
	code, said := ask("--listen", "0.0.0.0"+port(secure), "--tls-cert", "any")
	require.Zero(t, code, said)
	code, said = ask("--listen", "0.0.0.0"+port(plain), "--ready")
	require.NotZero(t, code)
	require.Contains(t, said, "the queue is away")
	plain.Close()
	code, said = ask("--listen", "0.0.0.0"+port(plain))
	require.NotZero(t, code)
	require.Contains(t, said, "cid does not answer")
	code, said = ask("--listen", "nonsense")
	require.NotZero(t, code)
	require.Contains(t, said, "--listen")
}
