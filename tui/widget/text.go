// Package widget has the parts that screens are made of: tables, inputs,
// forms and boxes of text. They know neither runs nor the server.
package widget

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Fit makes s, which may be dyed, exactly w cells wide.
func Fit(s string, w int) string {
	if w <= 0 {
		return ""
	}
	n := Width(s)
	if n > w {
		s = ansi.Truncate(s, w, "…")
		n = Width(s)
	}
	return s + strings.Repeat(" ", max(0, w-n))
}

// Width is how many cells s takes. Most of what is drawn is ASCII and SGR, for
// which nothing has to be looked up.
func Width(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b >= 0x80:
			return ansi.StringWidth(s)
		case b >= 0x20 && b != 0x7f:
			n++
		case b == 0x1b && i+1 < len(s) && s[i+1] == '[':
			end := strings.IndexByte(s[i:], 'm')
			if end < 0 {
				return ansi.StringWidth(s)
			}
			i += end
		}
	}
	return n
}

// Sides puts left and right at the two ends of a line of w cells; left gives way.
func Sides(left, right string, w int) string {
	room := w - ansi.StringWidth(right)
	if room < 1 {
		return Fit(right, w)
	}
	return Fit(left, room) + right
}

// Box makes text exactly h lines of w cells: longer text is cut, shorter is filled up.
func Box(lines []string, w, h int) string {
	out := make([]string, max(0, h))
	for i := range out {
		if i < len(lines) {
			out[i] = Fit(lines[i], w)
		} else {
			out[i] = strings.Repeat(" ", max(0, w))
		}
	}
	return strings.Join(out, "\n")
}

// Beside puts two boxes of the same height next to each other.
func Beside(left, right, between string) string {
	l, r := strings.Split(left, "\n"), strings.Split(right, "\n")
	for i := range l {
		if i < len(r) {
			l[i] += between + r[i]
		}
	}
	return strings.Join(l, "\n")
}

// Over lays a box over the middle of a background of w by h cells.
func Over(background string, box []string, w, h int) string {
	lines := strings.Split(background, "\n")
	bw := 0
	for _, l := range box {
		bw = max(bw, ansi.StringWidth(l))
	}
	bw = min(bw, w)
	top, left := max(0, (h-len(box))/2), max(0, (w-bw)/2)
	for i, l := range box {
		if top+i >= len(lines) {
			break
		}
		under := lines[top+i]
		lines[top+i] = ansi.Cut(under, 0, left) + "\x1b[0m" + Fit(l, bw) + "\x1b[0m" + ansi.Cut(under, left+bw, w)
	}
	return strings.Join(lines, "\n")
}

// Frame draws a border around lines, with a title in its upper edge.
func Frame(title string, lines []string, w int) []string {
	inner := max(1, w-4)
	out := []string{"╭─ " + Fit(title, min(ansi.StringWidth(title), inner-1)) + " " + strings.Repeat("─", max(0, inner-1-min(ansi.StringWidth(title), inner-1))) + "╮"}
	for _, l := range lines {
		out = append(out, "│ "+Fit(l, inner)+" │")
	}
	return append(out, "╰"+strings.Repeat("─", inner+2)+"╯")
}

// Wrap breaks a plain text into lines of at most w cells, at spaces where there are some.
func Wrap(s string, w int) []string {
	return strings.Split(ansi.Wrap(s, max(1, w), ""), "\n")
}

// tabs are every eight cells.
const tabs = 8

// Expand turns tabs into spaces; colours take no room.
func Expand(s string) string {
	if !strings.Contains(s, "\t") {
		return s
	}
	var b strings.Builder
	at, inSGR := 0, false
	for _, r := range s {
		switch {
		case r == '\t':
			n := tabs - at%tabs
			b.WriteString(strings.Repeat(" ", n))
			at += n
			continue
		case r == 0x1b:
			inSGR = true
		case !inSGR:
			at++
		case r == 'm':
			inSGR = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
