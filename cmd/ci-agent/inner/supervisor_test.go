package inner

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A family reaps every child of its process, so tests that have one neither run
// beside each other nor start processes by os/exec.

// pair is a supervisor whose engine and agent are shell scripts in a folder.
func pair(t *testing.T, engine, agent string) (*supervisor, chan<- os.Signal, string) {
	t.Helper()
	dir := t.TempDir()
	f := newFamily()
	t.Cleanup(f.close)
	signals := make(chan os.Signal, 4)
	script := func(text string) command {
		return command{argv: []string{"/bin/sh", "-c", text}, env: []string{"PATH=" + os.Getenv("PATH"), "DIR=" + dir}}
	}
	return &supervisor{
		family: f, log: slog.New(slog.DiscardHandler), signals: signals,
		engine: script(`echo $$ >>"$DIR/engines"; ` + engine), agent: script(agent),
		ready: func(context.Context) error {
			_, err := os.Stat(filepath.Join(dir, "engines"))
			return err
		},
		limit: time.Minute, stopLimit: 30 * time.Second, pause: time.Millisecond,
	}, signals, dir
}

// engines are the process ids of all engines that were started.
func engines(t *testing.T, dir string) []int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "engines"))
	require.NoError(t, err)
	var all []int
	for line := range strings.FieldsSeq(string(b)) {
		n, err := strconv.Atoi(line)
		require.NoError(t, err)
		all = append(all, n)
	}
	return all
}

func requireGone(t *testing.T, dir string) {
	t.Helper()
	for _, pid := range engines(t, dir) {
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "the engine with process id %d still runs", pid)
	}
}

func TestTheAgentsStatusIsOurs(t *testing.T) {
	for script, want := range map[string]error{"true": nil, "exit 7": exit(7), "kill -9 $$": exit(128 + 9)} {
		t.Run(script, func(t *testing.T) {
			s, _, dir := pair(t, "exec sleep 1000", script)
			require.Equal(t, want, s.run())
			requireGone(t, dir)
		})
	}
}

// TestEverySignalReachesTheAgent sends two, since the second one means more,
// and sees that the engine still ran when the agent ended.
func TestEverySignalReachesTheAgent(t *testing.T) {
	s, signals, dir := pair(t, "exec sleep 1000", `
		trap 'echo term >>"$DIR/got"' TERM
		: >"$DIR/got"; echo up >"$DIR/up"
		while [ "$(wc -l <"$DIR/got")" -lt 2 ]; do sleep 0.01; done
		kill -0 $(cat "$DIR/engines")`)
	done := make(chan error, 1)
	go func() { done <- s.run() }()
	lines := func(name string, n int) func() bool {
		return func() bool {
			b, _ := os.ReadFile(filepath.Join(dir, name))
			return strings.Count(string(b), "\n") >= n
		}
	}
	require.Eventually(t, lines("up", 1), time.Minute, time.Millisecond)
	signals <- syscall.SIGTERM
	require.Eventually(t, lines("got", 1), time.Minute, time.Millisecond)
	signals <- syscall.SIGTERM
	require.NoError(t, <-done)
	requireGone(t, dir)
}

func TestAnEngineThatDiesIsStartedAgain(t *testing.T) {
	s, _, dir := pair(t, `while [ ! -e "$DIR/up" ]; do sleep 0.01; done; [ "$(wc -l <"$DIR/engines")" = 3 ] || exit 1; exec sleep 1000`,
		`: >"$DIR/up"; while [ "$(wc -l <"$DIR/engines")" -lt 3 ]; do sleep 0.01; done`)
	require.NoError(t, s.run())
	require.Len(t, engines(t, dir), 3)
	requireGone(t, dir)
}

func TestAnEngineThatDoesNotEndIsKilled(t *testing.T) {
	s, _, dir := pair(t, `trap "" TERM; while :; do sleep 0.01; done`, "true")
	s.stopLimit = 10 * time.Millisecond
	require.NoError(t, s.run())
	requireGone(t, dir)
}

func TestAnEngineThatEndsBeforeItAnswers(t *testing.T) {
	s, _, dir := pair(t, "exit 3", "true")
	s.ready = func(context.Context) error { return errors.New("not yet") }
	require.ErrorContains(t, s.run(), "ended with status 3 before it answered")
	requireGone(t, dir)
}

func TestAnEngineThatNeverAnswers(t *testing.T) {
	s, _, _ := pair(t, "exec sleep 1000", "true")
	s.ready, s.limit = func(context.Context) error { return errors.New("not yet") }, 10*time.Millisecond
	require.ErrorContains(t, s.run(), "does not answer after")
}

func TestASignalBeforeTheEngineAnswers(t *testing.T) {
	s, signals, _ := pair(t, "exec sleep 1000", "exit 9")
	s.ready = func(context.Context) error { return errors.New("not yet") }
	signals <- syscall.SIGTERM
	require.NoError(t, s.run(), "the agent was not started")
}

func TestWithoutAnEngine(t *testing.T) {
	s, _, _ := pair(t, "", "")
	s.engine.argv[0] = "no-such-engine"
	require.ErrorContains(t, s.run(), "no-such-engine")
}

func TestWithoutAnAgent(t *testing.T) {
	s, _, dir := pair(t, "exec sleep 1000", "")
	s.agent.argv[0] = "no-such-agent"
	require.ErrorContains(t, s.run(), "no-such-agent")
	requireGone(t, dir)
}
