package rest

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// A layer gets what is below its prefix, from callers that are known, and nothing else.
func TestLayers(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *Config) {
		c.Layers = map[string]http.Handler{"/above": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("layer " + r.URL.Path))
		})}
	})
	open := newSite(t, func(c *Config) {
		c.Doors = map[string]http.Handler{"/door": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("door " + r.Header.Get("Authorization")))
		})}
	})
	for path, want := range map[string]int{"/door": 200, "/door/x": 200, "/door2": 401, "/door%2fx": 401, "/jobs": 401} {
		require.Equal(t, want, open.do("GET", path, "", "Authorization: Bearer a.b.c").status, path)
	}
	require.Equal(t, "door Bearer a.b.c", open.do("GET", "/door", "", "Authorization: Bearer a.b.c").body, "a door finds out who calls")
	require.Equal(t, 403, open.do("POST", "/door", "", "Origin: https://evil.test").status, "no other site's page gets in")
	token := "Authorization: Bearer " + s.mint(ci.Token{Name: "reader", Role: ci.RoleRead})
	for path, want := range map[string]int{"/above": 200, "/above/x/1": 200, "/above2": 404, "/x/above": 404, "/above%2fx": 404, "/jobs": 200} {
		got := s.do("GET", path, "", token)
		require.Equal(t, want, got.status, "%s: %s", path, got.body)
		require.Equal(t, 401, s.do("GET", path, "", "Authorization: Bearer a.b.c").status, path)
	}
}
