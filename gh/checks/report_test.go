package checks

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
	"ci/pkg/junit"
)

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, want string // path:line:column level message; "" is none
	}{
		{"main.go:3:5: undefined: x", "main.go:3:5 failure undefined: x"},
		{"./pkg/a.go:12: want 1", "pkg/a.go:12:0 failure want 1"},
		{"    a_test.go:7: got 2", "a_test.go:7:0 failure got 2"},
		{"/workspace/src/lib.rs:4:1: error: no", "src/lib.rs:4:1 failure error: no"},
		{"src/x.c:10:3: warning: unused variable 'y'", "src/x.c:10:3 warning warning: unused variable 'y'"},
		{"src/app.ts(12,5): error TS2322: Type 'a'", "src/app.ts:12:5 failure error TS2322: Type 'a'"},
		{`src\win.cs(3,1): warning CS0168: y`, "src/win.cs:3:1 warning warning CS0168: y"},
		{"run.sh:1-3: quote this", "run.sh:1:0 failure quote this"},
		{"/etc/passwd.go:1: secret", ""},
		{"../../up.go:1: no", ""},
		{"/workspace/../etc/x.go:1: no", ""},
		{"12:30:45: started", ""},
		{"db.internal:5432: connection refused", ""},
		{"http://example.go:80: x", ""},
		{"main.go:0: nothing", ""},
		{"main.go:3", ""},
		{strings.Repeat("a", 3000) + ".go:3: x", ""},
	} {
		t.Run(c.line[:min(len(c.line), 40)], func(t *testing.T) {
			got := ""
			for _, a := range problems([]string{c.line}, "/workspace") {
				got = a.path + ":" + number(int64(a.line)) + ":" + number(int64(a.column)) + " " + a.level + " " + a.message
			}
			require.Equal(t, c.want, got)
		})
	}
	rust := problems([]string{"error[E0425]: cannot find value `x`", "  --> src/main.rs:3:5", "   |", "  --> src/other.rs:1:1"}, "/workspace")
	require.Equal(t, []annotation{{path: "src/main.rs", line: 3, column: 5, level: "failure", message: "error[E0425]: cannot find value `x`"}}, rust)
}

func TestRemarks(t *testing.T) {
	t.Parallel()
	tests := &junit.Report{Cases: []junit.Case{
		{Class: "pkg", Name: "Bad", File: "/src/a.py", Line: 9, Status: junit.Failed, Message: "no\x1b[31m", Details: "trace"},
		{Name: "NoFile", Status: junit.Errored, Message: "no"},
		{Name: "Elsewhere", File: "/usr/lib/x.py", Line: 1, Status: junit.Failed},
		{Name: "NoLine", File: "b.py", Status: junit.Failed},
		{Name: "Good", File: "c.py", Line: 1, Status: junit.Passed},
	}}
	run := &ci.Run{Outcome: ci.OutcomeFailed, Spec: &ci.Spec{Environment: ci.Environment{Workdir: "/src"}}}
	lines := []string{"a.py:1: x", "a.py:1: x", "b.c:2: warning: y"}
	got := remarks(run, tests, lines)
	require.Equal(t, []annotation{
		{path: "a.py", line: 9, level: "failure", title: "pkg Bad", message: `no\x1b[31m`, details: "trace"},
		{path: "b.py", line: 1, level: "failure", title: "NoLine", message: "NoLine failed"},
		{path: "a.py", line: 1, level: "failure", message: "x"},
		{path: "b.c", line: 2, level: "warning", message: "warning: y"},
	}, got)
	run.Outcome = ci.OutcomeSucceeded
	require.Equal(t, []annotation{{path: "b.c", line: 2, level: "warning", message: "warning: y"}}, remarks(run, &junit.Report{}, lines))
	many := &junit.Report{}
	for i := range 2 * maxAnnotations {
		many.Cases = append(many.Cases, junit.Case{Name: number(int64(i)), File: "a.go", Line: i + 1, Status: junit.Failed})
	}
	require.Len(t, remarks(run, many, nil), maxAnnotations)
}

