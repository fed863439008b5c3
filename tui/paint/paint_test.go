package paint

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	term := New(nil, nil, &out)
	draw := func(w int, lines ...string) string {
		out.Reset()
		require.NoError(t, term.Draw(strings.Join(lines, "\n"), w))
		return out.String()
	}
	require.Equal(t, "\x1b[m\x1b[2J\x1b[H\x1b[mone\x1b[2;1H\x1b[mtwo", draw(3, "one", "two"))
	require.Empty(t, draw(3, "one", "two"))
	require.Equal(t, "\x1b[2;1H\x1b[m\x1b[31mab\x1b[m\x1b[K", draw(3, "one", "\x1b[31mab"), "a shorter line ends where it ends")
	require.Equal(t, "\x1b[2;1H\x1b[mtwo", draw(3, "one", "two"))
	require.Contains(t, draw(4, "one", "two"), "\x1b[2J", "another width")
	require.Contains(t, draw(4, "one"), "\x1b[2J", "another height")
	term.Forget()
	require.Contains(t, draw(4, "one"), "\x1b[2J")
}

// broken takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestAfterAFailureAllIsDrawn(t *testing.T) {
	t.Parallel()
	term := New(nil, nil, broken{})
	require.ErrorContains(t, term.Draw("one", 3), "gone")
	var out bytes.Buffer
	term.w = &out
	require.NoError(t, term.Draw("one", 3))
	require.Contains(t, out.String(), "\x1b[2J")
}
