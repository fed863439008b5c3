package web

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// The API hears for whom a page asks, and that the peer does not speak for itself.
func TestWhatTheAPISees(t *testing.T) {
	t.Parallel()
	var seen *http.Request
	v := visitTo(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		w.WriteHeader(http.StatusNotFound)
	}, "http://ci.example.com/ui/")
	_, err := v.api.GetJob(t.Context(), "unit")
	require.Error(t, err)
	require.Equal(t, "ci.example.com", seen.Host)
	require.Equal(t, v.r.RemoteAddr, seen.RemoteAddr)
	require.NotEmpty(t, seen.RemoteAddr)
	require.NotEmpty(t, seen.Header.Get("Via"))
	require.Equal(t, "Bearer a.b.c", seen.Header.Get("Authorization"))
	require.Equal(t, "ci-pages", seen.UserAgent())
}
