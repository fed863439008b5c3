package attack

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// speechAttacks are by what is said: values that come in, text that goes out.
func speechAttacks() []attack {
	return []attack{
		{
			name: "agent-environment", what: "the environment of the agent and the backend, with all that is in it", stops: "a job's environment is made from nothing",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": prelude + "env\ncat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'\necho 'held: read'"})
				require.NotContains(t, run.console, w.canary)
				require.NotContains(t, run.console, "DOCKER_HOST")
				held(t, run.console)
				w.neverInspected(t, w.canary)
			},
		},
		{
			name: "admin-token", what: "the backend's data folder, with its tokens and keys", stops: "no path of the machine is in a container",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": prelude + "nothing " + w.cid.Data + "\nif find / -xdev \\( -name admin.token -o -name ci.db -o -name '*.key' \\) 2>/dev/null | grep .; then echo BREACH; else echo 'held: not found'; fi\nif mount | grep " + w.cid.Data + "; then echo BREACH; fi"})
				held(t, run.console)
			},
		},
		{
			name: "parameter-shell", what: "parameters that are shell, ours by name, or no text at all", stops: "values are environment variables and never part of a command; `CI_` is ours",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": prelude + `echo "$EVIL" > seen; nothing /stolen; echo "held: $CI_JOB"`}, map[string]string{"EVIL": "$(touch /stolen); `touch /stolen`\n'; touch /stolen; \"\x01"})
				held(t, run.console)
				for _, name := range []string{"CI_TOKEN", "CI_URL", "A B", "A=B", "", "A\nB", "1A"} {
					a, err := w.client.Do(t.Context(), http.MethodPut, "/jobs/names", []byte(text(t, spec{"freestyle": spec{"script": "true"}, "parameters": []spec{{"name": name}}})))
					require.NoError(t, err)
					require.Equal(t, http.StatusBadRequest, a.Status, "%q", name)
				}
			},
		},
		{
			name: "other-secrets", what: "secrets of another job: named in a job file that does not have them, in the environment, in the console of the run that has", stops: "secrets belong to their job; a name without a value ends the run before any container; consoles are masked",
			test: func(t *testing.T, w *world) {
				value := "secret-" + w.canary
				owner := w.put(t, "freestyle", spec{"script": "echo $TREASURE; printf '%s' $TREASURE | base64; env", "env": []string{"TREASURE"}, "environment": spec{"image": w.image}, "resources": spec{"cpus": 0.5, "memory": "256MiB"}}, nil)
				require.NoError(t, w.client.Call(t.Context(), http.MethodPut, "/jobs/"+owner+"/secrets/TREASURE", spec{"value": value}, nil))
				run, err := w.client.Trigger(t.Context(), owner)
				require.NoError(t, err)
				own := w.await(t, run)
				require.Equal(t, "succeeded", own.Outcome, own.Reason)
				thief := w.play(t, spec{"script": "echo BREACH; env", "env": []string{"TREASURE"}})
				require.Equal(t, "error", thief.Outcome)
				require.Contains(t, thief.Reason, "TREASURE")
				after := w.play(t, spec{"script": prelude + "env; echo 'held: looked'"})
				held(t, after.console)
				w.neverInspected(t, value)
				a, err := w.client.Do(t.Context(), http.MethodGet, "/jobs/"+owner+"/secrets", nil)
				require.NoError(t, err)
				for _, text := range []string{own.console, thief.console, after.console, string(a.Body)} {
					require.NotContains(t, text, value)
					require.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte(value)))
				}
			},
		},
		{
			name: "secret-spelled", what: "a run's own secret in other forms: base64 at every alignment, hex, URL, JSON, byte by byte, in pieces, in names of results and files, and to a service that logs it", stops: "nothing may stop a script that means it; what the run and its services print and all words about it are masked",
			test: func(t *testing.T, w *world) {
				value := "s3cret-" + w.canary + "+\"x\""
				owner := w.put(t, "freestyle", spec{
					"script": `printf '%s' "$TREASURE" | base64 -w0; echo; printf 'x%s' "$TREASURE" | base64 -w0; echo; printf 'xx%s' "$TREASURE" | base64 -w0; echo
printf '%s' "$TREASURE" | od -An -v -tx1 | tr -d ' \n'; echo
printf '%s' "$TREASURE" | sed 's/./&\n/g' | while IFS= read -r c; do printf '%s' "$c"; done; echo
printf '%s' "$TREASURE" | dd bs=1 2>/dev/null; echo
echo "{\"x\": \"$(printf '%s' "$TREASURE" | sed 's/"/\\"/g')\"}"
wget -q -O- "http://web:8080/$TREASURE" || true
mkdir -p "out/$TREASURE"; echo x > "out/$TREASURE/x"; ls -R out
exec sh -c "exit 7" "$TREASURE"`,
					"env": []string{"TREASURE"}, "environment": spec{"image": w.image}, "resources": spec{"cpus": 0.5, "memory": "256MiB"}, "results": spec{"out": "out/**/x"},
					"services": spec{"web": spec{"image": w.image, "command": []string{"httpd", "-f", "-vv", "-p", "8080"}, "expose": []string{"8080"}}},
				}, nil)
				require.NoError(t, w.client.Call(t.Context(), http.MethodPut, "/jobs/"+owner+"/secrets/TREASURE", spec{"value": value}, nil))
				run, err := w.client.Trigger(t.Context(), owner)
				require.NoError(t, err)
				own := w.await(t, run)
				require.Equal(t, "failed", own.Outcome, own.Reason)
				all := own.console + own.Reason + w.logs(t, own.Run)
				for _, p := range []string{path(own.Run), path(own.Run) + "/results"} {
					a, err := w.client.Do(t.Context(), http.MethodGet, p, nil)
					require.NoError(t, err)
					all += string(a.Body)
				}
				require.Contains(t, own.console, "***")
				// The canary is most of the value, and no form leaves it as it is.
				for _, form := range []string{w.canary, hex.EncodeToString([]byte(value)), base64.RawStdEncoding.EncodeToString([]byte(value))} {
					require.NotContains(t, all, form)
				}
			},
		},
		{
			name: "forged-lines", what: "lines that look like the agent's: a success, a stored result, an end", stops: "an outcome comes from PID 1's exit status, never from text",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "echo 'ci: the script succeeded'; echo 'ci: result out: stored 4B'; printf 'event: end\\ndata: {\"outcome\":\"succeeded\"}\\n\\n'; exit 9", "results": spec{"out": "nothing"}})
				require.Equal(t, "failed", run.Outcome)
				require.Empty(t, w.results(t, run.Run))
			},
		},
		{
			name: "event-injection", what: "a console that ends an event of the stream and begins one of its own", stops: "each line is data of its own",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": `printf 'x\n\nevent: end\ndata: {"outcome":"BREACH"}\n\n\revent: end\rdata: BREACH\r\r'; exit 4`})
				a, err := w.client.Do(t.Context(), http.MethodGet, path(run.Run)+"/results/console?follow=1", nil, "Accept: text/event-stream")
				require.NoError(t, err)
				for line := range strings.FieldsFuncSeq(string(a.Body), func(r rune) bool { return r == '\n' || r == '\r' }) {
					if strings.HasPrefix(line, "event: end") {
						require.Equal(t, 1, strings.Count("\n"+strings.ReplaceAll(string(a.Body), "\r", "\n"), "\nevent: end"), "%q", a.Body)
					}
				}
				require.Contains(t, string(a.Body), `"failed"`)
			},
		},
		{
			name: "terminal", what: "escapes that steer a reader's terminal: titles, clipboard, answers, bidirectional text", stops: "the command line shows colours and nothing else of it",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": `printf '\033]0;title\007 \033]52;c;AAAA\007 \033[6n \033P1$r\033\\ \033]8;;http://x\007 \302\233 \342\200\256 \033[31mred\033[0m \033[2J\033[H seen\n'`})
				require.Contains(t, run.console, "\x1b]52", "the console itself keeps what was printed")
				// script(1) gives it a terminal; into a pipe it writes the bytes as they are.
				ci := exec.CommandContext(t.Context(), "script", "-qec", fmt.Sprintf("%s logs %s %d", w.bin.Path("ci"), run.Job, run.ID), "/dev/null")
				ci.Env = []string{"TERM=xterm", "CI_URL=" + w.cid.URL, "CI_TOKEN=" + w.cid.Token, "HOME=" + t.TempDir(), "PATH=/usr/bin:/bin"}
				out, err := ci.CombinedOutput()
				require.Contains(t, string(out), "seen", "%v", err)
				for _, evil := range []string{"\x1b]", "\x1bP", "\x1b[6n", "\x1b[2J", "\u009b", "\u202e", "\x07"} {
					require.NotContains(t, string(out), evil)
				}
			},
		},
		{
			name: "console-bytes", what: "NULs, broken UTF-8, a line of three megabytes, and more than the limit", stops: "bytes are kept as they are and cut at the limit with a line that says so",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": `printf 'a\000b\377\376\302'; head -c 3000000 /dev/zero | tr '\0' x; echo; yes flood | head -c 6000000; echo end`})
				require.Equal(t, "succeeded", run.Outcome)
				require.LessOrEqual(t, len(run.console), 5<<20)
				require.True(t, strings.HasPrefix(run.console, "a\x00b\xff\xfe\xc2xxx"), "%.20q", run.console)
			},
		},
		{
			name: "tokens", what: "forged, cut, doubled and foreign tokens, none at all, and paths that walk around the check", stops: "Ed25519 over the token, its row in the database, one door for all paths",
			test: func(t *testing.T, w *world) {
				half := strings.Split(w.cid.Token, ".")
				for _, token := range []string{"", "x", "a.b.c", half[0] + "." + half[1] + ".", half[0] + ".." + half[2], w.cid.Token + "x", "eyJhbGciOiJub25lIn0.e30.", strings.ToUpper(w.cid.Token)} {
					for _, p := range []string{"/jobs", "/tokens", "//jobs", "/jobs/../tokens", "/%6aobs", "/jobs;x", "/JOBS", "/jobs/"} {
						a, err := w.as(token).Do(t.Context(), http.MethodGet, p, nil)
						require.NoError(t, err)
						require.Contains(t, []int{400, 401, 403, 404, 405, 301, 307, 308}, a.Status, "%q %s", token, p)
						require.NotContains(t, string(a.Body), `"jobs":[`)
					}
				}
			},
		},
		{
			name: "ignore-term", what: "ignoring SIGTERM, stopping oneself, and forking on after an abort", stops: "after the grace period all processes of the container are killed until none is left",
			test: func(t *testing.T, w *world) {
				run := w.trigger(t, spec{"environment": spec{"image": w.image}, "script": `trap '' TERM INT HUP QUIT; (while :; do sleep 1 & sleep 0.1; done) & setsid sh -c "trap '' TERM; while :; do sleep 1; done" & echo ready; kill -STOP $$; while :; do sleep 1; done`}, nil)
				w.until(t, run, "ready")
				_, err := w.client.Do(t.Context(), http.MethodPost, path(run)+"/abort", nil)
				require.NoError(t, err)
				require.Equal(t, "aborted", w.await(t, run).Outcome)
			},
		},
	}
}

// as is a client with another token.
func (w *world) as(token string) *rig.Client { return rig.NewClient(w.cid.URL, token) }

// until waits for something on a console.
func (w *world) until(t *testing.T, run rig.Run, text string) {
	t.Helper()
	require.NoError(t, rig.Poll(t.Context(), patience, func() error {
		if console := w.console(t, run); !strings.Contains(console, text) {
			return fmt.Errorf("run %d has not yet printed %q", run.ID, text)
		}
		return nil
	}))
}

// neverInspected looks for a text in all that the engine tells of the agent's objects.
func (w *world) neverInspected(t *testing.T, text string) {
	t.Helper()
	objects, err := w.docker.Objects(t.Context(), "ci.agent="+w.cid.Agent)
	require.NoError(t, err)
	require.NotEmpty(t, objects)
	for _, o := range objects {
		var all json.RawMessage
		if err := w.docker.Inspect(t.Context(), o, &all); err == nil { // else it has just gone
			require.NotContains(t, string(all), text, o)
		}
	}
}
