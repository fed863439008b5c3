// Package house holds the rules of the house that a compiler does not know:
// who may import whom, how large a file may grow, which names say nothing.
//
// The allowed arrows are the tables of docs/architecture.md. This test reads
// them, so that the picture people look at is the one that is enforced.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module       = "ci"
	architecture = "docs/architecture.md"
	// The tables are found by the first two cells of their head.
	roomsHead   = "| room | may import |"
	testsHead   = "| tests of | may also import |"
	fencesHead  = "| library | seen by |"
	maxLines    = 400
	allowedStar = "everything"
)

// longFiles may have more than maxLines, each for a reason.
var longFiles = map[string]string{}

// silentNames say nothing about what a folder holds.
var silentNames = []string{"util", "utils", "common", "model", "models", "types", "helper", "helpers", "misc", "shared", "lib"}

// source is one parsed Go file.
type source struct {
	path      string // slash-separated, relative to the root
	room      string // its folder
	test      bool
	generated bool
	lines     int
	file      *ast.File
}

// house is the whole module, and what its architecture allows.
type house struct {
	fset    *token.FileSet
	sources []source
	rooms   map[string][]string // room → what it may import
	tests   map[string][]string // room → what its tests may import too
	fences  map[string][]string // library → rooms that see it
}

func load(t *testing.T) *house {
	t.Helper()
	h := &house{fset: token.NewFileSet()}
	doc, err := os.ReadFile(architecture)
	require.NoError(t, err)
	h.rooms = table(t, string(doc), roomsHead)
	h.tests = table(t, string(doc), testsHead)
	h.fences = table(t, string(doc), fencesHead)
	require.NoError(t, filepath.WalkDir(".", h.visit))
	require.NotEmpty(t, h.sources)
	return h
}

// visit parses each Go file of the module, and leaves out folders that the go
// command leaves out too: hidden ones, testdata, and modules of their own.
func (h *house) visit(path string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if d.IsDir() {
		_, mod := os.Stat(filepath.Join(path, "go.mod"))
		if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || mod == nil) {
			return fs.SkipDir
		}
		return nil
	}
	if filepath.Ext(path) != ".go" || path == "house_test.go" {
		return nil
	}
	return h.parse(filepath.ToSlash(path), nil)
}

// parse takes a file in; text nil reads it.
func (h *house) parse(slash string, text any) error {
	f, err := parser.ParseFile(h.fset, slash, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	h.sources = append(h.sources, source{
		path:      slash,
		room:      slash[:max(strings.LastIndex(slash, "/"), 0)],
		test:      strings.HasSuffix(slash, "_test.go"),
		generated: ast.IsGenerated(f),
		lines:     h.fset.File(f.Pos()).LineCount(),
		file:      f,
	})
	return nil
}

// table reads a markdown table whose first cells are a name and a
// comma-separated list of names, all in backticks.
func table(t *testing.T, doc, head string) map[string][]string {
	t.Helper()
	_, body, ok := strings.Cut(doc, "\n"+head)
	require.True(t, ok, "%s has no table that begins with %q", architecture, head)
	rows := map[string][]string{}
	for i, line := range strings.Split(body, "\n") {
		if i < 2 { // the rest of the head, and the line below it
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(line, "|")
		require.GreaterOrEqual(t, len(cells), 4, "%s: %q is not a row", architecture, line)
		names := quoted(cells[1])
		require.NotEmpty(t, names, "%s: the first cell of %q names nothing in backticks", architecture, line)
		for _, name := range names {
			require.NotContains(t, rows, name, "%s: %s has two rows", architecture, name)
			rows[name] = quoted(cells[2])
		}
	}
	return rows
}

// quoted returns what stands in backticks in a cell.
func quoted(cell string) []string {
	var names []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			names = append(names, part)
		}
	}
	return names
}

// within says whether path is one of the trees.
func within(path string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool {
		return path == tree || strings.HasPrefix(path, tree+"/")
	})
}

// report fails with all that is wrong, a line each.
func report(t *testing.T, faults []string) {
	t.Helper()
	slices.Sort(faults)
	if len(faults) > 0 {
		t.Errorf("%d rules are broken:\n  %s", len(faults), strings.Join(faults, "\n  "))
	}
}

// imports calls fn for each import of a source, with the place of its line.
func (h *house) imports(s source, fn func(at, path string)) {
	for _, spec := range s.file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		fn(fmt.Sprintf("%s:%d", s.path, h.fset.Position(spec.Pos()).Line), path)
	}
}

func TestArrows(t *testing.T) {
	t.Parallel()
	report(t, load(t).arrows())
}

func (h *house) arrows() []string {
	var faults []string
	for _, s := range h.sources {
		h.imports(s, func(at, path string) {
			room, ours := strings.CutPrefix(path, module+"/")
			if !ours || room == s.room {
				return
			}
			allowed, where := h.rooms[s.room], fmt.Sprintf("row `%s` of the rooms", s.room)
			if s.test {
				allowed = slices.Concat(allowed, h.tests[s.room])
				where = fmt.Sprintf("row `%s` of the tests", s.room)
			}
			if !slices.Contains(allowed, room) && !slices.Contains(allowed, allowedStar) {
				faults = append(faults, fmt.Sprintf("%s: %s imports %s; if it should, %s in %s has to allow it",
					at, s.room, room, where, architecture))
			}
		})
	}
	return faults
}

