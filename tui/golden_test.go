package tui

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
	"ci/pkg/terminal"
	"ci/tui/feed"
)

var update = flag.Bool("update", false, "write the golden views anew")

// views are all screens, and what lies over them, each by the keys that lead there.
func views() map[string]func(*stage) {
	keys := func(k ...string) func(*stage) { return func(s *stage) { s.keys(k...) } }
	failed := []string{"down", "down", "down", "down", "down", "enter"}
	at := func(k ...string) func(*stage) { return keys(append(failed[:len(failed):len(failed)], k...)...) }
	return map[string]func(*stage){
		"runs":            keys("down"),
		"runs-by-branch":  keys("b"),
		"runs-filter":     keys("/", "unit", "enter"),
		"runs-nothing":    keys("/", "nonsense"),
		"jobs":            keys("2", "down"),
		"job-trigger":     keys("2", "end", "t", "tab", "tab"),
		"job-runs":        keys("2", "end", "enter"),
		"secrets":         keys("2", "end", "s"),
		"secret-set":      keys("2", "end", "s", "s", "hidden"),
		"agents":          keys("3", "down"),
		"agent-drain":     keys("3", "d"),
		"queue":           keys("4"),
		"pipelines":       keys("5", "down"),
		"pipeline-start":  keys("5", "down", "t", "tab", "tab"),
		"pipeline-runs":   keys("5", "down", "enter", "down"),
		"pipeline":        keys("5", "down", "o", "end"),
		"pipeline-failed": keys("5", "down", "enter", "down", "enter", "down"),
		"pipeline-answer": keys("5", "down", "o", "a", "looks good", "enter"),
		"pipeline-away":   func(s *stage) { s.client.err = errors.New("gone"); keys("5", "down", "o")(s) },
		"run":             at(),
		"run-end":         at("G"),
		"run-running":     keys("down", "enter"),
		"run-waiting":     keys("enter", "5"),
		"console":         at("2"),
		"console-search":  at("2", "/", "error", "enter"),
		"console-filter":  at("2", "&", "FAIL|error", "enter"),
		"console-folded":  at("2", "z", "g"),
		"console-times":   at("2", "t"),
		"console-wrap":    at("2", "w", "#", "g", "v", "down", "down"),
		"tests":           at("3"),
		"tests-all":       at("3", "a", "G"),
		"results":         at("4", "down"),
		"result-download": at("4", "d"),
		"run-again":       at("R"),
		"help":            keys("?"),
		"help-console":    at("2", "?"),
		"palette":         keys("ctrl+p", "unit"),
		"failure": func(s *stage) {
			s.fail = &ci.Error{Code: ci.CodeInvalid, Message: "the job is not valid", Fields: []ci.Field{{Path: "git.url", Message: "is missing"}}}
		},
		"note":             func(s *stage) { s.say("Copied a line.") },
		"offline":          func(s *stage) { s.send(away()) },
		"offline-at-first": func(s *stage) { s.world.Last = nil; s.send(away()) },
	}
}

func away() feed.Link {
	return feed.Link{
		Since: noon.Add(-20e9), NextTry: noon.Add(4e9),
		Err: ci.Errorf(ci.CodeUnavailable, "the server at https://ci.example.com can't be reached: connection refused"),
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, lead := range views() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range [][2]int{{80, 24}, {160, 50}} {
				for _, dark := range []bool{true, false} {
					s := newStage(t, sample(), size[0], size[1], termenv.ANSI256, dark)
					lead(s)
					view := s.View()
					rectangle(t, view, size[0], size[1])
					require.Equal(t, view, s.View(), "drawing changes nothing")
					golden(t, fmt.Sprintf("%s-%dx%d-%s", name, size[0], size[1], map[bool]string{true: "dark", false: "light"}[dark]), view)
				}
			}
		})
	}
}

