package tui

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ci/pkg/ci"
	"ci/tui/feed"
	"ci/tui/screen"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
	"github.com/stretchr/testify/require"
)

func setup(t *testing.T) *stage {
	t.Helper()
	return newStage(t, sample(), 100, 30, termenv.ANSI256, true)
}

// shows is what is seen, without colours.
func (s *stage) shows() string { return ansi.Strip(s.View()) }

func TestRunAgain(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("/", "failed", "enter", "enter", "R")
	require.Contains(t, s.shows(), "Run unit-test again at commit 3f2a1b0c9d8e?")
	s.keys("n")
	require.Empty(t, s.client.said, "no is no")
	s.keys("R", "y")
	require.Equal(t, []string{"trigger unit-test"}, s.client.said)
	require.Equal(t, commit, s.client.triggerd.CommitSHA)
	require.Empty(t, s.client.triggerd.BranchName)
	require.Equal(t, map[string]string{"LEVEL": "3", "TARGET": "linux/amd64"}, s.client.triggerd.Parameters)
	require.NotEmpty(t, s.client.triggerd.IdempotencyKey)
	require.Equal(t, "unit-test/99", s.top().Title(), "the new run is shown")
	s.keys("q")
	require.Equal(t, "unit-test/41", s.top().Title())
}

func TestTriggerForm(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("2", "t")
	require.Contains(t, s.shows(), "Run deploy")
	s.keys("ctrl+s")
	require.Contains(t, s.shows(), "STAGE is needed.")
	s.keys("prod", "tab", "right", "ctrl+s")
	require.Equal(t, ci.Trigger{
		Job: "deploy", BranchName: "main", Priority: ci.PriorityUrgent, Parameters: map[string]string{"STAGE": "prod"}, IdempotencyKey: s.client.triggerd.IdempotencyKey,
	}, s.client.triggerd)
}

func TestAbort(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("A")
	require.Contains(t, s.shows(), "Abort deploy/46, which is queued?")
	s.keys("y")
	require.Equal(t, []string{"abort deploy/46"}, s.client.said)
	s.keys("end", "A")
	require.Contains(t, s.shows(), "unit-test/38 is done already.")
}

func TestDrain(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("3", "d", "new disk", "tab", "soon", "ctrl+s")
	require.Contains(t, s.shows(), `"soon" is not a time to wait for`)
	s.keys("esc", "d", "new disk", "tab", "30m", "ctrl+s")
	require.Contains(t, s.shows(), "Drain box-1?")
	s.keys("y", "u", "y")
	require.Equal(t, []string{"drain box-1 new disk", "undrain box-1"}, s.client.said)
}

func TestEditJob(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.writes = "name: deploy\n"
	s.keys("2", "e")
	require.Equal(t, "name: deploy\n", s.edited)
	require.Contains(t, s.shows(), "Nothing was changed.")

	s.writes = "nonsense"
	s.keys("e")
	require.Contains(t, s.shows(), "there is no name")
	s.writes = "name: other\n"
	s.keys("y")
	require.Equal(t, "nonsense", s.edited, "nobody's typing is thrown away")
	require.Contains(t, s.shows(), "can't be renamed to other")
	s.writes = " name: deploy\n"
	s.keys("y")
	require.Equal(t, int64(4), s.client.putAt, "only over the version that was read")
	require.Contains(t, s.shows(), "is stored, version 5")

	s.client.err = ci.Errorf(ci.CodeStale, "stale")
	s.send(screen.Run{Cmd: func() tea.Msg { return nil }})
	s.client.err = nil
	s.writes = "name: fresh\n"
	s.keys("n")
	require.Equal(t, int64(-1), s.client.putAt, "a new job replaces none")
	require.Contains(t, s.shows(), "Job fresh is made.")
	s.keys("X", "y")
	require.Equal(t, "delete deploy", s.client.said[len(s.client.said)-1])
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	const value = "hunter2-and-more"
	s := setup(t).keys("2", "end", "s", "s", value)
	require.NotContains(t, s.shows(), "hunter2")
	require.Contains(t, s.shows(), strings.Repeat("•", len(value)))
	s.keys("ctrl+s")
	require.Equal(t, value, s.client.value)
	require.NotContains(t, s.shows(), "hunter2")

	s.writes = "line one\nline two\n"
	s.keys("e")
	require.True(t, s.secret, "its file is in memory")
	require.Empty(t, s.edited, "the old value is not to be had")
	require.Equal(t, "line one\nline two", s.client.value)
	s.keys("n", "1bad", "tab", "longenough", "ctrl+s")
	require.Contains(t, s.shows(), "must match")
	s.keys("esc", "X", "y")
	require.Equal(t, "delete secret unit-test API_KEY", s.client.said[len(s.client.said)-1])
}

