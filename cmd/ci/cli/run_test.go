package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// states is the way of a run: triggered, queued, running, and its end.
func states(end ci.Run) []ci.Run {
	triggered := ci.Run{ID: end.ID, Job: end.Job, Status: ci.StatusInProgress, Phase: ci.PhasePlanning}
	queued := triggered
	queued.Phase, queued.Class, queued.CommitSHA = ci.PhaseQueued, "small", end.CommitSHA
	running := queued
	running.Phase, running.ScriptStarted, running.Agent = ci.PhaseRunning, true, "box"
	return []ci.Run{triggered, queued, running, end}
}

func TestExitCodesOfRuns(t *testing.T) {
	t.Parallel()
	for outcome, code := range map[ci.Outcome]int{
		ci.OutcomeSucceeded: 0, ci.OutcomeFailed: 1, ci.OutcomeAborted: 3, ci.OutcomeTimedOut: 4, ci.OutcomeError: 5, ci.OutcomeLost: 5,
	} {
		for _, line := range [][]string{{"run", "unit", "--wait"}, {"run", "unit", "--logs"}, {"watch", "unit", "7"}, {"watch", "unit/@latest", "--logs"}} {
			t.Run(string(outcome)+" "+strings.Join(line, " "), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.client.runs[7] = states(doneRun(7, outcome, 1))
				got := w.run(line...)
				require.Equal(t, code, got.code, got.err)
				require.Contains(t, got.err, "unit/7 "+string(outcome)+" after 10m00s: because "+string(outcome))
			})
		}
	}
}

func TestExitCodesOfErrors(t *testing.T) {
	t.Parallel()
	for code, want := range map[ci.Code]int{
		ci.CodeInvalid: 2, ci.CodeTooLarge: 2, ci.CodeNotFound: 6, ci.CodeForbidden: 6, ci.CodeUnauthorized: 6, ci.CodeUnavailable: 7,
		ci.CodeTooMany: 7, ci.CodeInternal: 5, ci.CodeConflict: 5, ci.CodeStale: 5, ci.CodeMismatch: 5,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.client.err = &ci.Error{Code: code, Message: "no " + hostile, Fields: []ci.Field{{Path: "a.b", Message: hostile}}}
			got := w.run("run", "unit", "--wait")
			require.Equal(t, want, got.code)
			require.Contains(t, got.err, "ci: no evil")
			require.Contains(t, got.err, "  a.b: evil")
			require.Empty(t, got.out)
			harmless(t, got.err)
		})
	}
}

func TestRunWithoutWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))[:1]
	got := w.run("run", "unit", "-b", "main", "-p", "A=1", "-p", "B=x=y", "--priority", "urgent", "--idempotency-key", "k")
	require.Equal(t, said{0, "7\tunit\tin_progress\tplanning\t\t\t\t\t\t\t\n", ""}, got)
	require.Equal(t, ci.Trigger{
		Job: "unit", BranchName: "main", Parameters: map[string]string{"A": "1", "B": "x=y"}, Priority: ci.PriorityUrgent, IdempotencyKey: "k",
	}, w.client.trigger)

	got = w.terminal().run("run", "unit", "--detach")
	require.Equal(t, said{0, "unit/7 is planning\n", "Follow it with: ci logs -f unit/7\n"}, got)

	w.documents["/jobs/unit/runs/7"] = `{"id": 7, "job":"unit"}`
	got = w.run("run", "unit", "--jq", ".id")
	require.Equal(t, said{0, "7\n", ""}, got)
}

func TestRunWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))
	got := w.run("run", "unit", "--wait")
	require.Equal(t, 0, got.code)
	require.Equal(t, "7\tunit\tdone\tcollecting\tsucceeded\t0\tmain\t"+strings.Repeat("ab", 20)+"\t2026-03-01T11:00:00Z\t2026-03-01T11:20:00Z\tbecause succeeded\n", got.out)
	require.Equal(t, "unit/7 triggered\nunit/7 queued at ababababab, class small\nunit/7 running on box\nunit/7 succeeded after 10m00s: because succeeded\n", got.err)

	w.documents["/jobs/unit/runs/7"] = "{\"id\": 7,\n \"outcome\":\"succeeded\"}"
	got = w.run("run", "unit", "--wait", "--json")
	require.Equal(t, `{"id":7,"outcome":"succeeded"}`+"\n", got.out)
	got = w.terminal().run("run", "unit", "--wait", "--json")
	require.Equal(t, "{\n  \"id\": 7,\n  \"outcome\": \"succeeded\"\n}\n", got.out)
}

func TestTailOfAFailedRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	end := doneRun(7, ci.OutcomeFailed, 3)
	for i := range 30 {
		w.client.bytes["console"] += strings.Repeat("x", i) + "\n"
	}
	w.client.bytes["console"] += "\x1b[31mred\x1b[2J\n"
	end.Console.Bytes = int64(len(w.client.bytes["console"]))
	w.client.runs[7] = states(end)
	got := w.run("run", "unit", "--wait")
	require.Equal(t, 1, got.code)
	require.Contains(t, got.err, "box\n"+strings.Repeat("x", 11)+"\n", "the last 20 lines")
	require.Contains(t, got.err, "\nred^[[2J\nAll of its output: ci logs unit/7\nunit/7 failed")
}

func TestLogsWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeFailed, 1))
	w.client.bytes["console"] = "one\x1b]0;t\x07\x1b[1mtwo\n"
	got := w.run("run", "unit", "--logs")
	require.Equal(t, "one\x1b]0;t\x07\x1b[1mtwo\n", got.out, "a pipe gets the bytes as they are")
	require.NotContains(t, got.err, "All of its output")

	w.color = true
	got = w.terminal().run("run", "unit")
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, "one^[]0;t^G\x1b[1mtwo\n\x1b[0m", got.out, "a terminal follows without being told to")
	w.color = false
	require.Equal(t, "one^[]0;t^Gtwo\n", w.run("logs", "unit", "7").out)
	require.Equal(t, "two\n", w.run("logs", "unit", "7", "--offset", "13").out)
}

func TestInterruptDetaches(t *testing.T) {
	t.Parallel()
	for name, line := range map[string][]string{
		"wait": {"run", "unit", "--wait"}, "logs": {"run", "unit", "--logs"}, "watch": {"watch", "unit", "7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))[:3]
			ctx, interrupt := context.WithCancel(context.Background())
			w.ctx = ctx
			w.client.onWait = func(ci.Until) { interrupt() }
			w.client.onConsole = interrupt
			got := w.run(line...)
			require.Equal(t, exitDetached, got.code)
			require.Contains(t, got.err, "Left unit/7 to itself; it goes on. Come back with: ci watch unit/7\n")
			require.Empty(t, w.client.aborted)
			require.NotContains(t, got.err, "context canceled")
		})
	}
}

func TestInterruptAborts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))[:3]
	ctx, interrupt := context.WithCancel(context.Background())
	w.ctx = ctx
	w.client.onWait = func(ci.Until) { interrupt() }
	got := w.run("run", "unit", "--wait", "--abort-on-interrupt")
	require.Equal(t, exitAborted, got.code, got.err)
	require.Equal(t, []int64{7}, w.client.aborted)

	// A second interrupt leaves it alone.
	w.client.runs[7] = states(doneRun(7, ci.OutcomeSucceeded, 0))[:3]
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	w.again = gone
	w.client.runs[8] = nil
	delete(w.client.runs, 8)
	w.ctx = ctx
	w.client.aborted = nil
	got = w.run("watch", "unit", "7", "--abort-on-interrupt")
	require.Contains(t, []int{exitAborted, exitDetached}, got.code, got.err)
	require.Equal(t, []int64{7}, w.client.aborted)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"run":                           "accepts 1 arg",
		"run unit -c HEAD~no":           "not a full commit id",
		"run unit -d --wait":            "none of the others can be",
		"rerun":                         "which run?",
		"wait":                          "which run?",
		"wait unit":                     "which run of unit?",
		"watch --job unit":              "which run?",
		"watch unit 7 --job unit":       "--job goes with --commit",
		"show unit@..":                  "neither @latest nor a branch",
		"show unit#x":                   "not a run's id",
		"tests unit 7 a b":              "one argument too many",
		"apply":                         "required flag",
		"apply -f nowhere":              "no such file",
		"apply -f . --prune":            "give --owner",
		"job export":                    "name the jobs, or give --all",
		"job export a --all":            "name the jobs, or give --all",
		"ls --json id,nope":             "no field \"nope\"; known are id, job",
		"ls --jq . --template x":        "choose one",
		"ls --template {{":              "--template",
		"api GET /x -f a":               "expected NAME=TEXT",
		"api POST /x -F a=b":            "is not JSON",
		"api POST /x -f a=1 -f a=2":     "twice",
		"api POST /x {} -f a=1":         "give fields alone",
		"api GET /x -H nope":            "expected NAME: VALUE",
		"api GET /x -H authorization:x": "never an argument",
		"rnu":                           "ci has no verb \"rnu\"; did you mean run?",
		"job lst":                       "ci job has no verb \"lst\"; did you mean ls?",
		"run unit --nope":               "unknown flag: --nope",
		"run unit -p A":                 "expected NAME=VALUE",
		"run unit -p A=1 -p A=2":        "twice",
		"run unit -b a -c b":            "none of the others can be",
		"run unit -c abc":               "not a full commit id",
		"run unit --priority x":         "neither normal nor urgent",
		"run unit --logs --json":        "choose one",
		"show":                          "which run?",
		"show unit":                     "which run of unit?",
		"show unit x":                   "not a run's id",
		"show unit 0":                   "not a run's id",
		"show unit -- -1":               "not a run's id",
		"show unit 1 2":                 "one argument too many",
		"show ../x 1":                   "not a job's name",
		"ls --status nope":              "--status \"nope\" is none",
		"ls --since yesterday":          "neither a time",
		"ls --limit -1":                 "negative",
		"ls --jq foo(":                  "--jq",
		"logs unit 7 --json":            "not JSON",
		"logs unit 7 --jq .":            "go with --ndjson",
		"logs unit 7 --offset -4":       "negative",
		"config set x":                  "expected KEY=VALUE",
		"config set nope=1":             "no key \"nope\"",
		"config set globalTimeout=1x":   "globalTimeout",
		"config set maxConsole=-1":      "not between",
		"config get nope":               "no key",
		"token create x":                "required flag",
		"token create x --role boss":    "not one of",
		"job apply":                     "at least one of the flags",
		"job apply --git-url x":         "what is the job called",
		"job apply x --git-url u":       "configPath",
		"api FETCH /x":                  "no method",
		"api GET x":                     "no path",
		"context use nope":              "no context",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.client.runs[7] = []ci.Run{doneRun(7, ci.OutcomeSucceeded, 0)}
			got := w.run(strings.Fields(line)...)
			require.Equal(t, exitUsage, got.code, got.err)
			require.Contains(t, got.err, want)
			require.Empty(t, got.out)
		})
	}
}
