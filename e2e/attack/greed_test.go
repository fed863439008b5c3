package attack

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// greedAttacks use something up. What ends is the run, and the next one is carried out.
func greedAttacks() []attack {
	// alive says that another run goes through as ever.
	alive := func(t *testing.T, w *world) {
		t.Helper()
		after := w.play(t, spec{"script": "echo fine"})
		require.Equal(t, "succeeded", after.Outcome, after.Reason)
	}
	return []attack{
		{
			name: "fork-bomb", what: "a fork bomb", stops: "a limit of processes",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "bomb() { bomb | bomb & }\nbomb 2>/dev/null\nfor i in $(seq 1000); do sleep 600 2>/dev/null & done\nsleep 2\n", "resources": spec{"pids": 64}, "timeout": "1m"})
				require.Equal(t, "done", run.Status)
				alive(t, w)
			},
		},
		{
			name: "memory-bomb", what: "all of the memory, and swap", stops: "a limit of memory that counts swap; the script is killed before PID 1",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "tail -c 2000000000 /dev/zero", "resources": spec{"memory": "64MiB"}})
				require.Equal(t, "failed", run.Outcome, run.Reason)
				require.Contains(t, run.Reason, "memory")
				alive(t, w)
			},
		},
		{
			name: "disk", what: "filling the engine's disk: the root, the workspace, a declared volume, `/etc/hosts`, a file that is removed while it is open", stops: "PID 1 measures what is written, the agent ends the run at its limit; when the disk is nearly full the largest run goes",
			test: func(t *testing.T, w *world) {
				image := w.makeImage(t, nil, []string{"VOLUME /data"})
				for _, where := range []string{"/fill", "fill", "/data/fill", "/etc/hosts"} {
					run := w.play(t, spec{"script": "dd if=/dev/zero of=" + where + " bs=1M count=100; sleep 200; echo BREACH", "environment": spec{"image": image}})
					require.Equal(t, "error", run.Outcome, run.Reason)
					require.Contains(t, run.Reason, "written")
					require.NotContains(t, run.console, "BREACH")
				}
			},
		},
		{
			name: "inodes", what: "using up the disk's inodes with empty files, and hiding files in folders nested too deep", stops: "each name counts at least 4 KiB; what can't be measured ends the run",
			test: func(t *testing.T, w *world) {
				image := w.makeImage(t, nil, []string{"VOLUME /data"}) // creating thousands of files takes long on some roots
				for _, script := range []string{"seq 15000 | xargs touch", "i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done; dd if=/dev/zero of=x bs=1M count=30"} {
					run := w.play(t, spec{"script": "cd /data; " + script + "; sleep 200; echo BREACH", "environment": spec{"image": image}})
					require.Equal(t, "error", run.Outcome, run.Reason)
					require.Contains(t, run.Reason, "disk")
				}
			},
		},
		{
			name: "shared-memory", what: "filling `/dev/shm`, `/dev` and `/dev/mqueue`", stops: "sizes; what is in them counts as the run's memory",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": prelude + "refuse dd if=/dev/zero of=/dev/shm/x bs=1M count=100\nrefuse dd if=/dev/zero of=/dev/x bs=1M count=100\nrm -f /dev/x /dev/shm/x\n", "resources": spec{"memory": "512MiB"}})
				held(t, run.console)
			},
		},
		{
			name: "descriptors", what: "all descriptors and processes of one user number, which the kernel counts over containers", stops: "limits are the container's; others work on",
			test: func(t *testing.T, w *world) {
				run := w.trigger(t, spec{"environment": spec{"image": w.image, "user": "dev"}, "script": "i=0; while [ $i -lt 200 ]; do sleep 1000 2>/dev/null </dev/null & i=$((i+1)); done; echo ready; wait", "resources": spec{"pids": 128}, "timeout": "2m"}, nil)
				beside := w.play(t, spec{"environment": spec{"image": w.image, "user": "dev"}, "script": prelude + "for i in $(seq 50); do sleep 0.2 & done; wait && echo 'held: 50 processes beside it'"})
				held(t, beside.console)
				_, err := w.client.Do(t.Context(), http.MethodPost, path(run)+"/abort", nil)
				require.NoError(t, err)
				w.await(t, run)
			},
		},
	}
}
