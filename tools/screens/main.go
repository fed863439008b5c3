// Command screens makes the pictures of the docs: it starts a cid of its own with
// Docker, lives through a morning of runs, and photographs the terminal UI
// in a real terminal (tmux).
//
//	go run ./tools/screens [-bin bin] FOLDER
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"ci/e2e/rig"
)

// jobs are what the pictures show.
var jobs = map[string]string{
	"unit-test": `{"freestyle": {"script": "echo '$ go test ./...'\nfor p in api:214 auth:031 billing:608 cache:112 config:009 events:377; do printf '\\033[32mok\\033[0m  \\tshop/%s\\t0.%ss\\n' ${p%:*} ${p#*:}; done\nif [ \"$LEVEL\" != 1 ]; then\n  printf '\\033[32mok\\033[0m  \\tshop/orders\\t0.398s\\n'\n  echo '<testsuite name=\"shop/orders\"><testcase classname=\"orders\" name=\"TestTotalOfEmptyCart\" time=\"0.011\"/></testsuite>' > report.xml\n  exit 0\nfi\nprintf '\\033[1;31mFAIL\\033[0m\\tshop/orders\\t0.412s\\n'\nprintf 'orders_test.go:87: total of an empty cart: want 0, got -1\\n'\ncat > report.xml <<'EOF'\n<testsuites><testsuite name=\"shop/orders\"><testcase classname=\"orders\" name=\"TestTotalOfEmptyCart\" time=\"0.012\"><failure message=\"want 0, got -1\">orders_test.go:87: total of an empty cart: want 0, got -1\n    at shop/orders.Total (orders.go:41)\n    at shop/orders.TestTotalOfEmptyCart (orders_test.go:85)</failure></testcase><testcase classname=\"orders\" name=\"TestDiscount\" time=\"0.4\"><failure message=\"context deadline exceeded\"/></testcase><testcase classname=\"orders\" name=\"TestShipping\" time=\"0.02\"/><testcase classname=\"api\" name=\"TestLogin\" time=\"0.21\"/><testcase classname=\"auth\" name=\"TestToken\" time=\"0.003\"/></testsuite></testsuites>\nEOF\nexit 1\n", "results": {"junit": {"path": "*.xml", "type": "application/xml"}}}, "parameters": [{"name": "LEVEL", "default": "1", "description": "how thorough: 1 to 3"}, {"name": "TARGET", "default": "linux/amd64", "description": "the platform to test for"}]}`,
	"lint":      `{"freestyle": {"script": "echo 'no findings'"}}`,
	"docs":      `{"freestyle": {"script": "echo building; sleep 1; echo 214 pages"}}`,
	"nightly":   `{"freestyle": {"script": "i=0; while [ $i -lt 600 ]; do echo \"scenario $i: ok\"; i=$((i+1)); sleep 1; done"}}`,
	"deploy":    `{"freestyle": {"script": "echo deployed to $STAGE"}, "parameters": [{"name": "STAGE", "required": true, "description": "staging or production"}]}`,
}

// shot is one picture: the keys that lead there, and what is seen then.
type shot struct {
	name, title string
	keys        [][]string // each is sent, and then its last text is awaited
}

func shots() []shot {
	failed := [][]string{{"/", "failed", "filter: failed"}, {"Enter", "Enter", "FAILED TESTS"}}
	at := func(more ...[]string) [][]string { return append(failed[:len(failed):len(failed)], more...) }
	return []shot{
		{"runs", "The runs, live", [][]string{{"j", "unit-test"}}},
		{"run", "A run that failed: why, its timeline, its tests and last lines", at()},
		{"console", "Its console, at the first error", at([]string{"2", "complete"}, []string{"E", "found in line"})},
		{"tests", "Its tests, failed ones first", at([]string{"3", "2 failed"})},
		{"jobs", "The jobs", [][]string{{"2", "LAST RUN"}}},
		{"trigger", "The form of a run, made of the job's parameters", [][]string{{"2", "LAST RUN"}, {"G", "t", "Run unit-test"}}},
		{"pipelines", "The pipelines, and what ran of them", [][]string{{"5", "ship"}, {"G", "ship/2"}}},
		{"pipeline", "A run of a pipeline, which asks", [][]string{{"5", "ship"}, {"G", "o", "approve deploy"}}},
		{"agents", "The agents", [][]string{{"3", "CORES FREE"}}},
		{"commands", "The commands, found by some letters", [][]string{{":", "Commands"}, {"unit", "runs of unit-test"}}},
	}
}

func main() {
	bin := flag.String("bin", "bin", "folder with ci and cid")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: screens [-bin bin] FOLDER")
		os.Exit(2)
	}
	if err := photograph(ctx, *bin, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "screens:", err)
		os.Exit(1)
	}
}

// photograph makes all pictures.
func photograph(ctx context.Context, bin, folder string) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ci-screens-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	cid, err := rig.NewCid(rig.Binaries(bin), filepath.Join(work, "data"), os.Environ())
	if err != nil {
		return err
	}
	if err := cid.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cid.End(context.WithoutCancel(ctx))) }()
	running, err := morning(ctx, cid.Client())
	if err != nil {
		return err
	}
	defer func() { // it would keep cid from stopping
		api := cid.Client()
		err = errors.Join(err, api.Call(context.WithoutCancel(ctx), "POST", fmt.Sprintf("/jobs/nightly/runs/%d/abort", running), nil, nil))
		_, werr := api.Wait(context.WithoutCancel(ctx), "nightly", running, time.Minute)
		err = errors.Join(err, werr)
	}()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := record(ctx, cid, bin, work, folder); err != nil {
		return fmt.Errorf("the demo: %w", err)
	}
	if err := asks(ctx, cid.Client()); err != nil {
		return fmt.Errorf("the pipeline: %w", err)
	}
	for _, ground := range []string{"dark", "light"} {
		for _, s := range shots() {
			if err := s.take(ctx, cid, bin, work, folder, ground); err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, ground, err)
			}
		}
	}
	return nil
}

