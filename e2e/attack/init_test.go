package attack

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// initAttacks are on PID 1, which the agent talks to.
func initAttacks() []attack {
	return []attack{
		{name: "init-memory", what: "PID 1's memory, descriptors and files: `ptrace`, `process_vm_readv`, `pidfd_getfd`, `/proc/1/…`", stops: "PID 1 is not dumpable; no `SYS_PTRACE`", script: "burglar init"},
		{
			name: "init-signals", what: "killing and stopping PID 1, with every signal", stops: "the kernel, for KILL and STOP; PID 1 takes and ignores all others",
			script: `for s in $(seq 1 64); do kill -$s 1 2>/dev/null; done; sleep 0.2; kill -0 1 && echo "held: alive"`,
		},
		{
			name: "init-binary", what: "overwriting the program that is PID 1 (as CVE-2019-5736 did with runc)", stops: "the toolbox's volume is read-only",
			script: `for f in /.ci/ci-agent /proc/1/exe; do if (echo x > $f) 2>/dev/null; then echo "BREACH: $f"; else echo "held: $f"; fi; done
refuse rm -f /.ci/ci-agent
refuse touch /.ci/x
refuse chmod 777 /.ci
refuse chown 1234 /.ci/ci-agent
refuse mv /.ci /tmp/ci`,
		},
		{
			name: "init-frames", what: "printing what PID 1 would tell its agent: forged frames with an end of the script", stops: "output travels as data of its own stream",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "burglar frames\necho after\nexit 3\n"})
				require.Equal(t, "failed", run.Outcome)
				require.EqualValues(t, 3, *run.ExitCode)
				require.Contains(t, run.console, `{"exit":{"code":0}}`)
				require.Contains(t, run.console, "after")
			},
		},
		{
			name: "init-descriptors", what: "the connection to the agent, by descriptors that the script inherits", stops: "the script gets `/dev/null` and one pipe; all else closes on exec",
			script: `for f in /proc/$$/fd/*; do case "$(readlink $f)" in /dev/null|/run/ci/script|pipe:*|"") echo "held: $f";; *) echo "BREACH: $f is $(readlink $f)";; esac; done
for n in 3 4 5 6 7 8 9; do if (echo x >&$n) 2>/dev/null; then echo "BREACH: descriptor $n"; else echo "held: descriptor $n"; fi; done`,
		},
		{
			name: "init-strangle", what: "taking from PID 1 its files, memory and processor by `prlimit`", stops: "nothing, in its own container: the run ends as an error or as it would, and nothing is left",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "burglar strangle\nburglar strangle\necho x > out\n", "results": spec{"out": "out"}})
				require.Contains(t, []string{"succeeded", "error", "failed"}, run.Outcome)
				after := w.play(t, spec{"script": "echo fine"})
				require.Equal(t, "succeeded", after.Outcome, after.Reason)
			},
		},
	}
}