// rectangle fails when a view does not fill its terminal exactly.
func rectangle(t *testing.T, view string, w, h int) {
	t.Helper()
	lines := strings.Split(view, "\n")
	require.Len(t, lines, h)
	for i, l := range lines {
		require.Equal(t, w, ansi.StringWidth(l), "line %d: %q", i, l)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(got+"\n"), 0o644))
		return
	}
	require.Equal(t, read(t, path), got+"\n", "%s has changed; look at it, and if it is right: go test ./tui -run TestGolden -update", path)
}

// TestGoldenIsWhole finds golden files that no view has any more.
func TestGoldenIsWhole(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.txt")
	must(t, err)
	require.Len(t, files, 4*len(views()))
}

// TestSizes draws every screen on terminals of all sizes.
func TestSizes(t *testing.T) {
	t.Parallel()
	for name, lead := range views() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, sample(), 80, 24, termenv.ANSI, true)
			lead(s)
			for _, size := range [][2]int{{1, 1}, {10, 3}, {39, 9}, {40, 10}, {41, 30}, {60, 12}, {100, 10}, {200, 60}} {
				s.w, s.h = size[0], size[1]
				rectangle(t, s.View(), size[0], size[1])
			}
		})
	}
}

// TestColours draws one screen for each kind of terminal.
func TestColours(t *testing.T) {
	t.Parallel()
	codes := func(p termenv.Profile) string {
		return newStage(t, sample(), 120, 30, p, true).View()
	}
	require.Contains(t, codes(termenv.TrueColor), "38;2;")
	require.Contains(t, codes(termenv.ANSI256), "38;5;")
	require.Regexp(t, `\x1b\[(3|9)[0-7]m`, codes(termenv.ANSI))
	none := codes(termenv.Ascii)
	require.NotRegexp(t, `\x1b\[[0-9;]*[349][0-9][;m]`, none, "no colours")
	require.Contains(t, none, "\x1b[7m", "the cursor is seen by other means")
	plain := ansi.Strip(none)
	for _, word := range []string{"queued", "running", "timed_out", "aborted", "succeeded", "failed", "lost", "error"} {
		require.Contains(t, plain, word, "no state is told by its colour alone")
	}
}

// TestHostile draws every screen with an enemy's texts in every field. The
// check is on what the screens draw, before the last filter.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, lead := range views() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := sample()
			s := newStage(t, c, 100, 30, termenv.ANSI256, true)
			lead(s) // by the names that the keys know
			c.err = nil
			for _, v := range []any{&c.jobs, &c.runs, &c.agents, &c.queues, &c.results, &c.secrets, &c.report, &c.pipelines, &c.pipeRuns} {
				poison(reflect.ValueOf(v))
			}
			c.console = strings.Repeat(hostile+"\n", 50)
			snap, err := feed.New(t.Context(), c, c, s.world.Now).Look()
			must(t, err)
			s.send(snap)
			s.send(feed.Details{Ref: ci.RunRef{Job: "unit-test", Run: 41}, Run: &c.runs[5], Results: c.results, Children: c.runs[4:5], Queue: &c.report, Tail: []byte(c.console)})
			s.send(feed.New(t.Context(), c, c, s.world.Now).LookAtPipelines())
			for i, id := range []int64{7, 6} {
				s.send(feed.PipelineRunsLoaded{Name: "release", Runs: c.pipeRuns})
				s.send(feed.PipelineRunLoaded{Name: "release", ID: id, Run: &c.pipeRuns[i]})
			}
			s.send(feed.SecretsLoaded{Job: "unit-test", Secrets: c.secrets})
			s.send(feed.Link{Since: noon, Err: fmt.Errorf("%s", hostile)})
			harmless(t, s.draw())
			require.Equal(t, s.draw(), s.View(), "the last filter finds nothing to do")
		})
	}
}

// harmless fails when a terminal would obey anything but SGR.
func harmless(t *testing.T, s string) {
	t.Helper()
	for i, r := range s {
		if r == 0x1b {
			require.Regexp(t, `^\x1b\[[0-9;:]*m`, s[i:], "at %d", i)
			continue
		}
		require.False(t, r != '\n' && terminal.Unsafe(r), "%U in %q", r, s[max(0, i-20):i])
	}
}