// TestForeignText has names and output that try to be more than a text.
func TestForeignText(t *testing.T) {
	t.Parallel()
	require.Equal(t, `\[x\]\(http\://e\.vil\) \<img src=x\> &#64;everybody \*b\*`, text("[x](http://e.vil) <img src=x> @everybody *b*"))
	require.Equal(t, "``a`b``", code("a`b"))
	require.Equal(t, "`` `a ``", code("`a"))
	require.Equal(t, "` `", code(""))
	require.Equal(t, "`a b`", code("a\nb"))
	require.Equal(t, "````text\n```\n# no heading\n````\n", block("```\n# no heading\n"))
	require.NotContains(t, block("a\u202eb\x1b]8;;http://x\x07"), "\u202e")
	for n := range 12 {
		short := cut("aüß€😀", n)
		require.True(t, utf8.ValidString(short), "%q", short)
		require.LessOrEqual(t, len(short), max(n, len("…")))
	}
	require.Equal(t, []string{"b", "100%", "c"}, consoleLines([]byte("torn\nb\n 50%\r100%\r\nc\n"), true))
	require.Nil(t, consoleLines(nil, false))
	require.Nil(t, consoleLines([]byte("\n"), false))
	lines := consoleLines([]byte(strings.Repeat(strings.Repeat("`", 3000)+"\n", 100)), false)
	require.Less(t, len(consoleText(lines)), maxLastLines+7000)
}

func TestTitles(t *testing.T) {
	t.Parallel()
	two := 2
	began := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	run := func(o ci.Outcome, code *int) *ci.Run {
		return &ci.Run{Outcome: o, ExitCode: code, Times: ci.Times{Triggered: began, Started: began, Done: began.Add(83 * time.Second)}}
	}
	none, good := &junit.Report{}, &junit.Report{Cases: []junit.Case{{Status: junit.Passed}}}
	bad := &junit.Report{Cases: []junit.Case{{Status: junit.Failed}, {Status: junit.Passed}}}
	for want, c := range map[string]struct {
		run   *ci.Run
		tests *junit.Report
	}{
		"1 of 2 tests failed":              {run(ci.OutcomeFailed, &two), bad},
		"Failed with exit code 2":          {run(ci.OutcomeFailed, &two), good},
		"Failed":                           {run(ci.OutcomeFailed, nil), none},
		"1 test passed in 1m23s":           {run(ci.OutcomeSucceeded, nil), good},
		"Succeeded in 1m23s":               {run(ci.OutcomeSucceeded, nil), none},
		"Timed out after 1m23s":            {run(ci.OutcomeTimedOut, nil), bad},
		"Aborted":                          {run(ci.OutcomeAborted, nil), none},
		"The run could not be carried out": {run(ci.OutcomeError, nil), none},
		"Lost: its agent went away":        {run(ci.OutcomeLost, nil), none},
	} {
		require.Equal(t, want, title(c.run, c.tests))
	}
}

func TestStatusWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r              report
		github, gitlab string
	}{
		{report{state: ci.CheckQueued}, "pending", "pending"},
		{report{state: ci.CheckInProgress}, "pending", "running"},
		{report{state: ci.CheckCompleted, outcome: ci.OutcomeSucceeded}, "success", "success"},
		{report{state: ci.CheckCompleted, outcome: ci.OutcomeFailed}, "failure", "failed"},
		{report{state: ci.CheckCompleted, outcome: ci.OutcomeTimedOut}, "failure", "failed"},
		{report{state: ci.CheckCompleted, outcome: ci.OutcomeAborted}, "error", "canceled"},
		{report{state: ci.CheckCompleted, outcome: ci.OutcomeLost}, "error", "failed"},
		{report{state: ci.CheckCompleted, conclusion: held}, "pending", "pending"},
	} {
		require.Equal(t, c.github, c.r.statusState(ci.ForgeGitHub))
		require.Equal(t, c.github, c.r.statusState(ci.ForgeGitea))
		require.Equal(t, c.gitlab, c.r.statusState(ci.ForgeGitLab))
	}
}
