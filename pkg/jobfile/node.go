package jobfile

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// kind is what a value of the document is.
type kind int

const (
	null kind = iota
	boolean
	number
	text
	list
	mapping
	// broken is a value that a fault was already found in; nothing more is said of it.
	broken
)

// place is where a value or key stands: in words, and in the order of the document.
type place struct {
	name  string
	order int
}

// node is one value of the document, whichever language it was written in.
// Nodes that aliases stand for are shared, so a tree is never changed.
type node struct {
	kind  kind
	at    place
	text  string // text; numbers as they were written
	num   float64
	bool  bool
	items []*node
	pairs []pair
	// size counts the node and all below it, depth the mappings and lists
	// inside each other; both with aliases expanded.
	size  int
	depth int
}

// pair is one entry of a mapping.
type pair struct {
	key   string
	at    place // the key's
	value *node
}

// grow counts a child into n.
func (n *node) grow(child *node) {
	n.size += child.size
	n.depth = max(n.depth, child.depth+1)
}

// found says what n is, for "found …; expected …".
func (n *node) found() string {
	switch n.kind {
	case null:
		return "nothing"
	case boolean:
		return strconv.FormatBool(n.bool)
	case number:
		return "the number " + clip(n.text)
	case text:
		return "the text " + quote(n.text)
	case list:
		return "a list"
	}
	return "a mapping"
}

// maxQuoted is how many characters of the file's own text an error repeats.
const maxQuoted = 60

// quote shows the document's text within a sentence: short, and without control characters.
func quote(s string) string { return strconv.Quote(clip(s)) }

// show is the document's text within a sentence, where quotes would not read well.
func show(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return '?'
	}, clip(s))
}

func clip(s string) string {
	if r := []rune(s); len(r) > maxQuoted {
		return string(r[:maxQuoted]) + "…"
	}
	return s
}

// code shows a key of the document within a sentence.
func code(s string) string {
	q := quote(s)
	if inner := q[1 : len(q)-1]; inner == clip(s) && s != "" && !strings.Contains(s, "`") {
		return "`" + inner + "`"
	}
	return q
}

// duplicates finds keys that are there twice, each reported at its second place.
func (c *checker) duplicates(pairs []pair) []pair {
	first := make(map[string]place, len(pairs))
	unique := pairs[:0]
	for _, p := range pairs {
		if at, ok := first[p.key]; ok {
			where := ""
			if at.name != p.at.name {
				where = fmt.Sprintf(" (the first is at %s)", at.name)
			}
			c.fault(p.at, "the key %s is there twice%s; keep one", code(p.key), where)
			continue
		}
		first[p.key] = p.at
		unique = append(unique, p)
	}
	return unique
}
