package jobfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/distribution/reference"
)

const (
	maxPath  = 1024 // bytes of a path
	maxImage = 512  // bytes of an image's reference
)

func (c *checker) environment(_ place, v *node) {
	e := &c.spec.Environment
	b := &builder{c: c}
	image := c.text(&e.Image, "an image's reference as text", checkImage)
	c.object(v, slices.Concat([]key{
		{"image", func(at place, v *node) {
			b.image = &at
			image(at, v)
		}},
	}, b.keys(), []key{
		{"workdir", c.text(&e.Workdir, "an absolute path as text", checkWorkdir)},
		{"user", c.text(&e.User, "a user as text", checkUser)},
		{"shell", c.text(&e.Shell, "the path of a shell as text", checkShell)},
	})...)
	b.finish(e)
}

func checkImage(s string) string {
	if s == "" {
		return "the image is empty; leave the key out for the built-in toolbox image"
	}
	if len(s) > maxImage {
		return "the image's reference is longer than 512 bytes"
	}
	if _, err := reference.ParseNormalizedNamed(s); err != nil {
		return quote(s) + " is not an image's reference; expected [host[:port]/]name[:tag][@digest] in lower case, for example golang:1.26"
	}
	return ""
}

var reservedDirs = regexp.MustCompile(`^/(proc|sys|dev|\.ci)(/|$)`)

func checkWorkdir(s string) string {
	switch {
	case !strings.HasPrefix(s, "/"):
		return quote(s) + " is not an absolute path; the default is /workspace"
	case s == "/":
		return "the working directory can't be /; the checkout would hide the image; the default is /workspace"
	case reservedDirs.MatchString(s):
		return quote(s) + " belongs to the system; choose a folder of your own, the default is /workspace"
	}
	return checkCleanPath(s)
}

// checkCleanPath wants an absolute path that has one reading only.
func checkCleanPath(s string) string {
	switch {
	case len(s) > maxPath:
		return "the path is longer than 1024 bytes"
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == ':' || r == '\\' }):
		return quote(s) + " must not hold control characters, colons or backslashes"
	case !strings.HasPrefix(s, "/"):
		return quote(s) + " is not an absolute path"
	case path.Clean(s) != s:
		return quote(s) + " is not a clean path; write " + quote(path.Clean(s))
	}
	return ""
}

func checkShell(s string) string {
	if s == "" {
		return ""
	}
	if s == "/" {
		return "\"/\" is a folder; expected the path of a shell in the image, for example /bin/bash"
	}
	return checkCleanPath(s)
}

var user = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,10})(:([A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,10}))?$`)

func checkUser(s string) string {
	if s == "" || user.MatchString(s) {
		return ""
	}
	return quote(s) + ` is not a user; expected a name or number, and a group after a colon if need be, for example "1000:1000"`
}
