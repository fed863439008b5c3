package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ci/e2e/rig"
)

// flaky fails unless FIX is set. It speaks to the terminal too, which must not hear it.
const flaky = `{
  "freestyle": {
    "script": "echo compiling\nprintf '\\033]0;owned\\007\\033[2J\\n'\nprintf '\\033[31merror: boom\\033[0m\\n'\necho \"fix is '$FIX'\" > report.txt\nif [ -n \"$FIX\" ]; then echo all is fixed; exit 0; fi\necho '<testsuite name=\"s\"><testcase classname=\"Sums\" name=\"adds\"><failure message=\"want 3, got 4\">at sums_test.go:12</failure></testcase></testsuite>' > report.xml\nexit 3\n",
    "results": {"junit": {"path": "*.xml", "type": "application/xml"}, "report": {"path": "report.txt"}}
  },
  "parameters": [{"name": "FIX", "description": "makes it succeed"}]
}`

// console is a person at a terminal.
type console struct {
	*testing.T
	*rig.Tmux
	ctx context.Context
}

// sees waits until texts are on the screen.
func (c *console) sees(texts ...string) {
	c.Helper()
	if err := c.Await(c.ctx, patience, texts...); err != nil {
		c.Fatal(err)
	}
}

func (c *console) types(keys ...string) {
	c.Helper()
	if err := c.Keys(c.ctx, keys...); err != nil {
		c.Fatal(err)
	}
}

