package jobfile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// maxEnvFile is how many variables one file of variables may hold.
const maxEnvFile = 1000

// envFile reads a file of variables as Compose does (docs.docker.com/reference/compose-file/services/#env_file-format):
// NAME=value lines with comments, quotes and variables. Values see those
// before them in vars, where it adds its own, and what outer returns. With an
// error comes the line that it is about.
//
// compose-go's dotenv package does the same on top of its template package, with its bounds.
func envFile(data string, vars map[string]string, outer lookup) (line int, err error) {
	r := &envReader{vars: vars}
	r.expander = newExpander(func(name string) (string, bool) {
		if v, ok := outer(name); ok {
			return v, true
		}
		v, ok := vars[name]
		return v, ok
	})
	r.rest = strings.ReplaceAll(strings.TrimPrefix(data, "\xef\xbb\xbf"), "\r\n", "\n")
	for r.line = 1; r.next(); {
		if err := r.entry(); err != nil {
			return r.line, err
		}
		if len(vars) > maxEnvFile {
			return r.line, fmt.Errorf("there are more than %d variables", maxEnvFile)
		}
	}
	return 0, nil
}

type envReader struct {
	rest     string
	line     int
	vars     map[string]string
	expander *expander
}

// next goes to the next entry and says whether there is one.
func (r *envReader) next() bool {
	for {
		entry := strings.TrimLeftFunc(r.rest, unicode.IsSpace)
		r.skip(len(r.rest) - len(entry))
		if !strings.HasPrefix(entry, "#") {
			return entry != ""
		}
		r.skip(len(entry) - len(after(entry, "\n")))
	}
}

// skip goes n bytes on.
func (r *envReader) skip(n int) {
	r.line += strings.Count(r.rest[:n], "\n")
	r.rest = r.rest[n:]
}

// after is what follows the first sep; "" if there is none.
func after(s, sep string) string {
	_, rest, _ := strings.Cut(s, sep)
	return rest
}

var envEntry = regexp.MustCompile(`^(?:export[ \t]+)?([A-Za-z0-9_.\-\[\]]+)[ \t]*(=|:|\n|$)[ \t]*`)

func (r *envReader) entry() error {
	m := envEntry.FindStringSubmatch(r.rest)
	if m == nil {
		line, _, _ := strings.Cut(r.rest, "\n")
		return fmt.Errorf("found %s; expected NAME=value", quote(line))
	}
	name := m[1]
	r.rest = r.rest[len(m[0]):]
	if m[2] != "=" && m[2] != ":" { // a name alone takes its value from outside
		if v, ok := r.expander.values(name); ok {
			r.vars[name] = v
		}
		r.line += strings.Count(m[0], "\n")
		return nil
	}
	value, err := r.value()
	if err != nil {
		return err
	}
	r.vars[name] = value
	return nil
}

func (r *envReader) value() (string, error) {
	if r.rest != "" && (r.rest[0] == '"' || r.rest[0] == '\'') {
		return r.quoted(r.rest[0])
	}
	line, _, _ := strings.Cut(r.rest, "\n")
	r.rest = r.rest[len(line):]
	line, _, _ = strings.Cut(line, " #")
	return r.expand(strings.TrimRightFunc(line, unicode.IsSpace))
}

func (r *envReader) quoted(mark byte) (string, error) {
	var b strings.Builder
	for i := 1; i < len(r.rest); i++ {
		switch c := r.rest[i]; {
		case c == '\\' && i+1 < len(r.rest):
			i++
			if r.rest[i] != mark {
				b.WriteByte('\\')
			}
			b.WriteByte(r.rest[i])
		case c == mark:
			r.skip(i + 1)
			if mark == '\'' {
				return b.String(), nil
			}
			return r.expand(unescape(b.String()))
		default:
			b.WriteByte(c)
		}
	}
	line, _, _ := strings.Cut(r.rest, "\n")
	return "", fmt.Errorf("the quote of %s is not closed", quote(line))
}

// expand replaces variables; one without a value is empty, as in a shell.
func (r *envReader) expand(s string) (string, error) {
	out, _, problem := r.expander.expand(s)
	if problem != "" {
		return "", fmt.Errorf("%s", problem)
	}
	return out, nil
}

var envEscape = regexp.MustCompile(`\\(?:[abcfnrtv$"\\]|0\d{0,3})`)

// unescape carries out what a backslash in double quotes means.
func unescape(s string) string {
	return envEscape.ReplaceAllStringFunc(s, func(m string) string {
		if m == `\$` {
			return "$$"
		}
		if strings.HasPrefix(m, `\0`) {
			m = `\` + m[2:]
		}
		c, _, _, err := strconv.UnquoteChar(m, '"')
		if err != nil {
			return m
		}
		return string(c)
	})
}
