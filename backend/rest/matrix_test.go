package rest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/auth"
	"ci/pkg/ci"
)

// stocked is a site with two jobs, "mine" and "theirs", a done run of each (1
// and 2), a result and an agent.
func stocked(t testing.TB, change ...func(*Config)) *site {
	t.Helper()
	s := newSite(t, change...)
	for i, name := range []string{"mine", "theirs"} {
		_, err := s.PutJob(t.Context(), &ci.Job{Name: name, Freestyle: []byte(`{"script":"true"}`)}, 0)
		require.NoError(t, err)
		run, _, err := s.Trigger(t.Context(), ci.Trigger{Job: name})
		require.NoError(t, err)
		require.EqualValues(t, i+1, run.ID)
		s.say(run.ID, "hello\nworld\n")
		s.putResult(run.ID, "junit", "junit.zip", "application/zip", []byte("0123456789"))
		s.finish(run.ID)
	}
	s.agents["agent"] = ci.Agent{ID: "agent", Runs: []int64{2}}
	return s
}

// fillPath puts values into a pattern.
func fillPath(pattern, job, id string) string {
	if strings.HasPrefix(pattern, "/agents") {
		id = "agent"
	}
	if strings.HasPrefix(pattern, "/tokens") {
		id = "00000000-0000-0000-0000-000000000000"
	}
	return strings.NewReplacer("{name}", job, "{id}", id, "{result}", "junit", "{key}", "TOKEN", "{host}", "docker.io").Replace(pattern)
}

// TestMatrix tries every route with every role, on a job that the token may
// know of and on one that it may not. It is made of the route table: a new
// route is in it at once.
func TestMatrix(t *testing.T) {
	t.Parallel()
	s := stocked(t, func(c *Config) { c.Metrics = http.NotFoundHandler() })
	for _, route := range restRoutes(t) {
		if route.Public || route.Action == auth.MetricsRead || route.Pattern == "/events" {
			continue // tested apart
		}
		for _, role := range ci.Roles {
			for _, limited := range []bool{false, true} {
				if limited && (role == ci.RoleAdmin || role == ci.RoleAgent) {
					continue
				}
				for id, job := range map[string]string{"1": "mine", "2": "theirs"} {
					token := ci.Token{Name: "t" + s.nextName(), Role: role}
					if limited {
						token.Jobs = []string{"mine"}
					}
					got := s.do(route.Method, fillPath(route.Pattern, job, id), "", "Authorization: Bearer "+s.mint(token))
					p := auth.Principal{Role: role, Jobs: token.Jobs}
					about := ""
					if strings.Contains(route.Pattern, "{name}") {
						about = job
					}
					what := route.Method + " " + route.Pattern + " as " + string(role) + " on " + job
					switch err := auth.May(p, route.Action, about); ci.CodeOf(err) {
					case ci.CodeForbidden:
						require.Equal(t, 403, got.status, "%s: %s", what, got.body)
					case ci.CodeNotFound:
						require.Equal(t, 404, got.status, "%s: %s", what, got.body)
						require.Contains(t, got.body, "there is no job", what)
					default:
						require.NotContains(t, []int{401, 403}, got.status, "%s: %s", what, got.body)
						require.Less(t, got.status, 500, "%s: %s", what, got.body)
					}
					s.restock()
				}
			}
		}
		none := s.do(route.Method, fillPath(route.Pattern, "mine", "1"), "", "Authorization: ")
		require.Equal(t, 401, none.status, route.Pattern)
		require.Equal(t, `Bearer realm="ci"`, none.header.Get("WWW-Authenticate"))
		require.Equal(t, "application/problem+json", none.header.Get("Content-Type"))
	}
}

func (s *site) nextName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Repeat("x", len(s.world.tokens)%90+1)
}

// restock puts back what a DELETE took away.
func (s *site) restock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"mine", "theirs"} {
		if _, ok := s.jobs[name]; !ok {
			s.jobs[name] = ci.Job{Name: name, Freestyle: []byte(`{"script":"true"}`), Version: 1}
		}
	}
}

// TestConnectMatrix does the same over Connect, where errors have another shape.
func TestConnectMatrix(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	h := s.server.Config.Handler.(*server)
	for procedure, m := range h.rpc.Methods() {
		if m.Stream() {
			continue
		}
		for _, role := range ci.Roles {
			got := s.do("POST", procedure, "{}", s.as(role))
			if auth.May(auth.Principal{Role: role}, m.Action, "") != nil {
				require.Equal(t, 403, got.status, "%s as %s: %s", procedure, role, got.body)
				require.Contains(t, got.body, `"code":"permission_denied"`)
			} else {
				require.NotEqual(t, 403, got.status, "%s as %s: %s", procedure, role, got.body)
			}
			s.restock()
		}
		none := s.do("POST", procedure, "{}", "Authorization: ")
		require.Equal(t, 401, none.status)
		require.Contains(t, none.body, `"code":"unauthenticated"`)
	}
	limited := "Authorization: Bearer " + s.mint(ci.Token{Name: "lim", Role: ci.RoleTrigger, Jobs: []string{"mine"}})
	require.Equal(t, 404, s.do("POST", "/ci.v1.RunService/GetRun", `{"name":"theirs","id":2}`, limited).status)
	require.Equal(t, 200, s.do("POST", "/ci.v1.RunService/GetRun", `{"name":"mine","id":1}`, limited).status)
	require.Equal(t, 404, s.do("POST", "/ci.v1.RunService/TriggerRuns", `{"runs":[{"job":"mine"},{"job":"theirs"}]}`, limited).status)
	bad := s.do("POST", "/ci.v1.RunService/GetRun", `{"name":"mine","idd":1}`)
	require.Equal(t, 400, bad.status)
	require.Contains(t, bad.body, "idd: is not known here")
}

// TestHidden looks at everything that a limited token could learn of others' jobs from.
func TestHidden(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	limited := "Authorization: Bearer " + s.mint(ci.Token{Name: "lim", Role: ci.RoleTrigger, Jobs: []string{"mine"}})
	for _, path := range []string{"/jobs", "/runs", "/runs?job=mine"} {
		got := s.do("GET", path, "", limited)
		require.Equal(t, 200, got.status, got.body)
		require.Contains(t, got.body, "mine")
		require.NotContains(t, got.body, "theirs")
	}
	absent := s.do("GET", "/jobs/nothing/runs/2", "", limited)
	foreign := s.do("GET", "/jobs/theirs/runs/2", "", limited)
	wrongJob := s.do("GET", "/jobs/mine/runs/2", "", limited)
	require.Equal(t, []int{404, 404, 404}, []int{absent.status, foreign.status, wrongJob.status})
	same := func(a answer, job string) string {
		_, rest, _ := strings.Cut(strings.ReplaceAll(a.body, job, "X"), `"detail"`)
		rest, _, _ = strings.Cut(rest, `"requestId"`)
		return rest
	}
	require.Equal(t, same(absent, "nothing"), same(foreign, "theirs"), "not there and not to be seen are one")
	require.Equal(t, 404, s.do("GET", "/runs?job=theirs", "", limited).status)
	require.Equal(t, 404, s.do("GET", "/events?job=theirs", "", limited).status)
	require.Equal(t, 404, s.do("POST", "/runs:batch", `{"runs":[{"job":"theirs"}]}`, limited).status)
	require.NotContains(t, s.do("GET", "/agents", "", limited).body, `"runs":[2]`)
	require.Contains(t, s.do("GET", "/agents", "").body, `"runs":[2]`)
}
