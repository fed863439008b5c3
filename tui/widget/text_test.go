package widget

import (
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"
)

func TestWidth(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "abc", "\x1b[1;31mred\x1b[0m", "ü", "日本", "a\x1b[38;5;1mé\x1b[0m", "tab\tbell\x07", "👩‍👩‍👧 family", "\x1b[", "a\x1b[31"} {
		require.Equal(t, ansi.StringWidth(s), Width(s), "%q", s)
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{{"abc", 5, "abc  "}, {"abcdef", 4, "abc…"}, {"abc", 0, ""}, {"日本語", 4, "日… "}, {"\x1b[1mab\x1b[0m", 3, "\x1b[1mab\x1b[0m "}} {
		require.Equal(t, c.want, Fit(c.in, c.w), "%q", c.in)
	}
	require.Equal(t, "ab…xyz", Sides("abcdef", "xyz", 6))
	require.Equal(t, "a  xyz", Sides("a", "xyz", 6))
}

func TestBoxes(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"one two", "three"}, Wrap("one two three", 7))
	require.Equal(t, "ab  \n    ", Box([]string{"ab"}, 4, 2))
	require.Equal(t, "a|b", Beside("a", "b", "|"))
}
