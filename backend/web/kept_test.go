package web_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestKeptNoLonger has the pages of a run say that its console and its results
// went, and not that something is wrong.
func TestKeptNoLonger(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.job("unit")
	for range 2 {
		run := s.start("unit", nil)
		run.print("printed\n")
		run.save("junit", "a.xml", `<testsuite name="s"><testcase classname="c" name="Steady"/></testsuite>`)
		run.end(ci.OutcomeSucceeded, "")
	}
	c, err := s.admin.GetConfig(t.Context())
	require.NoError(t, err)
	c.Keep = &ci.Keep{Results: &ci.Limits{Count: 1}, Console: &ci.Limits{Count: 1}}
	_, err = s.admin.PutConfig(t.Context(), c, 0)
	require.NoError(t, err)
	require.NoError(t, s.retain(t.Context()))

	b := s.signedIn(ci.RoleRead)
	p := b.get("/ui/jobs/unit/runs/1")
	lawful(t, p)
	require.Contains(t, p.body, "the console of run 1 of job")
	require.Contains(t, p.body, "ci rerun unit/1")
	require.Contains(t, p.body, "kept no longer; it went")
	require.NotContains(t, p.body, "can&#39;t be shown")
	require.NotContains(t, p.body, `href="/ui/jobs/unit/runs/1/results/junit"`)
	require.Equal(t, 410, b.get("/ui/jobs/unit/runs/1/console").status)
	require.Equal(t, 410, b.get("/ui/jobs/unit/runs/1/results/junit").status)
	require.Equal(t, 410, b.get("/ui/jobs/unit/runs/1/tests/junit").status)
	require.Contains(t, b.get("/ui/jobs/unit/runs/2").body, "printed")
	p = b.get("/ui/jobs/unit/tests")
	lawful(t, p)
	require.Contains(t, p.body, "Steady", "what went hides no others")
}
