package jobfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// composeData are real Compose files, which stand beside the project.
const composeData = "../../../shared/data/compose"

// folder reads files as the repository with this folder as its root would give them.
func folder(dir string) ReadFile {
	return func(p string) ([]byte, error) {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ci.Errorf(ci.CodeNotFound, "file %s does not exist", p)
		}
		return data, err
	}
}

// verdicts reads testdata/verdicts.txt: a file's path, and below it what is
// said about it, a fault a line, each as far as it matters; or "accepted:" and
// the services that are started.
func verdicts(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("testdata/verdicts.txt")
	require.NoError(t, err)
	all, file := map[string][]string{}, ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		switch said, isSaid := strings.CutPrefix(line, "\t"); {
		case line == "" || strings.HasPrefix(line, "#"):
		case isSaid:
			all[file] = append(all[file], said)
		default:
			file = line
		}
	}
	return all
}

// verdict is what is said about a Compose file whose services are all wanted.
func verdict(t *testing.T, file string) []string {
	t.Helper()
	name := filepath.Base(file)
	spec, err := Parse("ci.yaml", []byte("script: x\ncompose: {file: \""+name+"\"}\n"), folder(filepath.Dir(file)))
	if err == nil {
		names := make([]string, len(spec.Services))
		for i, s := range spec.Services {
			names[i] = s.Name
		}
		return []string{"accepted: " + strings.Join(names, " ")}
	}
	lines := faultsOf(t, err)
	for i, line := range lines {
		require.True(t, strings.HasPrefix(line, name+":"), "a fault without a place in the file: %s", line)
		lines[i] = strings.TrimPrefix(line, name+":")
	}
	return lines
}

// TestRealFiles holds every real Compose file to its verdict, and wants a
// verdict for every file.
func TestRealFiles(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(composeData); err != nil {
		t.Skipf("the collection of real Compose files is not beside the project: %v", err)
	}
	want := verdicts(t)
	seen := 0
	require.NoError(t, filepath.WalkDir(composeData, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(p)) {
			return err
		}
		seen++
		rel, err := filepath.Rel(composeData, p)
		require.NoError(t, err)
		said := verdict(t, p)
		if os.Getenv("UPDATE") != "" {
			t.Logf("%s\n\t%s", rel, strings.Join(said, "\n\t"))
			return nil
		}
		lines, ok := want[filepath.ToSlash(rel)]
		require.True(t, ok, "nobody decided what is said about %s; now it is\n\t%s", rel, strings.Join(said, "\n\t"))
		require.Len(t, said, len(lines), "%s:\n\t%s", rel, strings.Join(said, "\n\t"))
		for i, line := range lines {
			require.True(t, strings.HasPrefix(said[i], line), "%s: want\n\t%s\ngot\n\t%s", rel, line, said[i])
		}
		return nil
	}))
	require.GreaterOrEqual(t, seen, 30)
}
