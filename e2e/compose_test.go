package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
)

// TestCompose is deploy/compose as it is, for real: the images that make images
// builds, Postgres, NATS, and an agent with an engine of its own, which is where
// runs are carried out. The agent is drained, and killed, and nothing is left.
func TestCompose(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds images and starts them")
	}
	t.Parallel()
	c := newComposed(t)
	c.up(t)
	c.carriesOut(t)
	c.drains(t)
	c.sweeps(t)
	c.down(t)
}

// composed is one project of docker-compose.
type composed struct {
	root, project string
	settings      string // an empty .env: a person's own must not count
	env           []string
	docker        *rig.Docker
	git           *rig.Git
	recorder      *rig.Recorder
	client        *rig.Client
	image         string // of jobs, in the agent's own engine
}

// imagesLimit bounds the making of the images: with an empty cache it installs
// Debian packages, and before that a Debian.
const imagesLimit = 12 * time.Minute

func newComposed(t *testing.T) *composed {
	t.Helper()
	root, err := rig.Root()
	require.NoError(t, err)
	word := rig.Random()
	c := &composed{root: root, project: "cie2e" + word, image: "job:" + word}
	c.docker, err = rig.OpenDocker()
	require.NoError(t, err, "Docker does not answer, and this test is about containers")
	addr, err := rig.FreeAddr()
	require.NoError(t, err)
	bin, err := rig.Build(t.Context(), t.TempDir())
	require.NoError(t, err)
	c.settings = noSettings(t)
	c.env = append(os.Environ(), "TAG=e2e-"+word, "BIN="+string(bin), "LISTEN="+addr, "POSTGRES_PASSWORD=pw-"+word,
		"AGENT_ID="+c.project, "LEASE=30s", "MAX_LOAD=1", "IMAGES=cid agent", "IMAGE_PREFIX=", "ENGINE_FLAGS=--storage-driver=fuse-overlayfs")
	c.command(t, imagesLimit, "tools/images.sh", "e2e-"+word)
	t.Cleanup(func() {
		for _, name := range []string{"cid", "ci-agent"} {
			require.NoError(t, c.docker.RemoveImage(context.Background(), name+":e2e-"+word))
		}
	})
	c.servers(t)
	c.client = rig.NewClient("http://"+addr, "")
	c.git, err = rig.NewGit(filepath.Join(t.TempDir(), "git"))
	require.NoError(t, err)
	require.NoError(t, c.git.Off())
	c.recorder, err = rig.NewRecorder()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.recorder.Close()) })
	return c
}

// servers makes images of Postgres and NATS, since no registry is asked in tests.
func (c *composed) servers(t *testing.T) {
	t.Helper()
	server := filepath.Join(t.TempDir(), "nats-server")
	c.command(t, 5*time.Minute, "go", "build", "-o", server, "github.com/nats-io/nats-server/v2")
	program, err := os.ReadFile(server)
	require.NoError(t, err)
	postgres, err := rig.PostgresImage()
	require.NoError(t, err)
	nats := rig.Contents{
		Texts:  map[string]string{"/bin/nats-server": string(program)},
		Config: []string{"ENV PATH=/bin", "VOLUME /data"},
	}
	for variable, contents := range map[string]rig.Contents{"POSTGRES_IMAGE": postgres, "NATS_IMAGE": nats} {
		name, err := c.docker.Image(t.Context(), "ci-e2e-"+strings.ToLower(strings.TrimSuffix(variable, "_IMAGE")), contents)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.docker.RemoveImage(context.Background(), name)) })
		c.env = append(c.env, variable+"="+name)
	}
}

// command runs a program in the project's folder and returns what it printed.
func (c *composed) command(t *testing.T, limit time.Duration, name string, args ...string) string {
	t.Helper()
	out, err := c.try(limit, name, args...)
	require.NoError(t, err)
	return out
}