// morning makes the jobs and some runs of them; the last one goes on.
func morning(ctx context.Context, api *rig.Client) (running int64, err error) {
	for name, body := range jobs {
		a, err := api.Do(ctx, "PUT", "/jobs/"+name, []byte(body))
		if err != nil || a.Status != 201 {
			return 0, fmt.Errorf("job %s: %w: %s", name, err, a.Body)
		}
	}
	for _, t := range []struct{ job, body string }{
		{"lint", `{}`}, {"docs", `{}`}, {"unit-test", `{"parameters": {"LEVEL": "3"}}`}, {"lint", `{}`}, {"deploy", `{"parameters": {"STAGE": "staging"}}`}, {"docs", `{}`}, {"unit-test", `{}`}, {"lint", `{}`},
	} {
		var r rig.Run
		if err := api.Call(ctx, "POST", "/jobs/"+t.job+"/runs", json.RawMessage(t.body), &r); err != nil {
			return 0, err
		}
		if _, err := api.Wait(ctx, t.job, r.ID, time.Minute); err != nil {
			return 0, err
		}
	}
	r, err := api.Trigger(ctx, "nightly")
	return r.ID, err
}

// program is a pipeline that waits for somebody when its picture is taken.
const program = `p = params(stage = "staging")
all([run("lint"), run("unit-test", params = {"LEVEL": "3"}), run("docs")])
approve("deploy 2.4.0 to " + p.stage + "?")
all(run("deploy", params = {"STAGE": p.stage}))
`

// asks begins a run of the pipeline, and waits until it asks.
func asks(ctx context.Context, api *rig.Client) error {
	for name, text := range map[string]string{"checks": "all([run('lint'), run('docs')])", "cleanup": "all(run('docs'))", "ship": program} {
		if err := api.Call(ctx, "PUT", "/pipelines/"+name, map[string]string{"program": text}, nil); err != nil {
			return err
		}
	}
	for _, name := range []string{"checks", "ship"} {
		if err := api.Call(ctx, "POST", "/pipelines/"+name+"/runs", struct{}{}, nil); err != nil {
			return err
		}
	}
	return rig.Poll(ctx, 5*time.Minute, func() error {
		var run struct{ Reason string }
		err := api.Call(ctx, "GET", "/pipelines/ship/runs/2", nil, &run)
		if err == nil && !strings.Contains(run.Reason, "answer") {
			err = fmt.Errorf("it asks nothing yet: %s", run.Reason)
		}
		return err
	})
}

// terminal opens ci in a terminal and waits until it shows the runs.
func terminal(ctx context.Context, cid *rig.Cid, bin, work, ground string) (*rig.Tmux, error) {
	home := filepath.Join(work, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	env := []string{"CI_URL=" + cid.URL, "CI_TOKEN=" + cid.Token, "HOME=" + home, "CI_THEME=" + ground, "COLORTERM=truecolor"}
	tmux, err := rig.StartTmux(ctx, home, env, 110, 30, filepath.Join(bin, "ci"))
	if err != nil {
		return nil, err
	}
	if err := tmux.Await(ctx, time.Minute, "● live", "nightly"); err != nil {
		return nil, errors.Join(err, tmux.Close(ctx))
	}
	return tmux, nil
}

// step presses keys and waits for the text that comes last among them.
func step(ctx context.Context, tmux *rig.Tmux, k []string) error {
	if err := tmux.Keys(ctx, k[:len(k)-1]...); err != nil {
		return err
	}
	return tmux.Await(ctx, time.Minute, k[len(k)-1])
}

// take takes one picture.
func (s *shot) take(ctx context.Context, cid *rig.Cid, bin, work, folder, ground string) (err error) {
	tmux, err := terminal(ctx, cid, bin, work, ground)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmux.Close(context.WithoutCancel(ctx))) }()
	for _, k := range s.keys {
		if err := step(ctx, tmux, k); err != nil {
			return err
		}
	}
	screen, err := tmux.Screen(ctx, true)
	if err != nil {
		return err
	}
	c := darkColours()
	if ground == "light" {
		c = lightColours()
	}
	return os.WriteFile(filepath.Join(folder, s.name+"-"+ground+".svg"), []byte(svg(screen, s.title, c)), 0o644)
}

// secondsEach is how long the demo stays at a screen.
const secondsEach = 2.2

// record films a failure: found, understood, run again with a change, and over.
func record(ctx context.Context, cid *rig.Cid, bin, work, folder string) (err error) {
	tmux, err := terminal(ctx, cid, bin, work, "dark")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmux.Close(context.WithoutCancel(ctx))) }()
	var screens []string
	for _, k := range [][]string{
		{"nightly"},
		{"/", "failed", "filter: failed"},
		{"Enter", "Enter", "FAILED TESTS"},
		{"3", "2 failed"},
		{"2", "complete"},
		{"E", "found in line"},
		{"r", "Run unit-test"},
		{"C-u", "3", "LEVEL"},
		{"C-s", "unit-test/10"},
		{"2", "complete"},
		{"1", "✓ succeeded"},
		{"q", "q", "3", "CORES FREE"},
	} {
		if err := step(ctx, tmux, k); err != nil {
			return err
		}
		screen, err := tmux.Screen(ctx, true)
		if err != nil {
			return err
		}
		screens = append(screens, screen)
	}
	text := film(screens, "A failure: found, understood, run again with a change", secondsEach, darkColours())
	return os.WriteFile(filepath.Join(folder, "demo.svg"), []byte(text), 0o644)
}
