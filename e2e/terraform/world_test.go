// Package terraform has the provider driven by a real OpenTofu, against a real
// cid: what people do with it, from `tofu init` on. What can be said about the
// provider without OpenTofu is tested beside it.
package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig"
	"ci/pkg/api"
)

// programs are what all tests here start.
type programs struct {
	rig.Binaries
	tofu string
	home string // the user's folder, which has the provider
}

// built are the programs of TestMain; without an OpenTofu there is nothing to build for.
var built = programs{tofu: os.Getenv("CI_TOFU")}

// TestMain builds the programs once for all tests.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if built.tofu == "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "terraform")
	if err == nil {
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
		defer cancel()
		built, err = build(ctx, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build builds cid, ci and the provider, and lays that where the docs say that it goes.
func build(ctx context.Context, dir string) (p programs, err error) {
	p = programs{tofu: built.tofu, home: filepath.Join(dir, "home")}
	if p.Binaries, err = rig.Build(ctx, filepath.Join(dir, "bin")); err != nil {
		return p, err
	}
	file := filepath.Join(p.home, ".terraform.d", "plugins", "ci.local", "ci", "ci", "1.0.0", runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-ci_v1.0.0")
	root, err := rig.Root()
	if err != nil {
		return p, err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", file, "./cmd/terraform-provider-ci")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return p, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return p, nil
}

// world is a cid without an agent, and the programs that talk to it.
type world struct {
	programs
	t   *testing.T
	cid *rig.Cid
	api *api.Client
}

// limit is how long any one command may take, on a machine that is busy.
const limit = 5 * time.Minute

func setup(t *testing.T) *world {
	t.Helper()
	if built.tofu == "" {
		t.Skip("SKIPPED: make test-terraform builds OpenTofu and runs this")
	}
	w := &world{programs: built, t: t}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	w.cid, err = rig.NewCid(w.Binaries, t.TempDir(), os.Environ(), "--agent", "off")
	require.NoError(t, err)
	require.NoError(t, w.cid.Start(ctx))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		require.NoError(t, w.cid.End(ctx))
	})
	w.api, err = api.New(api.Config{URL: w.cid.URL, Token: w.cid.Token})
	require.NoError(t, err)
	return w
}

// module is a folder with a configuration, and its state.
type module struct {
	*world
	dir string
}

// module makes a folder of the files that are given, by name, and of those of from, "" for none.
func (w *world) module(from string, files map[string]string) *module {
	w.t.Helper()
	m := &module{w, w.t.TempDir()}
	if from != "" {
		require.NoError(w.t, os.CopyFS(m.dir, os.DirFS(from)))
	}
	for name, text := range files {
		m.write(name, text)
	}
	m.run(0, "init", "-input=false", "-no-color")
	return m
}

func (m *module) write(name, text string) {
	m.t.Helper()
	require.NoError(m.t, os.MkdirAll(filepath.Dir(filepath.Join(m.dir, name)), 0o700))
	require.NoError(m.t, os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600))
}

// change edits a file of the module.
func (m *module) change(name, old, now string) {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	require.NoError(m.t, err)
	require.Contains(m.t, string(text), old)
	m.write(name, strings.Replace(string(text), old, now, 1))
}

// run runs OpenTofu, which must end with a code, and returns what it prints.
func (m *module) run(code int, args ...string) string {
	m.t.Helper()
	return m.command(code, m.dir, m.tofu, args...)
}

// Exit codes of `plan -detailed-exitcode`.
const (
	empty   = 0
	changes = 2
)

// plan makes a plan and says what it wants.
func (m *module) plan(code int) string {
	m.t.Helper()
	return m.run(code, "plan", "-detailed-exitcode", "-input=false", "-no-color")
}

// apply applies, and a plan after it is empty.
func (m *module) apply() string {
	m.t.Helper()
	out := m.run(0, "apply", "-auto-approve", "-input=false", "-no-color")
	m.plan(empty)
	return out
}

// command runs a program as somebody who has said where the server is.
func (w *world) command(code int, dir, program string, args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CI_URL="+w.cid.URL, "CI_TOKEN="+w.cid.Token, "HOME="+w.home,
		"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_VAR_deploy_key="+deployKey,
		"TF_VAR_registry_password="+registryPassword, "TF_VAR_webhook_secret="+webhookSecret)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	require.NotNil(w.t, cmd.ProcessState, "%v", err)
	require.Equal(w.t, code, cmd.ProcessState.ExitCode(), "%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out.String())
	return out.String()
}

// ci runs the command line.
func (w *world) ci(code int, dir string, args ...string) string {
	w.t.Helper()
	return w.command(code, dir, w.Path("ci"), args...)
}

// jobs is what the API answers about all jobs, without the times.
func (w *world) jobs() []any { return w.list("/jobs", "jobs") }

// list is what the API answers about all things of a kind, without the times.
func (w *world) list(path, key string) []any {
	w.t.Helper()
	answer, err := w.cid.Client().Do(w.t.Context(), "GET", path+"?pageSize=200", nil)
	require.NoError(w.t, err)
	require.Equal(w.t, 200, answer.Status, "%s", answer.Body)
	page := map[string]any{}
	require.NoError(w.t, json.Unmarshal(answer.Body, &page))
	things, _ := page[key].([]any)
	for _, thing := range things {
		doc, _ := thing.(map[string]any)
		require.NotEmpty(w.t, doc["createdAt"])
		delete(doc, "createdAt")
		delete(doc, "updatedAt")
	}
	return things
}
