package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes foreign text fit for one line of a terminal or one column of a
// pipe. Names, reasons and errors come from people and programs that may want
// to write to the terminal more than a text: what would move the cursor, set
// colours or turn the direction of writing is shown as an escape instead.
func clean(s string) string { return sanitize(s, false) }

// cleanLines is clean for text of several lines.
func cleanLines(s string) string { return sanitize(s, true) }

func sanitize(s string, lines bool) string {
	if !strings.ContainsFunc(s, unsafe) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n' && lines:
			b.WriteByte('\n')
		case r == '\n' || r == '\t' || r == '\r':
			b.WriteByte(' ')
		case unsafe(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case unsafe(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// unsafe says whether a terminal would do something else with r than show it.
func unsafe(r rune) bool { return unicode.IsControl(r) || bidi(r) || r == '\u2028' || r == '\u2029' }

// bidi says whether r turns the direction of writing (Unicode UAX #9), which
// can make a text read as another.
func bidi(r rune) bool {
	return r == '\u061c' || r == '\u200e' || r == '\u200f' || (r >= '\u202a' && r <= '\u202e') || (r >= '\u2066' && r <= '\u2069')
}