// TestRoomsExist compares the table with the tree in both directions.
func TestRoomsExist(t *testing.T) {
	t.Parallel()
	h := load(t)
	var faults []string
	there := map[string]bool{}
	for _, s := range h.sources {
		if s.room != "" && !there[s.room] {
			there[s.room] = true
			if _, ok := h.rooms[s.room]; !ok {
				faults = append(faults, fmt.Sprintf("%s: room %s has no row in %s", s.path, s.room, architecture))
			}
		}
	}
	for room, allowed := range h.rooms {
		if !there[room] {
			faults = append(faults, fmt.Sprintf("%s: there is a row for `%s`, but no Go file in it", architecture, room))
		}
		faults = append(faults, h.unknown(room, allowed)...)
	}
	for room, allowed := range h.tests {
		if !there[room] {
			faults = append(faults, fmt.Sprintf("%s: there is a row for tests of `%s`, but no Go file in it", architecture, room))
		}
		faults = append(faults, h.unknown(room, allowed)...)
	}
	for lib, rooms := range h.fences {
		faults = append(faults, h.unknown(lib, rooms)...)
	}
	report(t, faults)
}

// unknown finds cells that name a room that has no row.
func (h *house) unknown(row string, names []string) []string {
	var faults []string
	for _, name := range names {
		if _, ok := h.rooms[name]; !ok && name != allowedStar {
			faults = append(faults, fmt.Sprintf("%s: row `%s` names `%s`, which has no row of its own", architecture, row, name))
		}
	}
	return faults
}

// TestLaws holds what not even the table may allow.
func TestLaws(t *testing.T) {
	t.Parallel()
	report(t, load(t).laws())
}

func (h *house) laws() []string {
	houses := []string{"backend", "agentd", "gh", "tui"}
	var faults []string
	for _, s := range h.sources {
		h.imports(s, func(at, path string) {
			room, ours := strings.CutPrefix(path, module+"/")
			law := ""
			switch {
			case within(s.room, "pkg/ci") && !s.test && (ours || strings.Contains(strings.Split(path, "/")[0], ".")):
				law = "the words import the standard library alone"
			case !ours:
			case within(room, "pkg/api/gen") && !within(s.room, "pkg/api", "backend/rpc", "backend/rest"):
				law = "generated code is seen by pkg/api, backend/rpc and backend/rest alone"
			case within(room, "cmd", "e2e", "tools") && !within(s.room, "cmd", "e2e", "tools"):
				law = "nothing imports a door"
			case within(s.room, "pkg") && within(room, houses...):
				law = "words know no house"
			case within(s.room, "backend/pipeline") && !s.test && within(room, "backend") && !within(room, "backend/pipeline"):
				law = "a layer on the API knows the API alone"
			case within(s.room, "cmd/terraform-provider-ci") && !s.test && within(room, houses...):
				law = "a layer on the API knows the API alone"
			}
			for _, house := range houses {
				if ours && within(s.room, house) && within(room, houses...) && !within(room, house) {
					law = "houses never import each other"
				}
			}
			if law != "" {
				faults = append(faults, fmt.Sprintf("%s: %s imports %s, but %s", at, s.room, path, law))
			}
		})
	}
	return faults
}

// TestFences keeps each large library behind the border that it serves, so
// that it can be changed for another.
func TestFences(t *testing.T) {
	t.Parallel()
	report(t, load(t).fenced())
}

func (h *house) fenced() []string {
	var faults []string
	for _, s := range h.sources {
		if s.test {
			continue
		}
		h.imports(s, func(at, path string) {
			for lib, rooms := range h.fences {
				if within(path, lib) && !slices.Contains(rooms, s.room) {
					faults = append(faults, fmt.Sprintf("%s: %s imports %s; if it should, row `%s` of the fences in %s has to allow it",
						at, s.room, path, lib, architecture))
				}
			}
		})
	}
	return faults
}

func TestNamesAndSizes(t *testing.T) {
	t.Parallel()
	h := load(t)
	var faults []string
	long := map[string]bool{}
	for _, s := range h.sources {
		for _, part := range strings.Split(s.room, "/") {
			if slices.Contains(silentNames, part) {
				faults = append(faults, fmt.Sprintf("%s: the name %q says nothing; name the room after a noun of the product or a technology", s.path, part))
			}
		}
		if s.generated || s.lines <= maxLines {
			continue
		}
		long[s.path] = true
		if longFiles[s.path] == "" {
			faults = append(faults, fmt.Sprintf("%s: has %d lines; over %d it needs rooms", s.path, s.lines, maxLines))
		}
	}
	for path := range longFiles {
		if !long[path] {
			faults = append(faults, fmt.Sprintf("house_test.go: %s needs no exception any more", path))
		}
	}
	report(t, faults)
}