func (c *composed) try(limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if strings.Contains(name, "/") {
		name = filepath.Join(c.root, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.root, append(c.env, "CGO_ENABLED=0"), 5*time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// files are what the project consists of on a machine that may not give all privileges.
var files = []string{"-f", "deploy/compose/compose.yaml", "-f", "deploy/compose/narrow.yaml"}

func (c *composed) compose(t *testing.T, args ...string) string {
	t.Helper()
	return c.command(t, 5*time.Minute, "docker-compose", c.arguments(args)...)
}

func (c *composed) arguments(args []string) []string {
	return slices.Concat(files, []string{"-p", c.project, "--env-file", c.settings}, args)
}

// inside runs docker in the agent's container, whose engine is the agent's own.
func (c *composed) inside(t *testing.T, args ...string) string {
	t.Helper()
	return c.command(t, time.Minute, "docker", append([]string{"exec", c.container(t, "agent"), "docker"}, args...)...)
}

func (c *composed) container(t *testing.T, service string) string {
	t.Helper()
	id := c.compose(t, "ps", "-q", service)
	require.NotEmpty(t, id, "there is no container of %s", service)
	return id
}

// up starts everything, and the git host at an address that the containers reach.
func (c *composed) up(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			logs, err := c.try(time.Minute, "docker-compose", c.arguments([]string{"logs", "--no-color", "--tail", "60"})...)
			t.Logf("%s %v", logs, err)
		}
		_, err := c.try(5*time.Minute, "docker-compose", c.arguments([]string{"down", "-v", "-t", "30"})...)
		require.NoError(t, err)
	})
	c.compose(t, "up", "--no-start")
	var network struct {
		IPAM struct{ Config []struct{ Gateway string } }
	}
	require.NoError(t, c.docker.Inspect(t.Context(), "networks/"+c.project+"_default", &network))
	require.NoError(t, c.git.On(network.IPAM.Config[0].Gateway+":0"))
	t.Cleanup(func() { _ = c.git.Off() })
	c.env = append(c.env, "GIT_ALLOW="+c.git.Host)
	c.compose(t, "up", "-d")
	c.healthy(t, "cid")
	c.client.Token = c.command(t, time.Minute, "docker", "exec", c.container(t, "cid"), "sh", "-c", `read -r t </var/lib/ci/admin.token; echo "$t"`)
	c.healthy(t, "agent")
	c.load(t)
}

// healthy waits until a container's own check says so.
func (c *composed) healthy(t *testing.T, service string) {
	t.Helper()
	id := c.container(t, service)
	require.NoError(t, rig.Poll(t.Context(), 3*time.Minute, func() error {
		var seen struct {
			State struct {
				Status string
				Health struct{ Status string }
			}
		}
		if err := c.docker.Inspect(t.Context(), "containers/"+id, &seen); err != nil {
			return err
		}
		if seen.State.Health.Status != "healthy" {
			return fmt.Errorf("%s is %s and %s", service, seen.State.Status, seen.State.Health.Status)
		}
		return nil
	}))
}

// load puts a small image into the agent's engine.
func (c *composed) load(t *testing.T) {
	t.Helper()
	name, err := c.docker.Busybox(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, c.docker.RemoveImage(context.Background(), name)) }()
	save := exec.Command("docker", "save", name)
	archive, err := save.Output()
	require.NoError(t, err)
	into := exec.Command("docker", "exec", "-i", c.container(t, "agent"), "docker", "load", "-q")
	into.Stdin = bytes.NewReader(archive)
	out, err := into.CombinedOutput()
	require.NoError(t, err, string(out))
	c.inside(t, "tag", name, c.image)
}

