package cli

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestTUI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Contains(t, w.run().out, "Usage:", "in a pipe ci alone helps")
	got := w.run("tui")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "needs a terminal")
	require.Equal(t, exitUsage, w.run("tui", "--theme", "pink").code)

	w.client.runs[7] = []ci.Run{doneRun(7, ci.OutcomeFailed, 2)}
	w.stdin = "runs\nrun unit/7\nquit\n"
	got = w.run("tui", "--plain")
	require.Equal(t, 0, got.code, got.err)
	require.Contains(t, got.out, "failed unit/7, branch main")
	require.Contains(t, got.out, "Reason: because failed")
	harmless(t, got.out)
}

func TestJobText(t *testing.T) {
	t.Parallel()
	for _, j := range []ci.Job{
		{Name: "a", Git: &ci.Git{URL: "https://h/p.git", ConfigPath: "ci/x.yaml", SSHKey: "k"}, Parameters: []ci.Parameter{{Name: "LEVEL", Default: "1", Required: true, Description: "x: y"}}, Triggers: []string{"b"}},
		{Name: "b", Freestyle: []byte(`{"script":"echo one\necho two\n"}`)},
	} {
		text, err := writeJob(&j)
		require.NoError(t, err)
		back, err := readJob(text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, j.Git, back.Git)
		require.Equal(t, j.Parameters, back.Parameters)
		require.Equal(t, j.Triggers, back.Triggers)
		if len(j.Freestyle) > 0 {
			require.JSONEq(t, string(j.Freestyle), string(back.Freestyle))
			require.Contains(t, string(text), "script: |\n", "people edit lines, not escapes")
		}
	}
	_, err := readJob([]byte("name: a\n---\nname: b\n"))
	require.Error(t, err)
}
