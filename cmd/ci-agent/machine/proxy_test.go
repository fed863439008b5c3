package machine

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join([]string{r.Method, r.Host, r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("Via")}, " "))
	}))
	h, err := proxy(api.URL, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	ask := func(target string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "POST", target, nil)
		r.Host = "127.0.0.1:4208"
		r.Header.Set("Authorization", "Bearer run.1.x")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	host := strings.TrimPrefix(api.URL, "http://")
	require.Equal(t, "POST "+host+" /jobs/x?a=b Bearer run.1.x 1.1 ci-agent", ask("/jobs/x?a=b").Body.String())
	require.Equal(t, "POST "+host+" /x Bearer run.1.x 1.1 ci-agent", ask("http://elsewhere.example/x").Body.String(), "it goes to the API alone")

	api.Close()
	away := ask("/jobs/x")
	require.Equal(t, http.StatusServiceUnavailable, away.Code)
	require.Equal(t, "application/problem+json", away.Header().Get("Content-Type"))
	require.Contains(t, away.Body.String(), `"code":"unavailable"`)
	require.NotContains(t, away.Body.String(), host)

	for _, bad := range []string{"", "ci.example.com", "ftp://ci.example.com", "https://", "%zz"} {
		_, err := proxy(bad, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "--url", bad)
	}
}
