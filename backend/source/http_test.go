package source_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/source"
	"ci/pkg/ci"
)

// A private repository is read with what a forge has given out for it, and with nothing else.
func TestPrivateOverHTTP(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	open := &ci.HTTPAccess{Username: "x-access-token", Password: "ghs_secret"}
	w := r.serve(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") != open.Authorization() {
				rw.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
				http.Error(rw, "no", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(rw, req)
		})
	})
	s := planner(t, nil, w.host())
	read := func(access *ci.HTTPAccess) (file string, err error) {
		err = s.Plan(t.Context(), job(w.url(), "ci/test.yaml"), ci.GitAccess{HTTP: access}, "", "main", func(_ string, f []byte, more source.Read) error {
			file = string(f)
			_, err := more("ci/full.yaml") // by a conversation of its own
			return err
		})
		return file, err
	}
	file, err := read(open)
	require.NoError(t, err)
	require.Equal(t, jobFile, file)
	for _, access := range []*ci.HTTPAccess{nil, {Username: "x-access-token", Password: "ghs_other"}} {
		_, err = read(access)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
		require.ErrorContains(t, err, "does not let us in")
		require.NotContains(t, err.Error(), "ghs_")
	}
}

// What opens a repository is not shown to where it redirects to.
func TestRedirectGetsNoAccess(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	var mu sync.Mutex
	var shown []string
	elsewhere := r.serve(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			mu.Lock()
			shown = append(shown, req.Header.Get("Authorization"))
			mu.Unlock()
			next.ServeHTTP(rw, req)
		})
	})
	w := r.serve(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			http.Redirect(rw, req, elsewhere.URL+req.URL.RequestURI(), http.StatusFound)
		})
	})
	s := planner(t, nil, w.host(), elsewhere.host())
	err := s.Plan(t.Context(), job(w.url(), "ci/test.yaml"), ci.GitAccess{HTTP: &ci.HTTPAccess{Username: "x", Password: "ghs_secret"}}, "", "main",
		func(string, []byte, source.Read) error { return nil })
	require.ErrorContains(t, err, "redirects to another address")
	require.Empty(t, shown)
}
