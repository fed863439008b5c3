package jobfile

import (
	"fmt"
	"strings"
)

// Bounds of what variables may make of one file. Values refer to values, so
// without them thirty lines could double themselves into gigabytes.
const (
	maxExpanded   = 1 << 20 // bytes that all variables together stand for
	maxNestedVars = 8       // ${A:-${B:-${C}}}
)

// lookup returns a variable's value.
type lookup func(name string) (value string, ok bool)

// expander replaces variables by their values, with Compose's grammar: $NAME,
// ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?message}, ${NAME?message},
// ${NAME:+other}, ${NAME+other}, and $$ for a dollar sign.
//
// compose-go's template package does the same. It is not used because its
// time grows with the square of a text, its output without bound, and because
// it logs what is missing instead of saying it.
type expander struct {
	values lookup
	left   int // bytes that may still come out of variables
	// missing are the variables that had no value where one was needed.
	missing []string
	problem string // the first; "" if there is none
}

func newExpander(values lookup) *expander {
	return &expander{values: values, left: maxExpanded}
}

// expand returns s with its variables replaced, the names of those that have
// no value, and what is wrong with s.
func (e *expander) expand(s string) (out string, missing []string, problem string) {
	e.missing, e.problem = nil, ""
	out = e.text(s, 0)
	return out, e.missing, e.problem
}

func (e *expander) text(s string, depth int) string {
	var b strings.Builder
	for e.problem == "" {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			break
		}
		n := nameLen(rest)
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{"):
			end := closingBrace(rest)
			if end < 0 {
				e.problem = quote("$"+rest) + " is not closed; write $$ for a dollar sign"
				return ""
			}
			b.WriteString(e.braced(rest[1:end], depth))
			s = rest[end+1:]
		case n > 0:
			value, ok := e.value(rest[:n])
			if !ok {
				e.missing = append(e.missing, rest[:n])
			}
			b.WriteString(value)
			s = rest[n:]
		default:
			b.WriteByte('$')
			s = rest
		}
	}
	return b.String()
}

// braced is what stands between ${ and }.
func (e *expander) braced(s string, depth int) string {
	n := nameLen(s)
	name, operator, word := s[:n], "", s[n:]
	if strings.HasPrefix(word, ":") && len(word) > 1 {
		operator, word = word[:2], word[2:]
	} else if word != "" {
		operator, word = word[:1], word[1:]
	}
	if n == 0 || depth >= maxNestedVars || operator != "" && !strings.ContainsAny(operator[len(operator)-1:], "-?+") {
		e.problem = quote("${"+s+"}") + " is not a variable; write ${NAME}, ${NAME:-default}, or $$ for a dollar sign"
		return ""
	}
	value, ok := e.value(name)
	if strings.HasPrefix(operator, ":") && value == "" {
		ok = false
	}
	switch strings.TrimPrefix(operator, ":") {
	case "-":
		if !ok {
			return e.text(word, depth+1)
		}
	case "+":
		if ok {
			return e.text(word, depth+1)
		}
		return ""
	case "?":
		if !ok {
			e.problem = fmt.Sprintf("the variable %s has no value, and the file demands one: %s", show(name), quote(word))
		}
	default:
		if !ok {
			e.missing = append(e.missing, name)
		}
	}
	return value
}

func (e *expander) value(name string) (string, bool) {
	value, ok := e.values(name)
	if e.left -= len(value); e.left < 0 {
		e.problem = fmt.Sprintf("the variables up to here stand for more than %d bytes", maxExpanded)
		return "", ok
	}
	return value, ok
}

// nameLen is the length of the variable's name that s begins with.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

// closingBrace finds the brace that closes the one that s begins with; -1 if none does.
func closingBrace(s string) int {
	open := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return -1
}
