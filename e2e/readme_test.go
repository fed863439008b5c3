package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ci/e2e/rig"
)

// TestReadme walks as a stranger does who has nothing but the README: builds,
// starts, logs in, adds a job, sees it fail, mends it, and asks the API by curl. Every command of these
// sections is carried out as it stands there, on a terminal; only the address, the folder of the data and
// the agent's name are the test's own.
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a real server and containers")
	}
	t.Parallel()
	ctx, work := t.Context(), t.TempDir()
	bin, err := rig.Build(ctx, filepath.Join(work, "bin")) // what `make build` does
	check(t, err)
	if os.Getenv("CI_BIN") != "" {
		check(t, os.Symlink(string(bin), filepath.Join(work, "bin")))
	}
	addr, err := rig.FreeAddr()
	check(t, err)
	agent := "e2e-" + rig.Random()
	t.Cleanup(func() { check(t, rig.Clean(context.Background(), agent)) })

	readme, err := os.ReadFile(filepath.Join(moduleRoot, "README.md"))
	check(t, err)
	script := strings.NewReplacer(
		"make build\n", "",
		"bin/cid --data /tmp/ci ", "bin/cid --data "+work+"/data --listen "+addr+" --agent-id "+agent+" --agent-max-load 1 ",
		"/tmp/ci", work+"/data", "127.0.0.1:8080", addr,
	).Replace(blocksOf(t, string(readme), "Five minutes") + blocksOf(t, string(readme), "With curl"))
	script = "set -m\n" + script + "kill %1\nwait %1\necho the server ended with $?\n"
	check(t, os.WriteFile(filepath.Join(work, "walk.sh"), []byte(script), 0o600))

	cmd := exec.Command("bash", "walk.sh")
	cmd.Dir, cmd.Env = work, []string{"HOME=" + work, "PATH=" + os.Getenv("PATH"), "TERM=xterm-256color", "NO_COLOR=1"}
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONFIG"} {
		if v := os.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	p, err := rig.StartPty(cmd, 120, 40)
	check(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	seen, err := p.Rest(10 * time.Minute)
	check(t, err)
	t.Logf("the walk took %s:\n%s", time.Since(p.Began).Round(time.Second/10), seen)
	at := 0
	for _, want := range []string{
		"Logged in", "ok   server", "greet created", "hello nobody", "error: nobody is there to be greeted", "greet/1 failed", "error: nobody",
		"-    default: nobody", "+    default: world", "hello world", "greet/2 succeeded", `"job":"hello"`, "hello from hello", `"outcome":"succeeded"`,
		"the server ended with 0",
	} {
		i := strings.Index(seen[at:], want)
		if i < 0 {
			t.Fatalf("%q does not come where it should", want)
		}
		at += i + len(want)
	}
}

// block is what a Markdown text shows as code by four spaces.
var block = regexp.MustCompile(`(?m)(?:^    .*\n)+`)

// blocksOf are the commands of a section, without those that need a repository of a made-up host.
func blocksOf(t *testing.T, text, section string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n## "+section+"\n")
	if !ok {
		t.Fatalf("the README has no section %q any more", section)
	}
	body, _, _ := strings.Cut(rest, "\n## ")
	var out strings.Builder
	for _, b := range block.FindAllString(body, -1) {
		if !strings.Contains(b, "https://host/") {
			out.WriteString(strings.ReplaceAll("\n"+b, "\n    ", "\n"))
		}
	}
	return out.String()
}
