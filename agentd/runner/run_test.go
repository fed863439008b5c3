package runner_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/fake"
	"ci/pkg/ci"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	zero, three, status139, status137, notFound := 0, 3, 139, 137, 127
	cases := map[string]struct {
		script  string
		results []string
		change  func(*fake.Backend)
		outcome ci.Outcome
		reason  string
		exit    *int
		unbegun bool
		reports string
		console string
	}{
		"success": {
			script: "print hello", outcome: ci.OutcomeSucceeded, reason: "The script succeeded.", exit: &zero,
			reports: "preparing running done succeeded", console: "hello\n",
		},
		"exit status": {
			script: "print oh; exit 3", outcome: ci.OutcomeFailed, exit: &three,
			reason: "The script exited with status 3; the end of its console says why.", console: "oh\n",
		},
		"unknown command": {
			script: "fly", outcome: ci.OutcomeFailed, exit: &notFound,
			reason: "The script exited with status 127; a command was not found or could not be executed. The end of its console names it.",
		},
		"signal": {
			script: "kill SEGV", outcome: ci.OutcomeFailed, exit: &status139,
			reason: "The script was killed by SIGSEGV; no one asked for it here, so look in the console for what sent the signal.",
		},
		"out of memory": {
			script: "oom", outcome: ci.OutcomeFailed, exit: &status137,
			reason: "The script was killed by SIGKILL: the run used more than its memory limit of 2GiB; raise resources.memory in the job file, or use less.",
		},
		"preparation fails": {
			script: "prepare-fail no such image: nope", outcome: ci.OutcomeError, unbegun: true,
			reason:  "The run could not be prepared: no such image: nope.",
			reports: "preparing done error", console: "ci: prepare-fail no such image: nope\nci: The run could not be prepared: no such image: nope.\n",
		},
		"container lost": {
			script: "lose", outcome: ci.OutcomeError, reason: "The run's container was lost: its first process ended without a word.",
		},
		"panic in the script": {script: "panic", outcome: ci.OutcomeError, reason: "The agent failed while it carried out the run (the script says so)."},
		"panic while preparing": {
			script: "prepare-panic", outcome: ci.OutcomeError, unbegun: true, reason: "The agent failed while it carried out the run (prepare-panic).",
		},
		"results": {
			script: "result junit <xml/>; print made", results: []string{"junit"}, outcome: ci.OutcomeSucceeded,
			reason: "The script succeeded.", exit: &zero, reports: "preparing running collecting done succeeded",
			console: "made\nci: result junit: stored 6B\n",
		},
		"missing result": {
			script: "print nothing", results: []string{"junit"}, outcome: ci.OutcomeSucceeded, exit: &zero,
			reason: "The script succeeded. Result junit is missing: junit.txt matches no file.",
		},
		"results over the limit": {
			script: "result big 0123456789", results: []string{"big"}, change: func(b *fake.Backend) { b.MaxResult = 9 },
			outcome: ci.OutcomeError, exit: &zero,
			reason: "The script succeeded, but not all of its results could be stored. Result big is missing: the results are over the limit of 9B.",
		},
		"results over the limit of a failed script": {
			script: "result big 0123456789; exit 3", results: []string{"big"}, change: func(b *fake.Backend) { b.MaxResult = 9 },
			outcome: ci.OutcomeFailed, exit: &three,
			reason: "The script exited with status 3; the end of its console says why. Result big is missing: the results are over the limit of 9B.",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				row := play(t, c.script, c.change, c.results...).wait()
				require.Equal(t, c.outcome, row.Run.Outcome, row.Run.Reason)
				require.Contains(t, row.Run.Reason, c.reason)
				require.Equal(t, c.exit, row.Run.ExitCode)
				require.Equal(t, !c.unbegun, row.Run.ScriptStarted)
				if c.reports != "" {
					require.Equal(t, c.reports, strings.Join(row.Reports, " "))
				}
				if c.console != "" {
					require.Equal(t, c.console, string(row.Console))
				}
				require.Equal(t, int64(len(row.Console)), row.Run.Console.Bytes)
			})
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		row := play(t, "env CI; env CI_JOB; env CI_RUN_ID; env CI_RUN_URL; env CI_BRANCH_NAME", nil).wait()
		require.Equal(t, "true\nplay\n1\nhttp://ci.test/runs/1\n\n", string(row.Console))
	})
}