// TestTerminal lives through a failure in a real terminal, without leaving the
// keyboard: find the failed run, read why, run it again with a change, watch it,
// download its result, drain the agent, take a pipeline to its end; and the server goes away and comes back.
func TestTerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a real server and containers")
	}
	t.Parallel()
	ctx, work := t.Context(), t.TempDir()
	bin, err := rig.Build(ctx, t.TempDir())
	check(t, err)
	cid, err := rig.NewCid(bin, filepath.Join(work, "cid"), os.Environ())
	check(t, err)
	t.Cleanup(func() { check(t, cid.End(context.Background())) })
	check(t, cid.Start(ctx))
	api := cid.Client()
	check(t, api.Freestyle(ctx, "calm", "true"))
	answer, err := api.Do(ctx, "PUT", "/jobs/flaky", []byte(flaky))
	check(t, err)
	if answer.Status != 201 {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	for _, job := range []string{"calm", "flaky", "calm"} {
		run, err := api.Trigger(ctx, job)
		check(t, err)
		_, err = api.Wait(ctx, job, run.ID, patience)
		check(t, err)
	}

	home := filepath.Join(work, "home")
	check(t, os.MkdirAll(home, 0o700))
	env := []string{"CI_URL=" + cid.URL, "CI_TOKEN=" + cid.Token, "HOME=" + home}
	tmux, err := rig.StartTmux(ctx, home, env, 80, 24, bin.Path("ci"))
	check(t, err)
	t.Cleanup(func() { check(t, tmux.Close(context.Background())) })
	check(t, tmux.Accept(ctx))
	c := &console{t, tmux, ctx}

	c.findsWhy()
	c.runsAgain()
	c.downloads(home)
	c.drains(api, cid.Agent)
	c.pipes(api)
	c.outlives(cid)

	c.types("q")
	check(t, rig.Poll(ctx, patience, func() error {
		if !c.Ended(ctx) {
			return errors.New("ci goes on after q")
		}
		return nil
	}))
	left, err := filepath.Glob(filepath.Join(home, ".cache", "ci", "*"))
	check(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// findsWhy looks for the failed run and reads why it failed.
func (c *console) findsWhy() {
	c.sees("● live", "calm/3", "flaky/2")
	c.types("/", "failed")
	c.sees("filter: failed")
	c.types("Enter", "Enter")
	c.sees("flaky/2", "exited with status 3", "running", "want 3, got 4", "error: boom", "exit 3")
	c.types("3")
	c.sees("1 failed", "Sums › adds", "at sums_test.go:12")
	c.types("2")
	c.sees("compiling", "error: boom", "complete")
	c.types("E")
	c.sees("found in line")
	c.types("y")
	c.sees("Copied a line.")
	copied, err := c.Clipboard(c.ctx)
	check(c.T, err)
	if strings.TrimSpace(copied) != "error: boom" {
		c.Errorf("copied %q", copied)
	}
	title, err := c.Title(c.ctx)
	check(c.T, err)
	if strings.Contains(title, "owned") {
		c.Errorf("a job has set the title: %q", title)
	}
}

// runsAgain runs it with a change and watches until it has succeeded.
func (c *console) runsAgain() {
	c.types("r")
	c.sees("Run flaky", "makes it succeed")
	c.types("yes", "C-s")
	c.sees("flaky/4")
	c.types("2")
	c.sees("all is fixed", "succeeded", "complete")
}

// downloads fetches a result into the folder where ci was started.
func (c *console) downloads(home string) {
	c.types("4")
	c.sees("report.txt")
	c.types("G", "d")
	c.sees("Download report", "save as")
	c.types("Enter")
	c.sees("Saved report.txt")
	got, err := os.ReadFile(filepath.Join(home, "report.txt"))
	check(c.T, err)
	if string(got) != "fix is 'yes'\n" {
		c.Errorf("the result is %q", got)
	}
}

// drains has the agent take nothing new, and lets it take runs again.
func (c *console) drains(api *rig.Client, agent string) {
	c.types("q", "q", "3")
	c.sees(agent, "ready")
	c.types("d")
	c.sees("Drain " + agent)
	c.types("new disk", "C-s")
	c.sees("Sure?")
	c.types("y")
	c.sees("drained")
	var drain struct{ Reason string }
	check(c.T, api.Call(c.ctx, "GET", "/agents/"+agent+"/drain", nil, &drain))
	if drain.Reason != "new disk" {
		c.Errorf("the reason is %q", drain.Reason)
	}
	c.types("u")
	c.sees("Sure?")
	c.types("y")
	c.sees("ready")
}

// pipes starts a pipeline, approves what it asks, sees it end, and goes from a step to its run.
func (c *console) pipes(api *rig.Client) {
	program := "all(run('calm'))\napprove('ship it?')\n"
	check(c.T, api.Call(c.ctx, "PUT", "/pipelines/release", map[string]string{"program": program}, nil))
	c.types("5")
	c.sees("▸ release")
	c.types("t")
	c.sees("Start pipeline release?")
	c.types("y")
	c.sees("release/1", "? ship it?")
	c.types("a")
	c.sees("Approve in release/1")
	c.types("looks good", "C-s")
	c.sees("Sure?")
	c.types("y")
	c.sees("✓ approved", "✓ succeeded  release/1")
	c.types("g", "Enter")
	c.sees("› calm/5", "succeeded")
	c.types("q", "q")
	c.sees("LAST RUN", "release   ✓ succeeded")
}

// outlives sees the server go and come back. The screen answers meanwhile.
func (c *console) outlives(cid *rig.Cid) {
	check(c.T, cid.Signal(syscall.SIGTERM))
	c.sees("OFFLINE", "trying again")
	c.types("?")
	c.sees("any other key closes")
	c.types("x", "1")
	c.sees("flaky/2", "OFFLINE")
	if _, err := cid.Wait(2 * time.Minute); err != nil {
		c.Fatal(err)
	}
	check(c.T, cid.Start(c.ctx))
	c.sees("● live")
	screen, err := c.Screen(c.ctx, false)
	check(c.T, err)
	if strings.Contains(screen, "OFFLINE") {
		c.Errorf("the banner stays:\n%s", screen)
	}
}

// TestNoQuestion runs a verb on a terminal: whatever libraries of the terminal
// UI do when they are imported, it must not ask the terminal anything.
func TestNoQuestion(t *testing.T) {
	t.Parallel()
	bin, err := rig.Build(t.Context(), t.TempDir())
	check(t, err)
	cmd := exec.Command(bin.Path("ci"), "version")
	cmd.Env = []string{"TERM=xterm-256color", "HOME=" + t.TempDir()}
	p, err := rig.StartPty(cmd, 80, 24)
	check(t, err)
	wrote, err := p.Rest(patience)
	check(t, err)
	check(t, p.Close())
	if wrote == "" || strings.ContainsRune(wrote, '\x1b') {
		t.Errorf("ci version wrote %q", wrote)
	}
}

// TestLongAnswer signs in on a terminal with a code of 8 KiB: twice as much as
// Linux collects for a line by itself.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	const state = "paste-KJ3F7QABWXYZ"
	answers := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		doc := `{"jobs": []}`
		switch r.URL.Path {
		case "/sign-in":
			doc = `{"providers": [{"name": "oidc", "title": "Somebody"}]}`
		case "/sign-in/oidc":
			doc = `{"url": "https://id.example.com/authorize?state=` + state + `", "flow": "sealed"}`
		case "/sign-in/oidc/token":
			body, _ := io.ReadAll(r.Body) // a cut one is no answer
			answers <- string(body)
			doc = `{"bearer": "its.own.token", "id": "x", "name": "ann", "role": "trigger", "expiresAt": "2030-01-01T12:00:00Z"}`
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, doc)
	}))
	defer server.Close()
	bin, err := rig.Build(t.Context(), t.TempDir())
	check(t, err)
	for name, keys := range map[string]string{"typed": "%s\r", "pasted": "\x1b[200~%s\n\x1b[201~\r"} {
		code := strings.Repeat("0123456789abcdef", 512)
		cmd := exec.Command(bin.Path("ci"), "login", server.URL, "--browser")
		cmd.Env = []string{"TERM=xterm-256color", "HOME=" + t.TempDir()}
		p, err := rig.StartPty(cmd, 80, 24)
		check(t, err)
		_, err = p.Expect("> ", patience)
		check(t, err)
		check(t, p.Send(fmt.Sprintf(keys, "code="+code+"&state="+state)))
		_, err = p.Expect("You are ann", patience)
		check(t, err)
		check(t, p.Close())
		if got := <-answers; !strings.Contains(got, `"`+code+`"`) {
			t.Errorf("%s: the server got %d bytes: %.200s", name, len(got), got)
		}
	}
	cmd := exec.Command(bin.Path("ci"), "login", server.URL, "--browser")
	cmd.Env = []string{"TERM=xterm-256color", "HOME=" + t.TempDir()}
	p, err := rig.StartPty(cmd, 80, 24)
	check(t, err)
	_, err = p.Expect("> ", patience)
	check(t, err)
	check(t, p.Send("code=\x03"))
	_, err = p.Rest(patience)
	check(t, err)
	var exit *exec.ExitError
	if err := p.Cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("an interrupt ends it with %v", err)
	}
	check(t, p.Close())
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("%w", err))
	}
}
