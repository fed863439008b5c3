package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// composeConfig has docker-compose put files of deploy/compose together, with
// nothing set but env, and returns what it prints.
func composeConfig(t *testing.T, env []string, files ...string) (string, error) {
	t.Helper()
	root, err := rig.Root()
	require.NoError(t, err)
	args := []string{"--env-file", noSettings(t)}
	for _, f := range files {
		args = append(args, "-f", filepath.Join(root, "deploy/compose", f))
	}
	cmd := exec.Command("docker-compose", append(args, "config")...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestComposeByToken sees that the agent of token.yaml is the only one that
// begins, and has no way to the system but its token.
func TestComposeByToken(t *testing.T) {
	t.Parallel()
	out, err := composeConfig(t, []string{"POSTGRES_PASSWORD=hush", "AGENT_TOKEN=its.own.token"}, "compose.yaml", "token.yaml")
	require.NoError(t, err, out)
	var project struct {
		Services map[string]struct {
			Environment map[string]string
			Volumes     []string
			Profiles    []string
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(out), &project))
	require.NotEmpty(t, project.Services["agent"].Profiles, "one with a profile does not begin by itself")
	agent := project.Services["token-agent"]
	require.Empty(t, agent.Profiles)
	require.Equal(t, []string{"agent:/var/lib/ci-agent:rw"}, agent.Volumes)
	require.Equal(t, "its.own.token", agent.Environment["CI_AGENT_TOKEN"])
	require.Equal(t, "http://cid:8080", agent.Environment["CI_AGENT_URL"])
	for name, value := range agent.Environment {
		require.NotContains(t, value, "hush", name)
		require.NotContains(t, []string{"CI_AGENT_DATABASE", "CI_AGENT_QUEUE", "CI_AGENT_BLOBS", "CI_AGENT_SECRET_KEY", "CI_S3_SECRET_KEY"}, name)
	}
}

// TestComposeFiles reads every combination of the files as docker-compose does.
func TestComposeFiles(t *testing.T) {
	t.Parallel()
	root, err := rig.Root()
	require.NoError(t, err)
	config := func(env []string, files ...string) (string, error) {
		t.Helper()
		return composeConfig(t, env, files...)
	}
	out, err := config([]string{"POSTGRES_PASSWORD=x"}, "compose.yaml")
	require.NoError(t, err, out)
	require.Contains(t, out, "privileged: true")
	out, err = config([]string{"POSTGRES_PASSWORD=x"}, "compose.yaml", "narrow.yaml")
	require.NoError(t, err, out)
	require.NotContains(t, out, "privileged: true")
	out, err = config([]string{"POSTGRES_PASSWORD=x", "DOCKER_GID=999"}, "compose.yaml", "socket.yaml")
	require.NoError(t, err, out)
	require.NotContains(t, out, "privileged: true")
	require.Contains(t, out, "/var/run/docker.sock")
	out, err = config(nil, "compose.yaml")
	require.Error(t, err)
	require.Contains(t, out, "give Postgres a password in .env")

	// What the example names is read.
	example, err := os.ReadFile(filepath.Join(root, "deploy/compose/.env.example"))
	require.NoError(t, err)
	text := ""
	for _, file := range []string{"compose.yaml", "token.yaml"} {
		part, err := os.ReadFile(filepath.Join(root, "deploy/compose", file))
		require.NoError(t, err)
		text += string(part)
	}
	for name := range strings.Lines(string(example)) {
		name, _, set := strings.Cut(strings.TrimPrefix(name, "#"), "=")
		if !set || strings.Contains(name, " ") {
			continue
		}
		require.Contains(t, text, "${"+name, ".env.example names %s, which no file reads", name)
	}
}

func noSettings(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	return file
}
