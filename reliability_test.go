package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// faultRow is a row of docs/reliability.md: its number, and all that stands behind it.
var faultRow = regexp.MustCompile(`(?m)^\| R(\d+) \|(.*)\|$`)

// faultTest is a test that a row names: a folder, and a test or a function of
// one, or a scenario of e2e.
var faultTest = regexp.MustCompile("`([a-z0-9/]+) ([A-Za-z]+(?:/[a-z-]+)?)`")

// TestReliabilityTable holds docs/reliability.md and the tests to each other:
// every fault from R1 to R33 has a row; a row names tests that exist, or says
// why there is none; and a test that names a fault stands in its row.
func TestReliabilityTable(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("docs", "reliability.md"))
	require.NoError(t, err)
	rows := map[string]string{}
	for _, m := range faultRow.FindAllStringSubmatch(string(page), -1) {
		require.NotContains(t, rows, m[1], "R%s has two rows", m[1])
		rows[m[1]] = m[2]
	}
	for n := 1; n <= 33; n++ {
		id := strconv.Itoa(n)
		row, there := rows[id]
		if !there {
			t.Errorf("docs/reliability.md has no row for R%s", id)
			continue
		}
		tests := faultTest.FindAllStringSubmatch(row, -1)
		if len(tests) == 0 && !strings.Contains(row, "Open: ") && !strings.Contains(row, "Not here: ") {
			t.Errorf("R%s names no test, and says neither \"Open: \" nor \"Not here: \" and why", id)
		}
		for _, test := range tests {
			if !testExists(t, test[1], test[2]) {
				t.Errorf("R%s names %s of %s, which does not exist", id, test[2], test[1])
			}
		}
	}
	mentions(t, func(id, folder, file string) {
		if row, there := rows[id]; !there || !strings.Contains(row, "`"+folder+" ") {
			t.Errorf("%s is about R%s, whose row in docs/reliability.md names no test of %s", file, id, folder)
		}
	})
}

func testExists(t *testing.T, folder, name string) bool {
	t.Helper()
	if scenario, ok := strings.CutPrefix(name, "TestScenarios/"); ok {
		_, err := os.Stat(filepath.Join(folder, "testdata", scenario+".txtar"))
		return err == nil
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	require.NoError(t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		if strings.Contains(string(text), "func "+name+"(") {
			return true
		}
	}
	return false
}

// mentions calls fn for each fault that a comment of a test names.
func mentions(t *testing.T, fn func(id, folder, file string)) {
	t.Helper()
	comment := regexp.MustCompile(`(?m)^\s*(?://|#).*$`)
	id := regexp.MustCompile(`\bR(\d{1,2})\b`)
	require.NoError(t, filepath.WalkDir(".", func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		inSuite := strings.HasSuffix(path, ".go") && strings.Contains(path, "test/")
		if !strings.HasSuffix(path, "_test.go") && !strings.HasSuffix(path, ".txtar") && !inSuite || path == "reliability_test.go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder := strings.TrimSuffix(filepath.Dir(path), "/testdata")
		for _, line := range comment.FindAllString(string(text), -1) {
			for _, m := range id.FindAllStringSubmatch(line, -1) {
				fn(m[1], folder, path)
			}
		}
		return nil
	}))
}
