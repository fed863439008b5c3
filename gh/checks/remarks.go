package checks

import (
	"bytes"
	"fmt"
	gopath "path"
	"regexp"
	"strconv"
	"strings"

	"ci/pkg/ci"
	"ci/pkg/junit"
	"ci/pkg/terminal"
)

// GitHub's limits of an annotation are 64 KiB for texts and 255 characters for the title.
const (
	maxTitle   = 250
	maxMessage = 4 << 10
	maxDetails = 16 << 10
)

// remarks are what can be shown at lines: failed tests first, then what
// compilers and linters have printed. A run that succeeded has warnings alone.
func remarks(run *ci.Run, tests *junit.Report, lines []string) []annotation {
	root := ci.DefaultWorkdir
	if run.Spec != nil && run.Spec.Environment.Workdir != "" {
		root = run.Spec.Environment.Workdir
	}
	var all []annotation
	seen := map[string]bool{}
	add := func(a annotation, ok bool) {
		key := fmt.Sprintf("%s:%d %s", a.path, a.line, a.message)
		if ok && !seen[key] && len(all) < maxAnnotations {
			seen[key] = true
			all = append(all, a)
		}
	}
	for _, t := range tests.Unsuccessful() {
		add(testRemark(t, root))
	}
	for _, a := range problems(lines, root) {
		add(a, a.level == "warning" || run.Outcome == ci.OutcomeFailed)
	}
	return all
}

// testRemark is a failed test at its line, if its report says which that is.
func testRemark(t junit.Case, root string) (annotation, bool) {
	path, ok := within(t.File, root)
	message := strings.TrimSpace(t.Message)
	if message == "" {
		message = testName(t) + " failed"
	}
	return annotation{
		path: path, line: max(t.Line, 1), level: "failure", title: cut(terminal.Clean(testName(t)), maxTitle),
		message: cut(terminal.CleanLines(message), maxMessage), details: cut(terminal.CleanLines(t.Details), maxDetails),
	}, ok
}

// within makes a path relative to the checkout; false for one outside.
func within(path, root string) (string, bool) {
	path = strings.ReplaceAll(path, `\`, "/")
	if strings.HasPrefix(path, "/") {
		rest, inside := strings.CutPrefix(gopath.Clean(path), strings.TrimRight(root, "/")+"/")
		if !inside {
			return "", false
		}
		path = rest
	}
	path = gopath.Clean(path)
	bad := path == "." || path == ".." || strings.HasPrefix(path, "../") || len(path) > 1000 || terminal.Clean(path) != path
	return path, !bad
}

var (
	// a.go:12:5: message, as most compilers and linters print. The extension
	// keeps hosts with ports and times of day out.
	colons = regexp.MustCompile(`^\s*([\w@.+/\\-]+\.(` + extensions + `)):(\d{1,7})(?::(\d{1,5}))?(?:-\d+)?[:,]? +(\S.*)$`)
	// a.ts(12,5): error TS2322: message, as TypeScript and MSBuild do.
	brackets = regexp.MustCompile(`^\s*([\w@.+/\\-]+\.(` + extensions + `))\((\d{1,7})(?:,(\d{1,5}))?\): +(\S.*)$`)
	// "--> src/main.rs:3:5" below "error[E0425]: message", as Rust does.
	arrow   = regexp.MustCompile(`^\s*--> ([\w@.+/\\-]+\.(` + extensions + `)):(\d{1,7}):(\d{1,5})$`)
	heading = regexp.MustCompile(`^(error|warning)(?:\[\w+\])?: (.+)$`)
	warning = regexp.MustCompile(`(?i)^\[?(warning|warn|note|info|style)\b`)
)

// extensions are those of files that people write.
const extensions = "go|c|cc|cpp|cxx|h|hh|hpp|m|mm|rs|py|pyi|js|mjs|cjs|jsx|ts|mts|cts|tsx|vue|svelte|rb|erb|java|kt|kts|scala|groovy|gradle|cs|fs|vb|swift|" +
	"php|pl|pm|sh|bash|zsh|lua|ex|exs|erl|hs|ml|mli|clj|dart|zig|nim|jl|sql|proto|css|scss|less|html|md|rst|tex|yaml|yml|json|toml|xml|tf|cmake|mk|bzl|nix|sol|templ|csproj"

// problems finds lines of console output that name a place in a file.
func problems(lines []string, root string) []annotation {
	var list []annotation
	last := "" // the last heading
	for _, line := range lines {
		if len(line) > 2000 {
			continue // no compiler's
		}
		if heading.MatchString(line) {
			last = line
		}
		if m := arrow.FindStringSubmatch(line); m != nil && last != "" {
			list = place(list, m, last, root)
			last = ""
			continue
		}
		m := colons.FindStringSubmatch(line)
		if m == nil {
			m = brackets.FindStringSubmatch(line)
		}
		if m != nil {
			list = place(list, m[:5], m[5], root)
		}
	}
	return list
}

// place appends what a match says: path, its extension, line, column.
func place(list []annotation, m []string, message, root string) []annotation {
	path, ok := within(m[1], root)
	line, _ := strconv.Atoi(m[3])
	column, _ := strconv.Atoi(m[4]) // "" is none
	if !ok || line == 0 {
		return list
	}
	level := "failure"
	if warning.MatchString(strings.TrimSpace(message)) {
		level = "warning"
	}
	return append(list, annotation{path: path, line: line, column: column, level: level, message: cut(terminal.Clean(message), maxMessage)})
}

// consoleLines are the lines of the end of a console without colours, as a
// terminal would show them in the end: of a line that was written over, the last.
// torn says that the first is not whole.
func consoleLines(tail []byte, torn bool) []string {
	var b bytes.Buffer
	f := terminal.NewFilter(&b, false)
	_, _ = f.Write(tail) // a buffer never fails
	_ = f.Close()
	lines := strings.Split(strings.TrimRight(b.String(), "\r\n"), "\n")
	if torn && len(lines) > 1 {
		lines = lines[1:]
	}
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		lines[i] = line[strings.LastIndexByte(line, '\r')+1:]
	}
	if len(lines) == 1 && lines[0] == "" {
		return nil
	}
	return lines
}
