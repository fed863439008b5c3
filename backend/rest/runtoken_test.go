package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/auth"
	"ci/pkg/ci"
)

// The runs of scriptSite.
const (
	ownRun      = "1" // of job mine; its script calls
	foreignRun  = "2" // of job theirs
	strangerRun = "3" // of job child; triggered by somebody else
	childRun    = "4" // of job child; triggered by ownRun's script
)

// scriptSite has the token of a run's script. All that is not for it is called "canary".
func scriptSite(t *testing.T) (*site, string) {
	t.Helper()
	s := newSite(t, func(c *Config) { c.Metrics = http.NotFoundHandler() })
	for _, name := range []string{"mine", "theirs", "child"} {
		doc := `{"script":"true"}`
		if name == "theirs" {
			doc = `{"script":"echo canary"}`
		}
		_, err := s.PutJob(t.Context(), &ci.Job{Name: name, Freestyle: []byte(doc), Parameters: []ci.Parameter{{Name: "P"}}}, 0)
		require.NoError(t, err)
	}
	me := ci.RunRef{Job: "mine", Run: 1}
	for i, trigger := range []ci.Trigger{
		{Job: "mine"},
		{Job: "theirs", Parameters: map[string]string{"P": "canary"}},
		{Job: "child", Parameters: map[string]string{"P": "canary"}, Parent: &ci.RunRef{Job: "mine", Run: 99}},
		{Job: "child", Parent: &me},
	} {
		run, _, err := s.Trigger(t.Context(), trigger)
		require.NoError(t, err)
		require.EqualValues(t, i+1, run.ID)
		text := "fine\n"
		if trigger.Parameters != nil {
			text = "canary\n"
		}
		s.say(run.ID, text)
		s.putResult(run.ID, "junit", "junit.zip", "application/zip", []byte(text))
	}
	return s, s.runToken("mine", 1, "child")
}

// TestRunTokenMatrix tries every route with the token of a run's script, on
// its own run, a child of it, a stranger's run of the same job as the child, and a foreign job.
func TestRunTokenMatrix(t *testing.T) {
	t.Parallel()
	s, bearer := scriptSite(t)
	for _, route := range restRoutes(t) {
		if route.Public || route.Action == auth.MetricsRead {
			continue
		}
		for _, on := range [][2]string{{"mine", ownRun}, {"child", childRun}, {"child", strangerRun}, {"theirs", foreignRun}, {"nothing", foreignRun}} {
			job, run := on[0], on[1]
			got := s.do(route.Method, fillPath(route.Pattern, job, run), "", "Authorization: Bearer "+bearer)
			what := fmt.Sprintf("%s %s on %s/%s: %d: %s", route.Method, route.Pattern, job, run, got.status, got.body)
			require.NotContains(t, got.body, "canary", what)
			require.Less(t, got.status, 500, what)
			require.NotEqual(t, 401, got.status, what)
			ofJob, ofRun := strings.Contains(route.Pattern, "{name}"), strings.Contains(route.Pattern, "{id}")
			switch {
			case route.Action != auth.JobRead && route.Action != auth.SelfRead &&
				(!strings.HasPrefix(string(route.Action), "run.") || route.Action == auth.RunPin || route.Action == auth.RunWithdraw):
				require.Contains(t, []int{403, 404}, got.status, what)
			case ofJob && (job == "theirs" || job == "nothing"), ofRun && (run == strangerRun || run == foreignRun):
				require.Equal(t, 404, got.status, what)
			case job == "mine" && route.Action != auth.RunRead && route.Action != auth.JobRead && ofJob:
				require.Equal(t, 403, got.status, what)
			default:
				require.Less(t, got.status, 404, what)
			}
		}
	}
}

// TestRunTokenLists looks at every list that a script could learn of others' runs from.
func TestRunTokenLists(t *testing.T) {
	t.Parallel()
	s, bearer := scriptSite(t)
	token := "Authorization: Bearer " + bearer
	for path, want := range map[string][]int{
		"/runs":                               {1},
		"/runs?parent=1":                      {4},
		"/runs?job=child":                     {4},
		"/runs?job=child&parent=1":            {4},
		"/runs?job=child&parent=99":           {},
		"/runs?parent=99":                     {},
		"/jobs/child/runs":                    {4},
		"/jobs/child/runs?parent=99":          {},
		"/jobs/mine/runs":                     {1},
		"/jobs/child/runs?status=in_progress": {4},
	} {
		got := s.do("GET", path, "", token)
		require.Equal(t, 200, got.status, path)
		var list struct{ Runs []struct{ ID int } }
		require.NoError(t, json.Unmarshal([]byte(got.body), &list))
		ids := []int{}
		for _, r := range list.Runs {
			ids = append(ids, r.ID)
		}
		require.Equal(t, want, ids, path)
	}
	jobs := s.do("GET", "/jobs", "", token)
	require.Equal(t, 200, jobs.status)
	require.Contains(t, jobs.body, `"child"`)
	require.NotContains(t, jobs.body, "theirs")
	for _, path := range []string{"/events", "/events?job=mine", "/events?job=child"} {
		require.Equal(t, 403, s.do("GET", path, "", token).status, path)
	}
	require.Equal(t, 404, s.do("GET", "/runs?job=theirs", "", token).status)
}

