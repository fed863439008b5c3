package theme

import (
	"strings"
	"testing"

	"github.com/muesli/termenv"
	"github.com/stretchr/testify/require"
)

func TestDepth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want termenv.Profile
	}{
		{map[string]string{"TERM": "xterm"}, termenv.ANSI},
		{map[string]string{"TERM": "xterm-256color"}, termenv.ANSI256},
		{map[string]string{"TERM": "xterm-256color", "COLORTERM": "truecolor"}, termenv.TrueColor},
		{map[string]string{"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, termenv.Ascii},
		{map[string]string{"TERM": "dumb"}, termenv.Ascii},
		{map[string]string{"TERM": "xterm", "CLICOLOR": "0"}, termenv.Ascii},
	} {
		require.Equal(t, c.want, Depth(func(k string) string { return c.env[k] }), "%v", c.env)
	}
}

func TestGround(t *testing.T) {
	t.Parallel()
	for v, want := range map[string][2]bool{"": {true, false}, "15;0": {true, true}, "0;15": {false, true}, "0;default;7": {false, true}} {
		dark, known := Ground(func(string) string { return v })
		require.Equal(t, want, [2]bool{dark, known}, "%q", v)
	}
}

// TestAnswers cuts what a terminal and a person send anywhere.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		typed, ground string
	}{
		"jk":                                   {"jk", ""},
		"j\x1b]11;rgb:ffff/ffff/ffff\x07k":     {"jk", "light"},
		"j\x1b]11;rgb:1010/1414/1818\x1b\\k":   {"jk", "dark"},
		"\x1b]11;rgb:f/f/f\x07":                {"", "light"},
		"\x1b]11;rgba:ffff/0000/0000/ffff\x07": {"", ""},
		"\x1b]10;rgb:0/0/0\x07x":               {"x", ""},
		"\x1b[A\x1b":                           {"\x1b[A\x1b", ""},
	} {
		for n := 1; n <= len(in); n++ {
			if i := strings.Index(in, "\x1b]"); i >= 0 && (i+1)%n == 0 {
				continue // an ESC that nothing follows is a key at once
			}
			got, ground := "", ""
			a := &Answers{Ground: func(dark bool) { ground = map[bool]string{true: "dark", false: "light"}[dark] }}
			for rest := in; rest != ""; {
				k := min(n, len(rest))
				got += string(a.Filter([]byte(rest[:k])))
				rest = rest[k:]
			}
			require.Equal(t, want.typed, got, "%q in pieces of %d", in, n)
			require.Equal(t, want.ground, ground)
		}
	}
}
