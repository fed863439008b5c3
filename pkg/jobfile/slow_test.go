package jobfile

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHostileRepeats gives the reader the largest file of each odd piece: the
// time must not grow with the square of the size.
func TestHostileRepeats(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{
		"a", "a:\n", "a: b\n", "- ", "- a\n", "[", "[]", "{", "{a: ", "}", "]", ",", "\"", "'", "\"a\" ", "&a ", "*a ", "*a\n", "? ", "? a\n", ": ", "|\n", ">\n", "# c\n", "!", "!!a ", "%", "%a\n",
		"---\n", "...\n", "<<: ", "<<: *a\n", "\n", " ", "\t", "\r", "\r\n", "\\", "~\n", "a: |\n ", "a: \"\n", "@", "`", "\u00a0", "a: &a\n", "- - ", "a: [", "a: {", "\n\n a", "x: >-\n  ",
	} {
		start := time.Now()
		_, err := Parse("x", []byte(strings.Repeat(piece, MaxBytes/len(piece))), nil)
		took := time.Since(start)
		require.Error(t, err)
		if took > 15*time.Second { // what grows with the square takes half a minute, a loaded machine some seconds
			t.Errorf("%q took %s", piece, took)
		}
	}
}
