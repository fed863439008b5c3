package shell

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-sh" {
		os.Exit(Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func TestShell(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script")
	tests := []struct {
		name, text string
		args       []string
		code       int
		output     string
	}{
		{"loops and pipes", "for i in 1 2; do echo $i; done | cat", nil, 0, "1\n2\n"},
		{"stops at a failure", "false\necho never", []string{"-e"}, 1, ""},
		{"goes on without -e", "false\necho on", nil, 0, "on\n"},
		{"exit status", "exit 9", []string{"-e"}, 9, ""},
		{"parameters", "echo $1-$#", nil, 0, "a b-2\n"},
		{"unset is an error", "echo $nothing; echo never", []string{"-eu"}, 1, "nothing: unbound variable\n"},
		{"built in", "mkdir -p d/e && touch d/e/f && ls d/e && rm -r d", []string{"-e"}, 0, "f\n"},
		{"sleep", "sleep 0.01 && sleep x", nil, 1, "sleep: \"x\" is no time; say seconds, or 1m30s\n"},
		{"functions and local", "f() { local x=1; echo $x; }; f", nil, 0, "1\n"},
		{"no such command", "nosuch || echo $?", nil, 0, "\"nosuch\": executable file not found in $PATH\n127\n"},
		{"a mistake", "if", nil, 2, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(script, []byte(test.text), 0o644))
			cmd := exec.Command(os.Args[0], append(append([]string{"as-sh"}, test.args...), script, "a b", "c")...)
			cmd.Dir = dir
			cmd.Env = []string{"PATH=/nowhere"}
			out, _ := cmd.CombinedOutput()
			require.Equal(t, test.code, cmd.ProcessState.ExitCode(), string(out))
			if test.output != "" || test.code == 0 {
				require.Equal(t, test.output, string(out))
			}
		})
	}
	out, err := exec.Command(os.Args[0], "as-sh", "-ec", "echo $0 $1", "name", "one").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "one", string(out[len(out)-4:len(out)-1]))
}