// carriesOut runs a job of a repository: an image built from its Dockerfile, and a service.
func (c *composed) carriesOut(t *testing.T) {
	t.Helper()
	tree := t.TempDir()
	for name, text := range map[string]string{
		"word":       "from the context\n",
		"Dockerfile": "FROM " + c.image + "\nCOPY word /word\nRUN tr a-z A-Z </word >/shouted # " + rig.Random() + "\n",
		"ci.yaml": `script: |
  cat /shouted
  wget -q -O - http://web:8080/page
  echo made > made
environment: { dockerfile: Dockerfile }
services:
  web:
    image: ` + c.image + `
    command: [sh, -c, "echo served > /page; exec httpd -f -p 8080 -h /"]
    healthcheck: { test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/page"], interval: 1s, retries: 60 }
results: { made: { path: made, type: text/plain } }
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644))
	}
	require.NoError(t, c.git.Init("project"))
	_, err := c.git.Commit("project", "main", tree)
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, c.client.Call(ctx, http.MethodPut, "/jobs/project",
		map[string]any{"git": map[string]string{"url": c.git.URL("project"), "configPath": "ci.yaml"}}, nil))
	var run rig.Run
	require.NoError(t, c.client.Call(ctx, http.MethodPost, "/jobs/project/runs", map[string]string{"branchName": "main"}, &run))
	run, err = c.client.Wait(ctx, "project", run.ID, 5*time.Minute)
	require.NoError(t, err)
	require.Equal(t, "succeeded", run.Outcome, "%s", run.Reason)
	for path, want := range map[string]string{"console": "FROM THE CONTEXT\nserved\n", "made": "made\n"} {
		a, err := c.client.Do(ctx, http.MethodGet, fmt.Sprintf("/jobs/project/runs/%d/results/%s", run.ID, path), nil)
		require.NoError(t, err)
		require.Contains(t, string(a.Body), want)
	}
	c.bare(t)
	left, err := c.docker.Objects(ctx, "ci.agent="+c.project)
	require.NoError(t, err)
	require.Empty(t, left, "a run's objects are in the machine's engine, not in the agent's")
}

// held starts a run that stays until its gate is opened.
func (c *composed) held(t *testing.T) (rig.Run, string) {
	t.Helper()
	gate := rig.Random()
	require.NoError(t, c.client.Call(t.Context(), http.MethodPut, "/jobs/held", map[string]any{"freestyle": map[string]any{
		"script":      "wget -q -O - " + c.recorder.URL + "/gate/" + gate + "/info/refs || true; echo finished",
		"environment": map[string]string{"image": c.image},
	}}, nil))
	run, err := c.client.Trigger(t.Context(), "held")
	require.NoError(t, err)
	require.NoError(t, rig.Poll(t.Context(), 2*time.Minute, func() error {
		if !slices.Contains(c.recorder.Words(), "gate/"+gate) {
			now, err := c.client.Get(t.Context(), "held", run.ID)
			return fmt.Errorf("the run does not come to its gate: %+v %w", now, err)
		}
		return nil
	}))
	return run, gate
}

// drains stops the agent by SIGTERM while it has a run, which ends as it would have.
func (c *composed) drains(t *testing.T) {
	t.Helper()
	run, gate := c.held(t)
	id := c.container(t, "agent")
	stopped := make(chan error, 1)
	go func() {
		_, err := c.try(5*time.Minute, "docker", "stop", "-t", "240", id)
		stopped <- err
	}()
	require.NoError(t, rig.Poll(t.Context(), time.Minute, func() error {
		var seen struct{ Agents []struct{ Draining bool } }
		if err := c.client.Call(t.Context(), http.MethodGet, "/agents", nil, &seen); err != nil {
			return err
		}
		if len(seen.Agents) != 1 || !seen.Agents[0].Draining {
			return fmt.Errorf("the agent does not drain: %+v", seen)
		}
		return nil
	}))
	c.recorder.Open(gate)
	run, err := c.client.Wait(t.Context(), "held", run.ID, time.Minute)
	require.NoError(t, err)
	require.Equal(t, "succeeded", run.Outcome, run.Reason)
	require.NoError(t, <-stopped)
	var seen struct{ State struct{ ExitCode int } }
	require.NoError(t, c.docker.Inspect(t.Context(), "containers/"+id, &seen))
	require.Zero(t, seen.State.ExitCode)
}

// sweeps kills the agent's container with a run in it. Another one on its volume
// removes what the first has left in the engine, and goes on.
func (c *composed) sweeps(t *testing.T) {
	t.Helper()
	c.compose(t, "up", "-d", "agent")
	c.healthy(t, "agent")
	run, gate := c.held(t)
	id := c.container(t, "agent")
	c.command(t, time.Minute, "docker", "kill", id)
	c.compose(t, "rm", "-f", "agent")
	c.compose(t, "up", "-d", "agent")
	require.NotEqual(t, id, c.container(t, "agent"))
	c.healthy(t, "agent")
	run, err := c.client.Wait(t.Context(), "held", run.ID, 2*time.Minute)
	require.NoError(t, err)
	require.Equal(t, "lost", run.Outcome, run.Reason)
	c.bare(t)
	c.recorder.Open(gate)
	again, gate := c.held(t)
	c.recorder.Open(gate)
	again, err = c.client.Wait(t.Context(), "held", again.ID, time.Minute)
	require.NoError(t, err)
	require.Equal(t, "succeeded", again.Outcome, again.Reason)
}

// bare waits until the agent's engine has nothing of any run.
func (c *composed) bare(t *testing.T) {
	t.Helper()
	require.NoError(t, rig.Poll(t.Context(), time.Minute, func() error {
		for _, kind := range [][]string{{"ps", "-a"}, {"volume", "ls"}, {"network", "ls"}} {
			left := c.inside(t, append(kind, "-q", "--filter", "label=ci.run")...)
			if left != "" {
				return fmt.Errorf("left in the agent's engine by docker %v: %s", kind, left)
			}
		}
		return nil
	}))
}

// down ends everything; nothing of it is left in the machine's engine.
func (c *composed) down(t *testing.T) {
	t.Helper()
	c.compose(t, "down", "-v", "-t", "60")
	left, err := c.docker.Objects(t.Context(), "com.docker.compose.project="+c.project)
	require.NoError(t, err)
	require.Empty(t, left)
}