// An abort or a timeout reaches a run in each of its phases.
func TestEnds(t *testing.T) {
	t.Parallel()
	const grace = 10 * time.Second
	cases := map[string]struct {
		script  string
		results []string
		at      time.Duration // when the abort comes; 0 never
		timeout time.Duration
		outcome ci.Outcome
		reason  string
		took    time.Duration
		begun   bool
	}{
		"abort while preparing": {
			script: "prepare-sleep 1h", at: time.Second, outcome: ci.OutcomeAborted, took: time.Second,
			reason: "The run was aborted on request, before its script began.",
		},
		"abort while running": {
			script: "sleep 1h", at: time.Second, outcome: ci.OutcomeAborted, took: time.Second, begun: true,
			reason: "The run was aborted on request.",
		},
		"abort a script that ignores TERM": {script: "ignore-term; sleep 1h", at: time.Second, outcome: ci.OutcomeAborted, took: time.Second + grace, begun: true},
		"abort while collecting":           {script: "collect-sleep 5m", results: []string{"x"}, at: time.Second, outcome: ci.OutcomeAborted, took: time.Second, begun: true},
		"results of an aborted run": {
			script: "result x 1; sleep 1h", results: []string{"x"}, at: time.Second,
			outcome: ci.OutcomeAborted, took: time.Second, begun: true,
		},
		"timeout while preparing": {
			script: "prepare-sleep 1h", timeout: time.Minute, outcome: ci.OutcomeTimedOut, took: time.Minute,
			reason: "The run reached its timeout of 1m0s, before its script began.",
		},
		"timeout while running": {
			script: "sleep 1h", timeout: time.Minute, outcome: ci.OutcomeTimedOut, took: time.Minute, begun: true,
			reason: "The run reached its timeout of 1m0s. Raise timeout in the job file",
		},
		"timeout of a script that ignores TERM": {script: "ignore-term; sleep 1h", timeout: time.Minute, outcome: ci.OutcomeTimedOut, took: time.Minute + grace, begun: true},
		"timeout does not count collecting": {
			script: "collect-sleep 5m; result x 1", results: []string{"x"}, timeout: time.Minute,
			outcome: ci.OutcomeSucceeded, took: 5 * time.Minute, begun: true,
		},
		"abort after timeout": {
			script: "ignore-term; sleep 1h", timeout: time.Minute, at: time.Minute + time.Second,
			outcome: ci.OutcomeTimedOut, took: time.Minute + grace, begun: true,
		},
		"collecting takes too long": {
			script: "collect-sleep 11m", results: []string{"x"}, outcome: ci.OutcomeError, took: 10 * time.Minute, begun: true,
			reason: "The script succeeded, but not all of its results could be stored. Results could not be stored in the time that there is for it",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				b := play(t, c.script, func(b *fake.Backend) {
					b.TTL = time.Hour
					if c.timeout > 0 {
						b.Timeout = c.timeout
					}
				}, c.results...)
				if c.at > 0 {
					after(c.at)
					b.runner.Abort("")
					b.runner.Abort("") // as each renewal of the lease says it again
				}
				row := b.wait()
				require.Equal(t, c.outcome, row.Run.Outcome, row.Run.Reason)
				require.Contains(t, row.Run.Reason, c.reason)
				require.InDelta(t, c.took, time.Since(begin), float64(50*time.Millisecond))
				require.Equal(t, c.begun, row.Run.ScriptStarted)
				if name == "results of an aborted run" {
					require.Equal(t, "1", row.Results["x"])
				}
			})
		})
	}
}

func TestAbortNeedsNoGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		b := play(t, "ignore-term; write half a line; sleep 1h", func(b *fake.Backend) { b.Grace = 0 })
		after(time.Second)
		b.runner.Abort("The run was aborted because its agent stops.")
		row := b.wait()
		require.Equal(t, "The run was aborted because its agent stops.", row.Run.Reason)
		require.Equal(t, "half a line\nci: abort: The run was aborted because its agent stops; the script is killed\n", string(row.Console))
		require.Less(t, time.Since(begin), time.Second+50*time.Millisecond)
	})
}

