package cli

import (
	"bytes"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/stretchr/testify/require"
)

// A line has the keys that a terminal has for one, whatever of it is in one read.
func TestTypedLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 512)
	for name, tt := range map[string]struct {
		keys, want  string
		interrupted bool
	}{
		"long":                {long + "\r", long, false},
		"pasted in brackets":  {"\x1b[200~code=x&\nstate=y\n\x1b[201~\r", "code=x&state=y", false},
		"words that are keys": {"enter\r", "enter", false},
		"by a line feed":      {"x\n", "x", false},
		"mended":              {"codd\x7f\x7fde\r", "code", false},
		"a word less":         {"one two\x17three\r", "one three", false},
		"anew":                {"wrong\x15right\r", "right", false},
		"interrupted":         {"x\x03", "x", true},
		"ended":               {"\x04", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := typing(t, tt.keys)
			require.Equal(t, tt.want, line.text)
			require.Equal(t, tt.interrupted, line.interrupted)
		})
	}
	endless := typing(t, strings.Repeat(long, 20)+"\r")
	require.Len(t, endless.text, maxTyped)
}

func typing(t *testing.T, keys string) typed {
	t.Helper()
	var out bytes.Buffer
	end, err := tea.NewProgram(typed{}, tea.WithContext(t.Context()), tea.WithInput(strings.NewReader(keys)), tea.WithOutput(&out), tea.WithoutSignalHandler()).Run()
	require.NoError(t, err)
	return end.(typed)
}

func TestTypedLineFits(t *testing.T) {
	t.Parallel()
	require.Equal(t, "> abc▏", typed{text: "abc", width: 10}.View())
	require.Equal(t, "> …fghij▏", typed{text: "abcdefghij", width: 9}.View())
	require.Equal(t, "> a\u202eb▏", strings.ReplaceAll(typed{text: "a\u202eb"}.View(), clean("\u202e"), "\u202e"))
	require.NotContains(t, typed{text: "a\u202eb", width: 9}.View(), "\u202e")
}
