package attack

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// everywhere lists the files of a container but those of the kernel and the script itself.
const everywhere = "find / -type d \\( -path /proc -o -path /sys -o -path /run/ci \\) -prune -o -type f -print 2>/dev/null"

// neighbourAttacks are on runs beside, before and after.
func neighbourAttacks() []attack {
	return []attack{
		{
			name: "other-processes", what: "seeing and signalling processes of the machine and of other runs", stops: "a PID namespace of its own",
			script: `n=$(ls /proc | grep -c '^[0-9]'); [ $n -lt 20 ] && echo "held: $n processes" || echo "BREACH: $n processes"
if ps | grep -E '[d]ockerd|[c]ontainerd|[ /][c]id |[c]i-agent (pause|checkout)'; then echo BREACH; else echo "held: none of the machine's"; fi`,
		},
		{
			name: "other-files", what: "another run's workspace, temporary files and shared memory, while it is running", stops: "volumes, layers and `/dev/shm` of its own",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": prelude + "nothing treasure /tmp/treasure /dev/shm/treasure\nif " + everywhere + " | xargs grep -s treasure-; then echo BREACH; fi\nif grep -c '/_data' /proc/self/mountinfo | grep -qx 1; then echo 'held: one volume, the toolbox'; fi\nls -d /var/lib/docker/volumes 2>/dev/null && echo BREACH"})
				held(t, run.console)
				require.NotContains(t, run.console, "treasure-"+w.canary)
			},
		},
		{
			name: "leftovers", what: "what an earlier run left: files, processes, ports, host names, shared memory", stops: "containers and volumes go with their run; what a network shares is put back",
			test: func(t *testing.T, w *world) {
				mark := "mark-" + rig.Random()
				w.play(t, spec{"script": fmt.Sprintf("for f in /workspace/x /tmp/x /dev/shm/x /root-x /etc/hosts /etc/resolv.conf /etc/hostname; do echo '6.6.6.6 %s' >> $f; done; setsid nc -l -p 7777 & setsid sleep 1000 & true", mark)})
				for range 2 { // one of them gets the same network
					run := w.play(t, spec{"script": prelude + "if " + everywhere + " | xargs grep -s " + mark[:5] + "'" + mark[5:] + "'; then echo BREACH; else echo 'held: no mark'; fi\nclosed 127.0.0.1 7777\nif ps | grep '[s]leep 1000'; then echo BREACH; fi"})
					held(t, run.console)
				}
			},
		},
		{
			name: "survivors", what: "processes that leave the script's session and live on", stops: "all of the container is killed before results are taken, and the container goes",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "echo before > out\nsetsid sh -c \"trap '' TERM HUP; sleep 3; echo after > /workspace/out; nc -l -p 9999\" >/dev/null 2>&1 &\necho done\n", "results": spec{"out": "out"}})
				require.Equal(t, "before\n", w.result(t, run.Run, "out"))
				require.NoError(t, rig.Poll(t.Context(), patience, func() error {
					left, err := w.docker.Objects(t.Context(), "ci.agent="+w.cid.Agent, fmt.Sprintf("ci.run=%d", run.ID))
					if err == nil && len(left) > 0 {
						err = fmt.Errorf("still there: %v", left)
					}
					return err
				}))
			},
		},
		{
			name: "toolbox", what: "leaving something in the toolbox's volume, which all runs share", stops: "it is mounted read-only, and takes `SYS_ADMIN` to be mounted otherwise",
			script: "refuse touch /.ci/x\nrefuse ln -s /etc /.ci/link\nrefuse mount -o remount,rw /.ci\nrefuse mkdir /.ci/d\nrefuse dd if=/dev/zero of=/.ci/ci-agent bs=1 count=1 conv=notrunc",
		},
	}
}