// TestRunTokenWithdrawsNothing has a script know the key of somebody else's trigger:
// it learns nothing of the run that the key has made, and takes no key from anybody.
func TestRunTokenWithdrawsNothing(t *testing.T) {
	t.Parallel()
	s, bearer := scriptSite(t)
	token := "Authorization: Bearer " + bearer
	made := s.do("POST", "/jobs/child/runs", `{"parameters":{"P":"canary"}}`, "Idempotency-Key: theirs")
	require.Equal(t, 201, made.status, made.body)
	for job, status := range map[string]int{"child": 403, "mine": 403, "theirs": 404, "nothing": 404} {
		for _, key := range []string{"theirs", "later"} {
			got := s.do("POST", "/jobs/"+job+"/runs:withdraw", "", token, "Idempotency-Key: "+key)
			require.Equal(t, status, got.status, "%s: %s", job, got.body)
			require.NotContains(t, got.body, "canary")
		}
		if status == 403 {
			later := s.do("POST", "/jobs/"+job+"/runs", `{}`, "Idempotency-Key: later")
			require.Equal(t, 201, later.status, later.body)
		}
	}
	require.Equal(t, 403, s.do("POST", "/ci.v1.RunService/WithdrawTrigger", `{"name":"child","idempotencyKey":"theirs"}`, token).status)
	found := s.do("POST", "/jobs/child/runs:withdraw", "", "Idempotency-Key: theirs")
	require.Equal(t, 200, found.status, found.body)
	require.Contains(t, found.body, `"id":5`)
}

// TestRunTokenTriggers makes children, and fails to make what is not allowed.
func TestRunTokenTriggers(t *testing.T) {
	t.Parallel()
	s, bearer := scriptSite(t)
	token := "Authorization: Bearer " + bearer
	made := s.do("POST", "/jobs/child/runs", `{}`, token)
	require.Equal(t, 201, made.status, made.body)
	require.Contains(t, made.body, `"parent":{"job":"mine","run":1}`)
	require.Contains(t, made.body, `"triggeredBy":"mine/1"`)
	batch := s.do("POST", "/runs:batch", `{"runs":[{"job":"child"},{"job":"child"}]}`, token)
	require.Equal(t, 201, batch.status, batch.body)
	require.Equal(t, 2, strings.Count(batch.body, `"parent":{"job":"mine","run":1}`))
	require.Equal(t, 403, s.do("POST", "/runs:batch", `{"runs":[{"job":"child"},{"job":"mine"}]}`, token).status)
	require.Equal(t, 404, s.do("POST", "/runs:batch", `{"runs":[{"job":"child"},{"job":"theirs"}]}`, token).status)
	require.Equal(t, 202, s.do("POST", "/jobs/child/runs/4/abort", "", token).status)

	for procedure, body := range map[string]string{ // Connect goes through the same gate
		"GetRun":      `{"name":"child","id":3}`,
		"AbortRun":    `{"name":"child","id":3}`,
		"ListResults": `{"name":"child","id":3}`,
		"ExplainRun":  `{"name":"child","id":3}`,
		"TriggerRun":  `{"name":"theirs"}`,
	} {
		require.Equal(t, 404, s.do("POST", "/ci.v1.RunService/"+procedure, body, token).status, procedure)
	}
	require.Equal(t, 404, s.do("GET", "/runs/3", "", token).status, "a run by its id alone is behind the same gate")
	require.Equal(t, 404, s.do("GET", "/runs/2", "", token).status)
	require.Equal(t, 200, s.do("GET", "/runs/1", "", token).status)
	self := s.do("GET", "/whoami", "", token)
	require.Equal(t, 200, self.status)
	require.Contains(t, self.body, `"name":"mine/1","role":"run"`)
	require.Contains(t, self.body, `"run":{"job":"mine","run":1},"triggers":["child"]`)
	people := s.do("GET", "/tokens", "")
	require.Equal(t, 200, people.status)
	require.NotContains(t, people.body, "mine/1")
	require.NotContains(t, people.body, `"run"`, "runs' tokens are not among people's")
}
