package cli

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestParseRef(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"unit 7":           "{unit 7  } []",
		"unit #7":          "{unit 7  } []",
		"unit/7":           "{unit 7  } []",
		"unit/7 junit":     "{unit 7  } [junit]",
		"unit#7":           "{unit 7  } []",
		"7":                "{ 7  } []",
		"#7":               "{ 7  } []",
		"7 junit":          "{ 7  } [junit]",
		"7 8":              "{7 8  } []", // a job may be called 7
		"unit@latest":      "{unit 0  } []",
		"unit @latest":     "{unit 0  } []",
		"unit/@latest":     "{unit 0  } []",
		"unit@main junit":  "{unit 0 main } [junit]",
		"unit @feature/x":  "{unit 0 feature/x } []",
		"unit@feature/x#y": "{unit 0 feature/x#y } []",
	} {
		got, rest, err := parseRef(strings.Fields(line))
		require.NoError(t, err, line)
		require.Equal(t, want, fmt.Sprint(got, rest), line)
	}
	refs, err := parseRefs(strings.Fields("unit 7 8 lint@main #9 a.b/3 unit @latest"))
	require.NoError(t, err)
	require.Equal(t, "[{unit 7  } { 8  } {lint 0 main } { 9  } {a.b 3  } {unit 0  }]", fmt.Sprint(refs))
}

func FuzzParseRef(f *testing.F) {
	f.Add("unit@main", "#7", "x")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		got, rest, err := parseRef([]string{a, b, c})
		if err != nil {
			require.Equal(t, exitUsage, exitCode(err))
			return
		}
		require.LessOrEqual(t, len(rest), 2)
		require.True(t, got.job != "" || got.id > 0)
		_, _ = parseRefs([]string{a, b, c})
	})
}

// some are runs of several jobs, branches and commits; ids grow.
func some(w *world) {
	for id, at := range map[int64]struct{ job, branch, sha string }{
		3: {"unit", "main", "aa"}, 5: {"unit", "other", "bb"}, 6: {"lint", "main", "bb"}, 8: {"unit", "main", "cc"},
	} {
		r := doneRun(id, ci.OutcomeSucceeded, 0)
		r.Job, r.BranchName, r.CommitSHA = at.job, at.branch, strings.Repeat(at.sha, 20)
		w.client.runs[id] = states(r)
	}
}

func TestSelectors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	some(w)
	aa, bb := strings.Repeat("aa", 20), strings.Repeat("bb", 20)
	for line, want := range map[string]string{
		"unit@latest": "unit/8", "unit@other": "unit/5", "lint @main": "lint/6", "6": "lint/6", "#5": "unit/5",
		"--commit " + aa: "unit/3", "--commit " + bb + " lint": "lint/6", "unit -c " + bb: "unit/5",
	} {
		got := w.run(append([]string{"show"}, strings.Fields(line)...)...)
		require.Equal(t, 0, got.code, "%s: %s", line, got.err)
		require.Contains(t, got.out, "run\t"+want+"\n", line)
	}
	got := w.run("show", "--commit", bb)
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "was run by several jobs: lint, unit; name the one that is meant")
	for _, line := range []string{"unit@nowhere", "4", "999", "-c " + strings.Repeat("dd", 20), "none@latest"} {
		require.Equal(t, exitNotFound, w.run(append([]string{"show"}, strings.Fields(line)...)...).code, line)
	}
}

func TestCommitOfTheWorkingTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.TrimSpace(string(out))
	}
	git("init", "--quiet")
	git("commit", "--quiet", "--allow-empty", "-m", "one")
	a := &app{IOStreams: IOStreams{Env: func(string) string { return "" }}, dir: dir}
	sha := git("rev-parse", "HEAD")
	for _, rev := range []string{"HEAD", sha, sha[:8]} {
		got, err := a.resolveCommit(t.Context(), rev)
		require.NoError(t, err, rev)
		require.Equal(t, sha, got)
	}
	for _, rev := range []string{"HEAD~1", "--all", "-x", strings.ToUpper(sha), "HEAD^{tree}"} {
		_, err := a.resolveCommit(t.Context(), rev)
		require.Equal(t, exitUsage, exitCode(err), rev)
	}
}

func TestWatchWaitsForARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sha := strings.Repeat("ee", 20)
	w.client.onList = func() {
		r := doneRun(9, ci.OutcomeFailed, 1)
		r.CommitSHA = sha
		w.client.runs[9] = states(r)
	}
	got := w.run("watch", "--commit", sha, "--job", "unit")
	require.Equal(t, exitFailed, got.code, got.err)
	require.Contains(t, got.err, "No run of commit eeeeeeeeee yet; waiting for one.\n")
	require.Contains(t, got.err, "unit/9 failed after")
}

func TestWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for id, o := range map[int64]ci.Outcome{1: ci.OutcomeSucceeded, 2: ci.OutcomeFailed, 3: ci.OutcomeTimedOut} {
		w.client.runs[id] = states(doneRun(id, o, 1))
	}
	require.Equal(t, 0, w.run("wait", "unit", "1").code)
	got := w.run("wait", "1", "unit/2", "unit#3", "2")
	require.Equal(t, exitTimedOut, got.code, got.err)
	require.Equal(t, 3, strings.Count(got.out, "\tunit\tdone\t"), "each run once: %s", got.out)
	require.Equal(t, exitNotFound, w.run("wait", "1", "4").code)

	// The one that fails ends the waiting for one that never does.
	w.client.runs[5] = states(doneRun(5, ci.OutcomeSucceeded, 0))[:3]
	got = w.run("wait", "--fail-fast", "2", "5")
	require.Equal(t, exitFailed, got.code, got.err)
}

func TestRerun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := doneRun(7, ci.OutcomeFailed, 1)
	r.Parameters = map[string]string{"A": "1", "B": "2"}
	w.client.runs[7] = states(r)
	require.Equal(t, 0, w.run("rerun", "unit@latest", "-p", "B=3").code)
	require.Equal(t, ci.Trigger{Job: "unit", CommitSHA: r.CommitSHA, Parameters: map[string]string{"A": "1", "B": "3"}, Priority: ci.PriorityNormal}, w.client.trigger)
	require.Equal(t, 0, w.run("rerun", "7", "--newest").code)
	require.Equal(t, "main", w.client.trigger.BranchName)
	require.Empty(t, w.client.trigger.CommitSHA)
	require.Equal(t, exitFailed, w.run("rerun", "7", "--wait").code)
}

func TestPickers(t *testing.T) {
	t.Parallel()
	w := newWorld(t).terminal()
	some(w)
	w.client.jobs = map[string]ci.Job{"lint": {Name: "lint"}, "unit": {Name: "unit"}}
	var title string
	var labels []string
	w.pick = func(t string, l []string) (int, error) {
		title, labels = t, l
		return 1, nil
	}
	got := w.run("show")
	require.Equal(t, 0, got.code, got.err)
	require.Equal(t, "Which run?", title)
	require.Len(t, labels, 4)
	require.Contains(t, got.out, "lint/6")
	got = w.run("show", "unit")
	require.Contains(t, got.out, "unit/5")
	require.Contains(t, w.run("job", "show").out, "unit")
	w.pick = func(string, []string) (int, error) { return -1, nil }
	require.Equal(t, exitUsage, w.run("show").code)
	w.pick = func(string, []string) (int, error) { t.Error("asked"); return 0, nil }
	require.Equal(t, exitUsage, w.run("show", "--no-input").code)
	w.env["CI_NO_INPUT"] = "1"
	require.Equal(t, exitUsage, w.run("run").code)
}

func TestPicker(t *testing.T) {
	t.Parallel()
	p := newPicker("Which?", []string{"unit-test", "lint", "deploy"})
	require.Contains(t, p.View(), "Which? ▏\n> unit-test\n  lint\n  deploy\n")
	p = p.match("dpl")
	require.Equal(t, []int{2}, p.shown)
	require.Contains(t, p.View(), "> deploy\n")
	require.Contains(t, p.match("zz").View(), "nothing matches")
}
