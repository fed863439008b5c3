package replay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// TestMain makes the test's own binary the child of sandboxes.
func TestMain(m *testing.M) {
	if code, ran := Main(os.Args, os.Stdin, os.Stdout); ran {
		os.Exit(code)
	}
	if os.Getenv(replaced) != "" {
		os.Exit(replayWithoutFile())
	}
	os.Exit(m.Run())
}

// replaced makes the test's own binary a process whose file is gone.
const replaced = "REPLAY_TEST_REPLACED"

func replayWithoutFile() int {
	path, err := os.Executable()
	if err == nil {
		err = os.Remove(path)
	}
	s := NewSandbox("")
	out, failed := s.Evaluate(context.Background(), Input{Name: "p", Program: "run('a')"})
	if err = errors.Join(err, failed, s.Close()); err != nil || len(out.New) != 1 {
		fmt.Fprintln(os.Stderr, err, out)
		return 1
	}
	return 0
}

// A process goes on replaying when another release has taken its file's place.
func TestSandboxWhoseFileIsGone(t *testing.T) {
	t.Parallel()
	path, err := os.Executable()
	require.NoError(t, err)
	other := filepath.Join(t.TempDir(), "earlier")
	// Not written here: another test's child might hold it open for writing at the moment.
	said, err := exec.CommandContext(t.Context(), "cp", path, other).CombinedOutput()
	require.NoError(t, err, "%s", said)
	cmd := exec.CommandContext(t.Context(), other)
	cmd.Env = append(os.Environ(), replaced+"=1")
	said, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
}

func sandbox(t *testing.T) *Sandbox {
	t.Helper()
	s := NewSandbox("")
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// What no count of steps bounds: each of these would take gigabytes or hours
// in this process. The same sandbox goes on afterwards with a decent program.
func TestHostilePrograms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ program, says string }{
		"a huge string":        {"x = 'a' * (1 << 29)", "memory"},
		"a string that grows":  {"x = 'a' * 1000\nfor i in range(30): x = x + x", "memory"},
		"a huge list":          {"x = list(range(1000000000))", "memory"},
		"a list that grows":    {"x = [0] * 1000\nfor i in range(30): x = x + x", "memory"},
		"a huge integer":       {"x = 7\nfor i in range(40): x = x * x", "p "},
		"a huge dict":          {"d = {i: i for i in range(4000000)}", "p "},
		"a text of many texts": {"l = ['x']\nfor i in range(40): l = [l, l]\ns = str(l)", "memory"},
		"a tuple's hash":       {"t = ('x',)\nfor i in range(60): t = (t, t)\nd = {t: 1}", "p "},
		"an endless builtin":   {"x = max(range(1 << 50))", "seconds of computing"},
		"an endless loop":      {"while True: pass", "more than 5000000 steps"},
		"deep recursion":       {"f = lambda g, n: g(g, n + 1)\nf(f, 0)", "called recursively"},
		"signs":                {"x = " + strings.Repeat("-", 60000) + "1", "p.star"},
		"nots":                 {"x = " + strings.Repeat("not ", 15000) + "1", ""},
		"lambdas":              {"x = " + strings.Repeat("lambda:", 9000) + "1", ""},
		"a deep value":         {"l = []\nfor i in range(2000000): l = [l]\ns = str(l)", "p"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sandbox(t)
			out, err := s.Evaluate(t.Context(), Input{Name: "p", Program: c.program})
			require.NoError(t, err)
			if c.says != "" {
				require.True(t, out.Fault, "%+v", out)
				require.Contains(t, out.Reason, c.says)
			}
			out, err = s.Evaluate(t.Context(), Input{Name: "p", Program: "run('a')"})
			require.NoError(t, err)
			require.Len(t, out.New, 1)
		})
	}
}

// Many programs share one child, one after the other, and see nothing of each other.
func TestSandboxServesMany(t *testing.T) {
	t.Parallel()
	s := sandbox(t)
	for i := range 50 {
		in := Input{Name: "p", Program: fmt.Sprintf("x = ['a' * 1000000]\nrun('job-%d')", i), Now: noon}
		out, err := s.Evaluate(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, Evaluate(in), out)
		require.Equal(t, ci.CallRun, out.New[0].Kind)
	}
}

// A child that is killed from outside says nothing about its program.
func TestSandboxIsKilled(t *testing.T) {
	t.Parallel()
	s := sandbox(t)
	in := Input{Name: "p", Program: "run('a')"}
	_, err := s.Evaluate(t.Context(), in)
	require.NoError(t, err)
	require.NoError(t, s.child.cmd.Process.Kill())
	_, err = s.Evaluate(t.Context(), in)
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	out, err := s.Evaluate(t.Context(), in)
	require.NoError(t, err)
	require.Len(t, out.New, 1)

	missing := NewSandbox("/nonexistent")
	for range 2 {
		_, err = missing.Evaluate(t.Context(), in)
		require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	}
	require.NoError(t, missing.Close())
}

// What a terminal sends to a whole group of processes does not reach the child,
// whose program would be blamed for it.
func TestSandboxHasAGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	s := sandbox(t)
	_, err := s.Evaluate(t.Context(), Input{Name: "p", Program: "run('a')"})
	require.NoError(t, err)
	pid := s.child.cmd.Process.Pid
	group, err := syscall.Getpgid(pid)
	require.NoError(t, err)
	require.Equal(t, pid, group)
}

// An answer that is too long is the program's fault, and not tried again for ever.
func TestSandboxOfALongAnswer(t *testing.T) {
	t.Parallel()
	s := sandbox(t)
	program := "x = 'a' * 60000\nfor i in range(400): run('a', params = {'X': x})"
	out, err := s.Evaluate(t.Context(), Input{Name: "p", Program: program})
	require.NoError(t, err)
	require.True(t, out.Fault)
	require.Equal(t, "p makes calls with more than 16 MiB of arguments at once; pass less, or leave it to a job", out.Reason)
	out, err = s.Evaluate(t.Context(), Input{Name: "p", Program: strings.Replace(program, "400", "200", 1)})
	require.NoError(t, err)
	require.Len(t, out.New, 200)
}
