package ci

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// checkText refuses what a database, an environment or a terminal can't hold.
func checkText(f *faults, path, s string, limit int) {
	switch {
	case len(s) > limit:
		f.add(path, "has %d bytes; at most %d are allowed", len(s), limit)
	case !utf8.ValidString(s):
		f.add(path, "is not valid UTF-8")
	case strings.ContainsRune(s, 0):
		f.add(path, "holds a NUL character")
	}
}

// clean says whether s is UTF-8 without control characters.
func clean(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) })
}

func path(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
