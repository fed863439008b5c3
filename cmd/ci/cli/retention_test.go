package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestRetentionPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.run("retention")
	require.Equal(t, said{0, "", "Nothing would go.\n"}, got)
	got = w.run("config", "set", "keep.console.age=1h", "--dry-run")
	require.Equal(t, exitSucceeded, got.code, got.err)
	require.Equal(t, "unit/7\tconsole\t2048\t"+stamp(noon)+"\tit ended more than 1h ago (keep.console)\t\n"+
		"unit/8\tconsole\t1024\t"+stamp(noon)+"\tit ended more than 1h ago (keep.console)\tpinned: x\\x07\n", got.out)
	require.Equal(t, "0 runs (0B), results of 0 more (0B) and consoles of 1 more (2KiB) would go; 1 (1KiB) stay all the same.\n", got.err)
	require.Nil(t, w.client.config.Keep, "nothing is set")
	require.Equal(t, `{"count":1,"bytes":2048}`+"\n", strings.ReplaceAll(w.run("config", "set", "-n", "keep.console.age=1h", "--jq", ".console | {count, bytes} | tojson").out, `"bytes":2048,"count":1`, `"count":1,"bytes":2048`))
	w.run("retention", "unit")
	require.Equal(t, []string{"", "", "", "unit"}, w.client.asked)
	require.Contains(t, w.terminal().run("config", "set", "-n", "keep.console.age=1h").out, "stays")
}

func TestKeepSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.run("config", "set", "keep.runs.count=10", "keep.results.age=168h", "keep.results.bytes=10GiB", "keepTotal.console.bytes=1024")
	require.Equal(t, exitSucceeded, got.code, got.err)
	require.Equal(t, &ci.Keep{Runs: &ci.Limits{Count: 10}, Results: &ci.Limits{Age: ci.Duration(168 * time.Hour), Bytes: 10 << 30}}, w.client.config.Keep)
	require.Equal(t, &ci.Keep{Console: &ci.Limits{Bytes: 1024}}, w.client.config.KeepTotal)
	require.Equal(t, "10737418240\n", w.run("config", "get", "keep.results.bytes").out)
	require.Equal(t, "0\n", w.run("config", "get", "keep.console.count").out)
	for arg, want := range map[string]string{
		"keep.runs.count=-1":     "keep.runs.count: -1 is not between",
		"keep.runs.age=10s":      "keep.runs.age: 10s is not between",
		"keep.runs.bytes=much":   "keep.runs.bytes",
		"keepTotal.runs.age=24h": `there is no key "keepTotal.runs.age"`,
		"keep.agents.age=24h":    `there is no key "keep.agents.age"`,
	} {
		got := w.run("config", "set", arg)
		require.Equal(t, exitUsage, got.code, arg)
		require.Contains(t, got.err, want)
	}
}

// TestKeepOfJobs wants what a job keeps to be the same by flags, from files, and back.
func TestKeepOfJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.run("job", "apply", "a", "--git-url", "https://h/x.git", "--config-path", "x", "--keep", "results.age=168h", "--keep", "results.count=5", "--keep", "console=all")
	require.Equal(t, exitSucceeded, got.code, got.err)
	keep := &ci.Keep{Results: &ci.Limits{Age: ci.Duration(168 * time.Hour), Count: 5}, Console: &ci.Limits{}}
	require.Equal(t, keep, w.client.jobs["a"].Keep)
	require.Contains(t, w.run("job", "show", "a").out, "keep\tresults.age=168h0m0s results.count=5 console=all\n")

	exported := w.run("job", "export", "a").out
	require.Contains(t, exported, "keep:\n")
	jobs, err := parseJobs("a", []byte(exported))
	require.NoError(t, err)
	require.Equal(t, keep, jobs[0].Keep)
	w.stdin = exported
	require.Contains(t, w.run("job", "apply", "-f", "-").out, "a\tunchanged\t")
	w.stdin = strings.Replace(exported, "count: 5", "count: 6", 1)
	require.Contains(t, w.run("job", "apply", "-f", "-").out, "a\tupdated\t")

	flags := []string{"job", "apply", "a", "--git-url", "https://h/y.git", "--config-path", "x"}
	require.Contains(t, w.run(flags...).out, "a\tupdated\t")
	require.Equal(t, &ci.Limits{Age: ci.Duration(168 * time.Hour), Count: 6}, w.client.jobs["a"].Keep.Results, "what flags do not speak of stays")
	require.Contains(t, w.run(append(flags, "--keep", "")...).out, "a\tupdated\t")
	require.Nil(t, w.client.jobs["a"].Keep)
	require.Contains(t, w.run("job", "apply", "b", "--git-url", "https://h/y.git", "--config-path", "x").out, "b\tcreated\t")

	for _, bad := range []string{"results", "results.age", "results.age=1", "agents.age=1h", "results.size=1", "console=none"} {
		got := w.run("job", "apply", "a", "--git-url", "https://h/x.git", "--config-path", "x", "--keep", bad)
		require.Equal(t, exitUsage, got.code, bad)
	}
}

func TestPins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))
	got := w.run("pin", "add", "unit/7", "--reason", "the release", "--for", "24h")
	require.Equal(t, exitSucceeded, got.code, got.err)
	require.Contains(t, got.err, "Take it back with: ci pin rm unit/7")
	require.Equal(t, exitSucceeded, w.run("pin", "add", "unit/7", "--name", "other").code)
	require.Equal(t, "the release", w.client.pins[0].Reason)
	require.Regexp(t, "^ci\t[^\t]+\tme\tthe release\nother\t", w.run("pin", "ls", "unit/7").out)
	require.Equal(t, exitSucceeded, w.run("pin", "rm", "unit/7").code)
	require.Len(t, w.client.pins, 1)
	require.Equal(t, exitUsage, w.run("pin", "add", "unit/7", "--for", "-1h").code)
	require.Equal(t, exitUsage, w.run("pin", "add", "unit/7", "--name", "a b").code)
}

// TestExpired wants the command line to say that something is kept no longer, and not that it never was.
func TestExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := doneRun(7, ci.OutcomeSucceeded, 0)
	run.ConsoleExpiredAt, run.Console.Bytes = noon, 2048
	w.client.runs[7] = states(run)
	w.client.results = []ci.Result{{Run: 7, Name: "junit", ContentType: "application/zip", Size: 10, ExpiredAt: noon}}
	shown := w.run("show", "unit/7").out
	require.Contains(t, shown, "output\t2KiB, kept no longer since "+stamp(noon)+"\n")
	require.Contains(t, shown, "result junit\t10B, application/zip, kept no longer since "+stamp(noon)+"\n")
	require.Regexp(t, `\t`+stamp(noon)+`\n$`, w.run("result", "ls", "unit/7").out)
	require.Equal(t, exitNotFound, exitCode(run.ConsoleExpired()))
}
