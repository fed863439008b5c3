package jobfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/bmatcuk/doublestar/v4"

	"ci/pkg/ci"
)

func (c *checker) results(at place, v *node) {
	if v.kind != mapping {
		c.wrong(v, "a mapping from names to paths, for example { report: out/report.txt }")
		return
	}
	if len(v.pairs) > MaxResults {
		c.fault(at, "has %d results; at most %d are allowed", len(v.pairs), MaxResults)
		return
	}
	for _, p := range v.pairs {
		c.resultName(p)
		c.result(p)
	}
	slices.SortFunc(c.spec.Results, func(a, b ci.ResultSpec) int { return strings.Compare(a.Name, b.Name) })
}

func (c *checker) resultName(p pair) {
	if p.key == ci.ConsoleResult || p.key == ci.ServiceLogs {
		c.fault(p.at, "a result can't be called %s: the run's own output is served under that name", p.key)
	} else if ci.ValidateName(p.key) != nil {
		c.fault(p.at, "%s is not a result's name; expected at most %d letters, digits, '.', '_' and '-', the first a letter or digit", quote(p.key), ci.MaxNameLen)
	}
}

// result reads one result: a path alone, or a mapping.
func (c *checker) result(p pair) {
	r := ci.ResultSpec{Name: p.key}
	readPath := c.text(&r.Path, "a path or glob as text", checkGlob)
	switch p.value.kind {
	case text:
		readPath(p.at, p.value)
	case mapping:
		there := slices.ContainsFunc(p.value.pairs, func(k pair) bool { return k.key == "path" })
		c.object(p.value,
			key{"path", readPath},
			key{"type", c.text(&r.Type, "a media type as text", checkType)},
		)
		if !there {
			c.fault(p.at, "result %s has no `path`; it says which files are saved", code(p.key))
		}
	default:
		c.wrong(p.value, "a path, or a mapping with the keys path, type")
	}
	r.Path = path.Clean(r.Path)
	c.spec.Results = append(c.spec.Results, r)
}

// checkGlob says what is wrong with a path or glob. What it accepts,
// path.Clean may normalise: there is no ".." in it.
func checkGlob(s string) string {
	switch {
	case s == "":
		return "the path is empty; name the file or files to save, for example reports/**/*.xml"
	case len(s) > maxPath:
		return "the path is longer than 1024 bytes"
	case strings.ContainsFunc(s, unicode.IsControl):
		return quote(s) + " holds control characters"
	case strings.HasPrefix(s, "/"):
		return quote(s) + " is absolute; results are relative to the working directory"
	case slices.Contains(strings.Split(s, "/"), ".."):
		return quote(s) + " leaves the working directory; '..' is not allowed"
	case path.Clean(s) == ".":
		return quote(s) + " is the working directory itself; write ** for all files in it"
	case !doublestar.ValidatePattern(s):
		return quote(s) + " is not a glob; a [ or { is not closed, or a backslash stands at the end"
	}
	return ""
}

// mediaType is RFC 6838's restricted names with RFC 9110's parameters.
var mediaType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}( ?; ?[A-Za-z0-9_.+-]{1,64}=([A-Za-z0-9_.+-]{1,64}|"[A-Za-z0-9_.+ :/-]{0,64}"))*$`)

func checkType(s string) string {
	if len(s) > 255 || !mediaType.MatchString(s) {
		return quote(s) + " is not a media type; expected type/subtype, for example text/plain or application/zip"
	}
	return ""
}
