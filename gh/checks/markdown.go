package checks

import (
	"strings"
	"unicode/utf8"

	"ci/pkg/terminal"
)

// Names of tests, messages and console output are a stranger's. In Markdown
// they must not become links, pictures, mentions or headings.

// cut shortens to n bytes, at a character's end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const sign = "…"
	s = s[:max(n-len(sign), 0)]
	for len(s) > 0 {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + sign
}

// special are the characters that mean something in Markdown, in HTML, or make
// an address a link. CommonMark takes a backslash before any ASCII punctuation.
const special = "\\`*_{}[]()<>#+-.!|~:&\"'"

// text is foreign text as one line of text.
func text(s string) string {
	var b strings.Builder
	for _, r := range terminal.Clean(s) {
		switch {
		case r == '@':
			b.WriteString("&#64;") // nobody is called
		case strings.ContainsRune(special, r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// code is foreign text as code within a line.
func code(s string) string {
	s = cut(terminal.Clean(s), 300)
	if strings.TrimSpace(s) == "" {
		return "` `"
	}
	fence := strings.Repeat("`", longest(s)+1)
	if s[0] == '`' || s[len(s)-1] == '`' || s[0] == ' ' {
		s = " " + s + " "
	}
	return fence + s + fence
}

// block is foreign text of several lines as a block of code.
func block(s string) string {
	s = strings.TrimRight(terminal.CleanLines(s), "\n")
	fence := strings.Repeat("`", max(longest(s)+1, 3))
	return fence + "text\n" + s + "\n" + fence + "\n"
}

// longest is the length of the longest run of backticks.
func longest(s string) int {
	most, n := 0, 0
	for _, r := range s {
		if n++; r != '`' {
			n = 0
		}
		most = max(most, n)
	}
	return most
}

// indented puts a block below an item of a list.
func indented(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n"+by) + "\n"
}
