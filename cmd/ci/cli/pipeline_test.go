package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func programFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "release.star")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestPipelineCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := programFile(t, "p = params(n = 1)\nr = run('a')\nif result(r, 'v').text == '2': approve('go?')\nall(run('b', params = {'N': p.n}))")
	got := w.run("pipeline", "check", good)
	require.Equal(t, 0, got.code, got.err)
	got = w.run("pipeline", "check", good, "--dry-run", "-p", "n=3", "--result", "a:v=2")
	require.Equal(t, 0, got.code, got.err)
	require.Equal(t, "0\trun\ta\t\n1\tresult\ta v\t0\n2\tapprove\tgo?\t1\n3\trun\tb\t2\n", got.out)
	got = w.run("pipeline", "check", good, "--dry-run", "--result", "a:v=2", "--reject")
	require.Equal(t, 1, got.code)
	require.Contains(t, got.err, `said no to "go?"`)
	got = w.run("pipeline", "check", good, "--dry-run", "--outcome", "b=timed_out", "--result", "a:v=1")
	require.Equal(t, 1, got.code)
	require.Contains(t, got.err, "timed out")
	require.Equal(t, 2, w.run("pipeline", "check", good, "--dry-run", "--outcome", "b=nonsense").code)
	bad := w.run("pipeline", "check", programFile(t, "rn('a')"))
	require.Equal(t, 1, bad.code)
	require.Contains(t, bad.err, "release.star:1:1")
}

// TestPipelineViews shows a run with hostile names to a pipe and to a terminal.
func TestPipelineViews(t *testing.T) {
	t.Parallel()
	run := ci.PipelineRun{
		ID: 7, Pipeline: "release", Version: 1, Status: ci.StatusDone, Outcome: ci.OutcomeFailed, Reason: hostile, TriggeredBy: "me", Triggered: noon.Add(-time.Hour), Done: noon,
		Calls: []ci.PipelineCall{
			{ID: "0", Kind: ci.CallRun, Title: "unit", After: []string{}, Done: true, Outcome: ci.OutcomeSucceeded, Run: &ci.RunRef{Job: "unit", Run: 1}, Reused: true, Began: noon, Ended: noon.Add(time.Second)},
			{ID: "1.0.0", Kind: ci.CallApprove, Title: hostile, After: []string{"0"}, Done: true, Outcome: ci.OutcomeFailed, By: "boss", Began: noon, Ended: noon.Add(time.Second)},
		},
	}
	doc, err := json.Marshal(run)
	require.NoError(t, err)
	w := newWorld(t)
	w.documents["/pipelines/release/runs/7"] = string(doc)
	got := w.run("pipeline", "graph", "release/7")
	require.Equal(t, 0, got.code, got.err)
	require.Contains(t, got.out, "0\trun\tunit\tunit/1\tsucceeded\t1.0\t\n1.0.0\tapprove\t")
	harmless(t, w.terminal().run("pipeline", "graph", "release/7").out)
	for _, format := range []string{"dot", "mermaid"} {
		got = w.run("pipeline", "graph", "release/7", "--format", format)
		require.Equal(t, 0, got.code, got.err)
		harmless(t, got.out)
		require.Contains(t, got.out, "1_0_0")
	}
	got = w.run("pipeline", "watch", "release/7")
	require.Equal(t, 1, got.code, "the exit code is that of the outcome")
	harmless(t, got.out+got.err)
	require.Equal(t, 2, w.run("pipeline", "graph", "release/x").code)
	require.Equal(t, 6, w.run("pipeline", "graph", "release/8").code)
	require.Equal(t, 5, w.run("pipeline", "approve", "release/7").code, "it asks nothing")
}