func TestConsole(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("/", "failed", "enter", "c")
	require.Contains(t, s.shows(), "100% done")
	require.NotContains(t, s.shows(), "50%", "what was written over is not shown")
	s.keys("/", "number07", "enter")
	require.Contains(t, s.shows(), "found in line 11")
	s.keys("n")
	require.Contains(t, s.shows(), "found in line 11, from the top again")
	s.keys("/", "(", "enter")
	require.Contains(t, s.shows(), "missing closing )")
	s.keys("esc", "esc", "E", "y")
	require.Equal(t, "parser_test.go:42: error: want 0 lines, got 1", s.copied)
	s.keys("E", "v", "down", "y")
	require.Equal(t, "FAIL\tpackage/parser\t0.31s\nparser_test.go:42: error: want 0 lines, got 1", s.copied)
	s.keys("&", "number1", "enter", "g")
	require.Contains(t, s.shows(), "line 14 of 37")
	require.NotContains(t, s.shows(), "number09")
	s.keys("esc")
	require.Contains(t, s.shows(), "number09")
	s.keys("z", "g")
	require.Contains(t, s.shows(), "⋯ 2 more")
}

func TestDownload(t *testing.T) {
	s := setup(t)
	t.Chdir(t.TempDir())
	s.keys("/", "failed", "enter", "enter", "4", "down", "d", "ctrl+s")
	require.Contains(t, s.shows(), "Saved junit.xml")
	require.Equal(t, report, read(t, "junit.xml"))
	s.keys("d", "ctrl+s")
	require.Contains(t, s.shows(), "junit.xml is there already")
	s.keys("esc", "up", "d", "ctrl+s")
	require.Contains(t, s.shows(), "arrived damaged")
	_, err := os.Stat("app")
	require.ErrorIs(t, err, os.ErrNotExist)
	left, err := filepath.Glob(".ci-*")
	must(t, err)
	require.Empty(t, left)
}

func TestGroupAndSort(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("b")
	require.Contains(t, s.shows(), "main (8)")
	require.Contains(t, s.shows(), "feature/großes-ding (1)")
	s.keys("b")
	require.Contains(t, s.shows(), commit+" (9)")
	s.keys("b", "b", "s")
	view := s.shows()
	require.Less(t, strings.Index(view, "release/40"), strings.Index(view, "lint/42"), "trouble comes first")
}

// TestHelpIsWhole finds bindings that the help does not tell of, and keys that mean two things.
func TestHelpIsWhole(t *testing.T) {
	t.Parallel()
	for name, lead := range views() {
		s := newStage(t, sample(), 100, 200, termenv.Ascii, true)
		lead(s)
		s.fail, s.form, s.confirm, s.palette, s.help = nil, nil, nil, nil, nil
		if s.top().Typing() {
			continue
		}
		keys := s.top().Keys()
		s.keys("?")
		view := s.shows()
		seen := map[string]string{}
		for _, b := range append(keys[:len(keys):len(keys)], keyHelp, keyPalette, keyQuit, keyReload, keyRedraw) {
			require.Contains(t, view, b.Help().Desc, name)
			for _, k := range b.Keys() {
				require.Empty(t, seen[k], "%s: %s is %s too", name, k, b.Help().Desc)
				seen[k] = b.Help().Desc
			}
		}
	}
}

func TestPipelines(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("5", "down")
	require.Contains(t, s.shows(), "1 running")
	require.Contains(t, s.shows(), "● running    release/7", "the last runs of the one under the cursor")
	s.keys("o", "a", "ship it", "ctrl+s")
	require.Empty(t, s.client.said, "an answer is asked for twice")
	s.keys("n", "x", "esc", "a", "ship it", "ctrl+s", "y")
	require.Equal(t, []string{"answer release/7 4 true ship it"}, s.client.said)
	require.Contains(t, s.shows(), "Approved in release/7.")
	require.Contains(t, s.shows(), "✓ approved")
	s.keys("a")
	require.Contains(t, s.shows(), "Nothing waits for an answer.")

	s.keys("home", "down", "enter")
	require.Equal(t, "unit-test/38", s.top().Title(), "from a step to its run")
	s.keys("q", "F")
	require.Contains(t, s.shows(), "goes on", "what goes on is not run again")
	s.keys("A", "y")
	require.Equal(t, "abort pipeline release/7", s.client.said[1])
	require.Contains(t, s.shows(), "An abort was asked for")
	s.keys("q", "enter", "down", "F", "y")
	require.Equal(t, "rerun release/6 true", s.client.said[2])
	require.Equal(t, "release/8", s.top().Title(), "the new run is shown")
	s.keys("q", "q", "t", "tab", "right", "tab", "1.5", "ctrl+s")
	require.Equal(t, map[string]string{"branch": "main", "dry": "true", "version": "1.5"}, s.client.started)
}

