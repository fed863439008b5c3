package jobfile

import (
	"path"
	"strings"

	"ci/pkg/ci"
)

// Bounds of a build.
const (
	maxArgs   = 128
	maxArg    = 32 << 10 // bytes of a build argument
	maxTarget = 128
)

// builder reads the keys of environment that say how its image is built.
type builder struct {
	c     *checker
	build ci.Build
	// dockerfile says that the key is there, image where that key is, first where the first other key is.
	dockerfile bool
	image      *place
	first      *pair
}

func (b *builder) keys() []key {
	return []key{
		{"dockerfile", func(at place, v *node) {
			b.dockerfile = true
			b.note("dockerfile", at)
			b.c.text(&b.build.Dockerfile, "the path of a Dockerfile in the repository", checkDockerfile)(at, v)
		}},
		{"context", func(at place, v *node) {
			b.note("context", at)
			b.c.text(&b.build.Context, "a folder of the repository", checkContext)(at, v)
		}},
		{"target", func(at place, v *node) {
			b.note("target", at)
			b.c.text(&b.build.Target, "a build stage as text", checkTarget)(at, v)
		}},
		{"args", func(at place, v *node) {
			b.note("args", at)
			b.args(at, v)
		}},
	}
}

func (b *builder) note(name string, at place) {
	if b.first == nil {
		b.first = &pair{key: name, at: at}
	}
}

func (b *builder) args(at place, v *node) {
	if v.kind != mapping {
		b.c.wrong(v, `a mapping from names to texts, for example { GO_VERSION: "1.26" }`)
		return
	}
	if len(v.pairs) > maxArgs {
		b.c.fault(at, "has %d build arguments; at most %d are allowed", len(v.pairs), maxArgs)
		return
	}
	for _, p := range v.pairs {
		var value string
		if !envName.MatchString(p.key) {
			b.c.fault(p.at, "%s is not a build argument's name; it must match [A-Za-z_][A-Za-z0-9_]*", quote(p.key))
			continue
		}
		b.c.text(&value, "the value of a build argument as text", checkArg)(p.at, p.value)
		if b.build.Args == nil {
			b.build.Args = map[string]string{}
		}
		b.build.Args[p.key] = value
	}
}

// finish gives the environment its build, if there is one.
func (b *builder) finish(e *ci.Environment) {
	switch {
	case b.first == nil:
	case !b.c.git:
		b.c.fault(b.first.at, "a freestyle job has no repository, so there is nothing to build an image from; name a ready one in `environment.image`")
	case !b.dockerfile:
		b.c.fault(b.first.at, "`%s` belongs to a build, but there is no `dockerfile`; name one, or remove the key", b.first.key)
	case b.image != nil:
		b.c.fault(*b.image, "`image` and `dockerfile` exclude each other; keep one")
	default:
		b.build.Dockerfile = path.Clean(b.build.Dockerfile)
		b.build.Context = path.Clean(b.build.Context) // "" is the root, "."
		e.Build = &b.build
	}
}

func checkDockerfile(s string) string {
	if s == "" {
		return "the path is empty; name a Dockerfile, or leave the key out"
	}
	return checkInRepository(s)
}

func checkContext(s string) string {
	switch s {
	case "":
		return "the path is empty; leave the key out for the repository's root"
	case ".", "./":
		return ""
	}
	return checkInRepository(s)
}

// checkInRepository wants a path from the root; it may begin with ./ and end with /.
func checkInRepository(s string) string {
	if why := ci.CheckRepoPath(strings.TrimSuffix(strings.TrimPrefix(s, "./"), "/")); why != "" {
		return quote(s) + " " + why
	}
	return ""
}

func checkTarget(s string) string {
	if s == "" || len(s) > maxTarget || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return quote(s) + " is not a build stage; expected its name in the Dockerfile"
	}
	return ""
}

func checkArg(s string) string {
	if len(s) > maxArg || strings.ContainsRune(s, 0) {
		return "a build argument has at most 32768 bytes, and no NUL"
	}
	return ""
}
