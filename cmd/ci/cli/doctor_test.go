package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.documents["/healthz"], w.documents["/readyz"] = `{"status":"ok"}`, `{"status":"ready"}`
	w.documents["/whoami"] = `{"name":"ann","role":"admin"}`
	w.client.agents = []ci.Agent{{ID: "a", Version: "v1", SeenAt: noon}}
	w.env["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
	got := w.run("doctor", "--jq", `.checks[] | "\(.name) \(.grade)"`)
	for _, line := range []string{"settings ok", "server ok", "transport ok", "clock fail", "parts ok", "token ok", "agents ok", "git ok", "docker warn", "terminal ok"} {
		require.Contains(t, got.out, line+"\n", got.err)
	}
	require.Equal(t, exitOther, got.code, "the clock of the test stands still")

	w.now = time.Now()
	w.client.agents[0].SeenAt = w.now
	got = w.run("doctor")
	require.Equal(t, 0, got.code, got.out)
	require.Contains(t, got.out, "ok\ttoken\tann, role admin\t\n")
	w.documents["/whoami"] = `{"name":"bot","role":"trigger","jobs":["a","b"],"expiresAt":"` + w.now.Add(30*time.Hour).Format(time.RFC3339) + `"}`
	require.Regexp(t, `warn\ttoken\tbot, role trigger, limited to a, b; it ends in (30h0m0s|29h5[0-9]m0s)\t`, w.run("doctor").out)
	w.documents["/whoami"] = `{"name":"m1","role":"agent","agent":"m1"}`
	require.Contains(t, w.run("doctor").out, "ok\ttoken\tm1, role agent, of agent m1\t")
	w.env["CI_TOKEN"] = "wrong"
	got = w.run("doctor")
	require.Equal(t, exitNotFound, got.code)
	require.Contains(t, got.out, "fail\ttoken\t")
	w.env["CI_URL"] = "http://127.0.0.1:1"
	got = w.terminal().run("doctor")
	require.Equal(t, exitUnreachable, got.code)
	require.Contains(t, got.out, "fail server")
	delete(w.env, "CI_URL")
	require.Equal(t, exitUsage, w.run("doctor").code)
}

// An agent that starts together with its server is waited for, and one that never comes for a moment only.
func TestDoctorWaitsForAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.documents["/healthz"], w.documents["/readyz"] = `{"status":"ok"}`, `{"status":"ready"}`
	w.documents["/whoami"] = `{"name":"ann","role":"admin"}`
	w.client.agents = []ci.Agent{{ID: "a", Version: "v0", SeenAt: noon.Add(-time.Hour)}, {ID: "b", SeenAt: noon, Problem: ci.AgentStarting}}
	w.onNote = func(text string) {
		if strings.Contains(text, "Waiting") {
			w.client.agents = []ci.Agent{{ID: "a", Version: "v1", SeenAt: noon}}
		}
	}
	got := w.run("doctor")
	require.Contains(t, got.out, "ok\tagents\t1 ready")
	require.Contains(t, got.err, "No agent is ready yet")

	w.onNote, w.client.agents = nil, nil
	got = w.run("doctor")
	require.Contains(t, got.out, "warn\tagents\tnone of 0 is ready")
	require.Equal(t, 1, strings.Count(got.err, "Waiting"))

	w.client.agents = []ci.Agent{{ID: "a", Problem: "Docker does not answer", SeenAt: noon}}
	got = w.run("doctor")
	require.Contains(t, got.out, "warn\tagents\tnone of 1 is ready")
	require.NotContains(t, got.err, "Waiting", "it tells itself why it is not ready")
}

func TestMan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "man1")
	require.Equal(t, 0, w.run("man", dir).code)
	pages, err := filepath.Glob(filepath.Join(dir, "ci*.1"))
	require.NoError(t, err)
	require.Greater(t, len(pages), 40)
	text, err := os.ReadFile(filepath.Join(dir, "ci-run.1"))
	require.NoError(t, err)
	require.Contains(t, string(text), "Trigger a run of a job")
	require.Contains(t, strings.ToLower(string(text)), "example")
}
