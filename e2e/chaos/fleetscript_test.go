package chaos

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// fleetScript tells that it has begun, prints numbered lines, and in between,
// when LOUD is set, far more than the index of consoles takes: that is in S3.
// It lives for a moment or until its gate is opened, saves results, and tells
// the sums of what it saved and printed, and that it ends. If it has a secret it
// prints it. It tells of a leak when it sees what is another job's, another
// run's, or the platform's own.
const fleetScript = `
tell() { git ls-remote "$RECORDER/$1/$CI_RUN_ID$2" 2>/dev/null || true; }
lines() { i=$1; while [ $i -lt $2 ]; do i=$((i+1)); echo "line $i of run $CI_RUN_ID"; done | tee -a printed.txt; }
sum() { sha256sum <"$1" | cut -c1-64; }
tell begun
if [ -n "${NEIGHBOUR:-}" ] && [ -n "${CANARY:-}" ]; then tell leak /secret; fi
if [ -e /tmp/mark ] || [ -e mark ]; then tell leak /file; fi
if cat /proc/*/environ 2>/dev/null | grep -a -q -e CI_S3_ -e CI_AGENT_TOKEN -e postgres:// -e test-secret-key; then tell leak /credentials; fi
touch /tmp/mark mark
[ -z "${CANARY:-}" ] || echo "the canary is $CANARY"
lines 0 100
if [ -n "${LOUD:-}" ]; then
	awk -v x="$CI_RUN_ID" 'BEGIN { for (i = 0; i < 9000; i++) { x = x * 48271 % 2147483647; printf "%08x\n", x } }' >noise.txt
	tee -a printed.txt <noise.txt
fi
if [ -n "${GATE:-}" ]; then git ls-remote "$RECORDER/gate/$GATE" 2>/dev/null || true; else sleep 0.5; fi
lines 100 200
echo "$CI_RUN_ID" >id.txt
tell saved "/$(sum id.txt)/$(sum printed.txt)"
tell ended
`

// fleetJob is a job whose runs report to the recorder. Its secrets are named by env.
func fleetJob(recorder string, parameters map[string]string, env ...string) map[string]any {
	all := []map[string]any{{"name": "RECORDER", "default": recorder}, {"name": "GATE", "default": ""}, {"name": "LOUD", "default": ""}}
	for name, value := range parameters {
		all = append(all, map[string]any{"name": name, "default": value})
	}
	spec := map[string]any{"script": fleetScript, "results": map[string]any{
		"id":      map[string]any{"path": "id.txt", "type": "text/plain"},
		"printed": map[string]any{"path": "printed.txt", "type": "text/plain"},
	}}
	if len(env) > 0 {
		spec["env"] = env
	}
	return map[string]any{"freestyle": spec, "parameters": all}
}

// masked is what the console shows of the line that has the secret.
const masked = "the canary is ***\n"

// printed is what the script prints, but for the line with the secret.
func printed(run int64, loud bool) string {
	var b strings.Builder
	lines := func(from, to int) {
		for i := from + 1; i <= to; i++ {
			fmt.Fprintf(&b, "line %d of run %d\n", i, run)
		}
	}
	lines(0, 100)
	if loud { // the generator of Park and Miller (1988), with the better factor of 1993
		for i, x := 0, run; i < 9000; i++ {
			x = x * 48271 % 2147483647
			fmt.Fprintf(&b, "%08x\n", x)
		}
	}
	lines(100, 200)
	return b.String()
}

// spoken is a console without the lines that are the platform's own.
func spoken(console string) string {
	var b strings.Builder
	for line := range strings.Lines(console) {
		if !strings.HasPrefix(line, "ci:") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}
