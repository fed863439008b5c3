package rest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestWhoAmI asks with tokens of each kind, by REST and by Connect.
func TestWhoAmI(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	ends := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for _, c := range []struct {
		token ci.Token
		want  string
	}{
		{ci.Token{Name: "boss", Role: ci.RoleAdmin}, `"name":"boss","role":"admin","jobs":[],"agent":"","triggers":[]}`},
		{ci.Token{Name: "bot", Role: ci.RoleTrigger, Jobs: []string{"mine"}, ExpiresAt: ends}, `"name":"bot","role":"trigger","jobs":["mine"],"agent":"","expiresAt":"` + ends.Format(time.RFC3339) + `","triggers":[]}`},
		{ci.Token{Name: "m1", Role: ci.RoleAgent}, `"name":"m1","role":"agent","jobs":[],"agent":"m1","triggers":[]}`},
	} {
		auth := "Authorization: Bearer " + s.mint(c.token)
		for _, got := range []answer{s.do("GET", "/whoami", "", auth), s.do("POST", "/ci.v1.TokenService/WhoAmI", "{}", auth)} {
			require.Equal(t, 200, got.status, got.body)
			require.Contains(t, strings.TrimSpace(got.body), c.want)
		}
	}
	require.Equal(t, 400, s.do("GET", "/whoami?name=boss", "").status)
	require.Equal(t, 401, s.do("GET", "/whoami", "", "Authorization: Bearer a.b.c").status)
}

// TestFindRun asks for runs by their ids alone: whoever may not know of a run's
// job hears what one hears of a run that is not there.
func TestFindRun(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	limited := "Authorization: Bearer " + s.mint(ci.Token{Name: "lim", Role: ci.RoleRead, Jobs: []string{"mine"}})
	whole := s.do("GET", "/jobs/mine/runs/1", "")
	require.Equal(t, whole.body, s.do("GET", "/runs/1", "").body)
	require.Equal(t, whole.body, s.do("GET", "/runs/1?wait=1s&until=done", "", limited).body)
	require.Equal(t, 200, s.do("GET", "/runs/2", "").status)
	hidden, missing := s.do("GET", "/runs/2", "", limited), s.do("GET", "/runs/99", "", limited)
	require.Equal(t, 404, hidden.status)
	require.Contains(t, hidden.body, "there is no run 2")
	require.NotContains(t, hidden.body, "theirs")
	require.Contains(t, missing.body, "there is no run 99")
	require.Equal(t, 404, s.do("POST", "/ci.v1.RunService/FindRun", `{"id":2}`, limited).status)
	for path, status := range map[string]int{
		"/runs/0": 404, "/runs/-1": 404, "/runs/x": 404, "/runs/1.5": 404, "/runs/99999999999": 404,
		"/runs/1?until=done": 400, "/runs/1?wait=2h": 400, "/runs/1?job=mine": 400,
	} {
		require.Equal(t, status, s.do("GET", path, "").status, path)
	}
	require.Equal(t, 405, s.do("DELETE", "/runs/1", "").status)
}