// TestPipelineIsLive sees a run go on and end, and its server go away between.
func TestPipelineIsLive(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("5", "down", "o")
	run := s.client.pipeRuns[0]
	run.Calls = append(run.Calls[:len(run.Calls):len(run.Calls)], ci.PipelineCall{ID: "5", Kind: ci.CallRun, Title: "deploy", Began: noon, After: []string{"4"}})
	s.send(feed.PipelineRunLoaded{Name: "release", ID: 7, Run: &run, Held: true})
	require.Contains(t, s.shows(), "└ deploy")
	older := s.client.pipeRuns[0]
	s.send(feed.PipelineRunLoaded{Name: "release", ID: 7, Run: &older})
	require.Contains(t, s.shows(), "└ deploy", "an answer that was overtaken takes nothing back")
	s.send(feed.PipelineRunLoaded{Name: "release", ID: 7, Err: errors.New("gone"), Held: true})
	require.Contains(t, s.shows(), "not up to date: gone")
	require.Contains(t, s.shows(), "└ deploy", "what is known stays")
	run.Status, run.Outcome, run.Done = ci.StatusDone, ci.OutcomeSucceeded, noon
	s.client.pipeRuns[0] = run
	s.do(s.top().Update(screen.Tick{At: noon.Add(3e9)}))
	require.NotContains(t, s.shows(), "not up to date")
	require.Contains(t, s.shows(), "✓ succeeded  release/7")
}

func TestFastTyping(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("/failed")})
	require.Contains(t, s.shows(), "filter: failed", "keys that come at once are keys one by one")
	s.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(" more\ntext"), Paste: true})
	require.Contains(t, s.shows(), "filter: failed more text")
	s.keys("enter")
	s.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q"), Paste: true})
	s.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("RA"), Paste: true})
	require.Nil(t, s.confirm, "what is pasted is no command")
}

func TestPalette(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("ctrl+p", "unit-test/41", "enter")
	require.Equal(t, "unit-test/41", s.top().Title())
	s.keys(":", "go to Agents", "enter")
	require.Equal(t, "Agents", s.top().Title())
	s.keys(":", "drain", "enter")
	require.Contains(t, s.shows(), "Drain box-1")
	s.keys("esc", ":", "start pipeline nightly", "enter", "y")
	require.Equal(t, "start nightly", s.client.said[0])
}

func TestMouse(t *testing.T) {
	t.Parallel()
	s := setup(t)
	click := func(x, y int) {
		s.send(tea.MouseMsg{X: x, Y: y, Button: tea.MouseButtonLeft, Action: tea.MouseActionPress})
	}
	click(5, 4)
	require.Contains(t, s.shows(), "▸ ● running")
	click(5, 4)
	require.Equal(t, "integration/45", s.top().Title())
	click(16, 2)
	require.Contains(t, s.shows(), "line 37 of 37", "the second part is the console")
	s.send(tea.MouseMsg{X: 5, Y: 8, Button: tea.MouseButtonWheelUp})
	require.Contains(t, s.shows(), "line 34 of 37")
	click(18, 0)
	require.Equal(t, "Jobs", s.top().Title())
}

// TestTimes shows when lines were stored, and asks again where the server was away.
func TestTimes(t *testing.T) {
	t.Parallel()
	s := setup(t).keys("c", "t")
	require.Contains(t, s.shows(), "12:00:")
	s.keys("t")
	require.NotContains(t, s.shows(), "12:00:")

	s = setup(t).keys("c")
	s.client.err = ci.Errorf(ci.CodeUnavailable, "away")
	s.keys("t")
	require.NotContains(t, s.shows(), "12:00:")
	s.client.err = nil
	s.do(s.top().Update(screen.Tick{At: noon}))
	require.Contains(t, s.shows(), "12:00:")

	s = setup(t).keys("c")
	s.client.err = ci.Errorf(ci.CodeNotFound, "it is an old one")
	s.keys("t")
	require.Contains(t, s.shows(), "no times: it is an old one")
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.send(feed.Acted{Err: errors.New("no such thing")})
	require.Contains(t, s.shows(), "no such thing")
	s.keys("x")
	require.NotContains(t, s.shows(), "no such thing")
	snap := *s.world.Last
	snap.Denied = map[string]string{"agents": "a token of role trigger may not see agents"}
	s.send(snap)
	s.keys("3")
	require.Contains(t, s.shows(), "may not see agents")
	s.client.err = ci.Errorf(ci.CodeUnavailable, "gone")
	s.keys("1", "down", "enter")
	require.Contains(t, s.shows(), "gone", "a run that can't be loaded says why")
}

func TestEditor(t *testing.T) {
	t.Parallel()
	e := editor{env: func(name string) string { return map[string]string{"EDITOR": "cat --"}[name] }}
	program, err := e.program()
	must(t, err)
	require.Equal(t, "cat --", program)
	dir, err := memoryFolder(func(string) string { return "" })
	if err == nil {
		require.Contains(t, []string{"/dev/shm", "/run"}, dir)
	}
	_, err = readBack(filepath.Join(t.TempDir(), "none"))
	require.Error(t, err)
	require.Equal(t, []string{"the job is not valid", "a: b"}, errorLines(fmt.Errorf("%w", &ci.Error{Message: "the job is not valid", Fields: []ci.Field{{Path: "a", Message: "b"}}})))
}
