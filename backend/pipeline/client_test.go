package pipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/api"
	"ci/pkg/ci"
)

// client calls the service as anybody would.
func (s *site) client(token string) *api.Client {
	s.t.Helper()
	c, err := api.New(api.Config{URL: s.url, Token: token, Retry: 5 * time.Second})
	require.NoError(s.t, err)
	return c
}

// TestClient goes through every method of the client against the real handler.
func TestClient(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), setup(t)
	s.held["long"] = true
	c := s.client("boss")
	p := &ci.Pipeline{Name: "p", Program: "p = params(n = 1)\napprove('go?')\nall(run('a', params = {'N': p.n}))"}
	put, created, err := c.PutPipeline(ctx, p, 0)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, []ci.PipelineParameter{{Name: "n", Type: "int", Default: "1"}}, put.Parameters)
	_, _, err = c.PutPipeline(ctx, p, 7)
	require.Equal(t, ci.CodeStale, ci.CodeOf(err))
	source := &ci.PipelineSource{URL: "https://h/x", Commit: "0123456789012345678901234567890123456789", Path: "p.star"}
	put, created, err = c.PutPipeline(ctx, &ci.Pipeline{Name: "p", Program: p.Program, Source: source}, put.Version)
	require.NoError(t, err)
	require.False(t, created)
	got, err := c.GetPipeline(ctx, "p")
	require.NoError(t, err)
	require.Equal(t, put, got)
	require.Equal(t, source, got.Source)
	_, _, err = c.PutPipeline(ctx, &ci.Pipeline{Name: "endless", Program: "run('long')"}, 0)
	require.NoError(t, err)
	var names []string
	for p, err := range c.ListPipelines(ctx) {
		require.NoError(t, err)
		names = append(names, p.Name)
	}
	require.Equal(t, []string{"endless", "p"}, names)

	run, err := c.RunPipeline(ctx, "p", map[string]string{"n": "2"}, "once")
	require.NoError(t, err)
	again, err := c.RunPipeline(ctx, "p", map[string]string{"n": "2"}, "once")
	require.NoError(t, err)
	require.Equal(t, run.ID, again.ID)
	_, err = c.RunPipeline(ctx, "p", map[string]string{"n": "x"}, "")
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
	for !waiting(ci.CallApprove)(run) {
		run, err = c.WaitPipelineRun(ctx, "p", run.ID, run.Progress())
		require.NoError(t, err)
	}
	_, err = c.AnswerPipeline(ctx, "p", run.ID, run.Calls[0].ID, true, "fine")
	require.NoError(t, err)
	_, err = c.AnswerPipeline(ctx, "p", run.ID, run.Calls[0].ID, true, "fine")
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	done, err := c.WaitPipelineRun(ctx, "p", run.ID, -1)
	require.NoError(t, err)
	require.Equal(t, ci.OutcomeSucceeded, done.Outcome, done.Reason)
	require.Equal(t, map[string]string{"N": "2"}, s.runs[0].Parameters)
	seen, err := c.GetPipelineRun(ctx, "p", run.ID)
	require.NoError(t, err)
	require.Equal(t, done, seen)

	rerun, err := c.RerunPipeline(ctx, "p", run.ID, false, "")
	require.NoError(t, err)
	require.Equal(t, run.ID, rerun.RerunOf)
	_, err = c.RerunPipeline(ctx, "p", run.ID, true, "")
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	aborted, err := c.AbortPipelineRun(ctx, "p", rerun.ID)
	require.NoError(t, err)
	require.False(t, aborted.AbortRequestedAt.IsZero())
	_, err = c.WaitPipelineRun(ctx, "p", rerun.ID, -1)
	require.NoError(t, err)
	require.Equal(t, []int64{rerun.ID}, s.listed(c, "p", ci.StatusDone, ci.OutcomeAborted))
	endless, err := c.RunPipeline(ctx, "endless", nil, "")
	require.NoError(t, err)
	require.Equal(t, []int64{endless.ID, rerun.ID, run.ID}, s.listed(c, "", "", ""))
	require.Equal(t, []int64{endless.ID}, s.listed(c, "", ci.StatusInProgress, ""))

	require.NoError(t, c.DeletePipeline(ctx, "p"))
	_, err = c.GetPipeline(ctx, "p")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	require.Equal(t, ci.CodeForbidden, ci.CodeOf(s.client("guest").DeletePipeline(ctx, "endless")))
}

func (s *site) listed(c *api.Client, name string, status ci.Status, outcome ci.Outcome) (ids []int64) {
	s.t.Helper()
	for run, err := range c.ListPipelineRuns(s.t.Context(), name, status, outcome) {
		require.NoError(s.t, err)
		ids = append(ids, run.ID)
	}
	return ids
}
