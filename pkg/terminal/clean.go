// Package terminal is what stands between foreign text and a terminal: names,
// reasons and errors become harmless text, console output keeps its colours
// and nothing else that a terminal would obey.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes foreign text fit for one line of a terminal or one column of a
// pipe. Names, reasons and errors come from people and programs that may want
// to write to the terminal more than a text: what would move the cursor, set
// colours or turn the direction of writing is shown as an escape instead.
func Clean(s string) string { return sanitize(s, false) }

// CleanLines is Clean for text of several lines.
func CleanLines(s string) string { return sanitize(s, true) }

func sanitize(s string, lines bool) string {
	if !strings.ContainsFunc(s, Unsafe) && utf8.ValidString(s) {
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
		case Unsafe(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case Unsafe(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// Unsafe says whether a terminal would do something else with r than show it.
func Unsafe(r rune) bool { return unicode.IsControl(r) || bidi(r) || r == '\u2028' || r == '\u2029' }

// bidi says whether r turns the direction of writing (Unicode UAX #9), which
// can make a text read as another.
func bidi(r rune) bool {
	return r == '\u061c' || r == '\u200e' || r == '\u200f' || (r >= '\u202a' && r <= '\u202e') || (r >= '\u2066' && r <= '\u2069')
}

// CleanJSON writes unsafe characters of a JSON document as JSON escapes, so
// that it stays the same document.
func CleanJSON(s string) string {
	if !strings.ContainsFunc(s, Unsafe) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r != '\n' && Unsafe(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
