package tui

import (
	"strings"
	"testing"

	"github.com/muesli/termenv"
)

// BenchmarkFrame draws a console of 200,000 lines on a large terminal.
func BenchmarkFrame(b *testing.B) {
	c := sample()
	c.console = strings.Repeat("\x1b[32mok\x1b[0m  \tpackage/number\t0.01s and some more text to fill the line as lines are filled\n", 200_000)
	s := newStage(b, c, 160, 50, termenv.TrueColor, true)
	s.keys("/", "failed", "enter", "c")
	for b.Loop() {
		_ = s.View()
	}
}
