package build

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Bounds of a Dockerfile. Variables made of variables grow without end (twenty
// lines of ENV B=$A$A$A$A make a terabyte), each step carries all of them, and
// the library that reads a Dockerfile can't be interrupted. So what a file
// could become at most is reckoned before.
const (
	maxSteps    = 1000
	maxExpanded = 1 << 20  // bytes of all instructions, variables filled in
	maxCarried  = 64 << 20 // the same, for each RUN step
	// foreign is how long a variable of a base image is taken to be, and
	// maxBaseEnv what all of one image's may have.
	foreign    = 1 << 8
	maxBaseEnv = 8 << 10
)

// replaced is ${NAME/pattern/text}, which may put a text in the place of every
// character of a value; simple is one in which no other variable is.
var (
	replaced = regexp.MustCompile(`\$\{\w+/`)
	simple   = regexp.MustCompile(`\$\{([A-Za-z_]\w*)/[^${}]*\}`)
	word     = regexp.MustCompile(`^[\p{L}\p{N}_]+`)
)

// bounded refuses a Dockerfile that would take too much memory to be read.
func (f Dockerfile) bounded() error {
	file, err := parser.Parse(bytes.NewReader(f.Text))
	if err != nil {
		return nil //nolint:nilerr // the library says it better, with the line
	}
	steps := file.AST.Children
	if len(steps) > maxSteps {
		return fmt.Errorf("it has %d instructions, and %d are allowed", len(steps), maxSteps)
	}
	vars := sizes{longest: map[string]int{}, own: map[string]bool{}}
	for name, value := range f.Args {
		vars.longest[name] = len(value)
	}
	total, runs := 0, 1
	for _, step := range steps {
		size := 0
		for _, text := range expanded(step) {
			size += vars.bound(text)
		}
		vars.define(step)
		if total += size; total > maxExpanded {
			return fmt.Errorf("its variables become too long by line %d: all of its instructions may have %d bytes once variables are filled in", step.StartLine, maxExpanded)
		}
		if is(step, command.Run) {
			runs++
		}
	}
	if total*runs > maxCarried {
		return fmt.Errorf("its variables are too long for %d RUN steps, each of which carries all of them; make them shorter, or the steps fewer", runs-1)
	}
	return nil
}

// expanded are the texts of a step in which variables are filled in.
func expanded(step *parser.Node) []string {
	switch strings.ToLower(step.Value) {
	case command.Run, command.Cmd, command.Entrypoint, command.Healthcheck, command.Shell:
		return step.Flags // the rest is for the shell
	}
	texts := []string{step.Original}
	for _, h := range step.Heredocs {
		texts = append(texts, h.Content)
	}
	return texts
}

func is(step *parser.Node, name string) bool { return strings.EqualFold(step.Value, name) }

// sizes are those of variables.
type sizes struct {
	// longest is what a variable has at most in any stage.
	longest map[string]int
	// own are those that this stage has set by ENV, so that none of its base
	// image's is meant.
	own map[string]bool
	// nameless is the longest whose name is made of variables, and may be any.
	nameless int
}

// define notes what a step sets.
func (s *sizes) define(step *parser.Node) {
	if is(step, command.From) {
		s.own = map[string]bool{}
	}
	switch {
	case is(step, command.Env): // name, value and what was between them
		for n := step.Next; n != nil && n.Next != nil; n = n.Next.Next.Next {
			s.set(n.Value, n.Next.Value)
			s.own[n.Value] = true
			if n.Next.Next == nil {
				return
			}
		}
	case is(step, command.Arg): // name=value, or name
		for n := step.Next; n != nil; n = n.Next {
			name, value, _ := strings.Cut(n.Value, "=")
			s.set(name, value)
		}
	}
}

func (s *sizes) set(name, value string) {
	name = strings.Trim(name, `"'`)
	size := s.bound(value)
	if strings.ContainsAny(name, "$\\`\"'") {
		s.nameless = max(s.nameless, size)
	}
	s.longest[name] = max(s.longest[name], size)
}

// bound is how long a text can be at most once variables are filled in.
func (s *sizes) bound(text string) int {
	size := len(text)
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "$")
		if !found {
			break
		}
		size, rest = size+s.named(strings.TrimPrefix(after, "{")), after
		if size > maxExpanded {
			return size
		}
	}
	for _, m := range simple.FindAllStringSubmatch(text, -1) {
		size += (s.named(m[1]) + 1) * len(m[0])
	}
	if replaced.MatchString(simple.ReplaceAllLiteralString(text, "")) {
		size *= size
	}
	return size
}

// named is how long the variable that text begins with can be. When in doubt,
// that is any whose name it begins with.
func (s *sizes) named(text string) int {
	if name := word.FindString(text); s.own[name] {
		return max(s.longest[name], s.nameless)
	}
	size := max(foreign, s.nameless)
	for name, n := range s.longest {
		if n > size && name != "" && strings.HasPrefix(text, name) {
			size = n
		}
	}
	return size
}
