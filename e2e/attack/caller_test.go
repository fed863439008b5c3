package attack

import (
	"encoding/base64"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// callerAttacks use what a script with ci: true is given: a token, and the API
// at an address of its own container.
func callerAttacks() []attack {
	return []attack{
		{
			name: "run-token", what: "the run's own token: other jobs and their secrets, its own job's file, tokens, agents, settings, keys, in 32 calls", stops: "the token is its run's; what it may is one table, and all else is refused",
			test: func(t *testing.T, w *world) {
				foreign := w.put(t, "freestyle", spec{"script": "true", "resources": spec{"cpus": 0.5, "memory": "256MiB"}}, nil)
				_, err := w.client.Trigger(t.Context(), foreign)
				require.NoError(t, err)
				require.NoError(t, w.client.Call(t.Context(), http.MethodPut, "/jobs/"+foreign+"/secrets/TREASURE", spec{"value": "treasure-" + w.canary}, nil))
				run := w.play(t, spec{"script": "burglar caller", "ci": true}, map[string]string{"FOREIGN": foreign})
				held(t, run.console)
				var job struct{ Freestyle spec }
				require.NoError(t, w.client.Call(t.Context(), http.MethodGet, "/jobs/"+foreign, nil, &job))
				require.Equal(t, "true", job.Freestyle["script"])
			},
		},
		{
			name: "run-token-later", what: "the run's token after its end, kept in a result", stops: "the statement that ends the run ends its token",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "printf %s $CI_TOKEN | base64 | tr -d '\\n' > kept; wget -q -O /dev/null --header \"Authorization: Bearer $CI_TOKEN\" $CI_URL/jobs/$CI_JOB && echo it worked", "ci": true, "results": spec{"kept": "kept"}})
				require.Contains(t, run.console, "it worked")
				token, err := base64.StdEncoding.DecodeString(w.result(t, run.Run, "kept"))
				require.NoError(t, err)
				require.NotEmpty(t, token)
				for _, p := range []string{"/jobs/" + run.Job, path(run.Run), "/runs"} {
					a, err := w.as(string(token)).Do(t.Context(), http.MethodGet, p, nil)
					require.NoError(t, err)
					require.Equal(t, http.StatusUnauthorized, a.Status, p)
				}
			},
		},
		{
			name: "api-relay", what: "the API's address in the container as a way elsewhere: CONNECT, absolute addresses, other hosts' names, SOCKS, no HTTP at all, silent callers by the hundred", stops: "what comes by it is handed to the API and to nothing else; it serves so many at once, and ends with the script",
			test: func(t *testing.T, w *world) {
				run := w.play(t, spec{"script": "burglar relay\necho the end", "ci": true}, map[string]string{"DECOY": net.JoinHostPort(w.host, w.decoy.port)})
				require.Equal(t, "succeeded", run.Outcome, run.Reason)
				held(t, run.console)
				require.Contains(t, run.console, "the end")
				require.Zero(t, w.decoy.hits(), "the API's way in led to another service of the machine")
			},
		},
	}
}