// Who insists cuts the grace of a script short, and nothing else: what it has
// saved and printed is kept, and the outcome is that of the first who asked.
func TestInsist(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask     func(*bench)
		outcome ci.Outcome
		reason  string
		says    string
	}{
		"after an abort": {
			func(b *bench) { b.runner.Abort("") }, ci.OutcomeAborted, "The run was aborted on request.", "ci: abort: the run is aborted on request",
		},
		"again": {
			func(b *bench) { b.runner.Insist("The agent is stopped.") }, ci.OutcomeAborted, "The agent is stopped.", "ci: abort: The agent is stopped",
		},
		"after the timeout": {
			func(*bench) { after(2 * time.Hour) }, ci.OutcomeTimedOut, "The run reached its timeout of 1h0m0s.", "ci: timeout: the run reached its timeout of 1h0m0s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := play(t, "ignore-term; print begun; result x 1; sleep 9h", func(b *fake.Backend) { b.Grace, b.TTL = 3*time.Hour, 24*time.Hour }, "x")
				after(time.Second)
				c.ask(b)
				after(time.Minute)
				b.runner.Abort("") // as each renewal of the lease says it again
				after(time.Minute)
				require.Len(t, b.driver.Boxes(), 1, "the script has its grace")
				begin := time.Now()
				b.runner.Insist("Somebody is in a hurry.")
				b.runner.Insist("Somebody is in a hurry.")
				row := b.wait()
				require.Less(t, time.Since(begin), time.Minute)
				require.Equal(t, c.outcome, row.Run.Outcome)
				require.Contains(t, row.Run.Reason, c.reason)
				require.Equal(t, "begun\n"+c.says+"; the script has 3h0m0s to end\nci: the script gets no more time to end; it is killed\nci: result x: stored 1B\n", string(row.Console))
				require.Equal(t, "1", row.Results["x"])
			})
		})
	}
}

// Whoever comes first, an abort and a script's end at the same moment are one outcome.
func TestAbortRacesTheEnd(t *testing.T) {
	t.Parallel()
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			b := play(t, "sleep 1s; result x 1", nil, "x")
			time.Sleep(time.Second)
			b.runner.Abort("")
			row := b.wait()
			require.Contains(t, []ci.Outcome{ci.OutcomeSucceeded, ci.OutcomeAborted}, row.Run.Outcome)
			require.Equal(t, 1, row.Starts)
		})
	}
}

// A lost claim and the end of the context kill at once and report nothing.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"prepare-sleep 1h", "ignore-term; sleep 1h", "collect-sleep 5m"} {
		for how, stop := range map[string]func(*bench){
			"stop": func(b *bench) { b.runner.Stop() },
			"ctx":  func(b *bench) { b.cancel() },
		} {
			t.Run(script+" "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					b := play(t, script, nil, "x")
					after(2 * time.Second)
					calls, begin := b.backend.Calls(), time.Now()
					stop(b)
					row := b.wait()
					require.Equal(t, calls, b.backend.Calls(), "nothing more is reported")
					require.False(t, row.Run.Done())
					require.Zero(t, time.Since(begin))
				})
			})
		}
	}
}

// Another agent has the run now: the first word of that ends everything.
func TestConflictStops(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"started", "append"} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			b := play(t, "print x; sleep 1h", func(b *fake.Backend) {
				b.Fault = func(_ context.Context, name string, _ int, _ bool) error {
					if name == call {
						return ci.Errorf(ci.CodeConflict, "not yours")
					}
					return nil
				}
			})
			row := b.wait()
			require.False(t, row.Run.Done())
			require.Less(t, time.Since(begin), time.Second)
		})
	}
}

// R31: the n-th call fails, before it arrives or after, for every n of a run.
func TestNthCallFails(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for nth := 1; ; nth++ {
			reached := false
			synctest.Test(t, func(t *testing.T) {
				b := play(t, "print hello; sleep 2s; result x 1; print bye", func(b *fake.Backend) {
					b.Fault = func(_ context.Context, _ string, n int, late bool) error {
						if n == nth && late == after {
							reached = true
							return errors.New("the connection broke")
						}
						return nil
					}
				}, "x")
				row := b.wait()
				require.Equal(t, ci.OutcomeSucceeded, row.Run.Outcome, "call %d: %s", nth, row.Run.Reason)
				require.Equal(t, "hello\nbye\nci: result x: stored 1B\n", string(row.Console), "call %d", nth)
				require.Equal(t, "1", row.Results["x"])
				require.Equal(t, 1, row.Starts)
				require.Equal(t, "preparing running collecting done succeeded", strings.Join(row.Reports, " "))
			})
			if !reached {
				require.Greater(t, nth, 6)
				break
			}
		}
	}
}

// A removal that fails at first is tried again, after the run is done.
func TestRemoveFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		require.Equal(t, ci.OutcomeSucceeded, play(t, "remove-fail", nil).wait().Run.Outcome)
	})
}
