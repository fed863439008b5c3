package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// folder makes a folder of files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

func TestApplyFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.jobs = map[string]ci.Job{
		"foreign": {Name: "foreign", Freestyle: []byte(`{"script":"x"}`), Version: 4},
		"others":  {Name: "others", Freestyle: []byte(`{"script":"x"}`), Owner: "them", Version: 2},
		"gone":    {Name: "gone", Freestyle: []byte(`{"script":"x"}`), Owner: "us", Version: 3},
		"b":       {Name: "b", Freestyle: []byte(`{"script":"old"}`), Version: 7},
	}
	dir := folder(t, map[string]string{
		"a.yaml":             "name: a\nfreestyle: { script: echo a }\n---\nname: b\nfreestyle: { script: new }\n",
		"deep/down/c.yml":    "name: c\ngit: { url: 'https://h/p.git', configPath: ci.yaml }\n",
		"d.json":             `{"name": "d", "freestyle": {"script": "x"}}`,
		"README.md":          "not a job",
		".hidden/x.yaml":     "name: [broken",
		"deep/.swp.a.yaml":   "name: [broken",
		"deep/down/note.txt": "x",
	})
	line := []string{"apply", "-f", dir, "--owner", "us", "--prune", "--detailed-exitcode"}
	got := w.run(append(line, "--dry-run", "--diff")...)
	require.Equal(t, exitChanged, got.code, got.err)
	require.Contains(t, got.out, "--- server/b\n+++ files/b\n@@ -1,3 +1,4 @@\n+# owner: us\n name: b\n freestyle:\n-  script: old\n+  script: new\n")
	require.Contains(t, got.out, "--- /dev/null\n+++ files/a\n")
	require.Contains(t, got.out, "--- server/gone\n+++ /dev/null\n")
	require.NotContains(t, got.out, "others")
	require.Equal(t, "It would be: 3 created, 1 updated, 1 deleted, 0 unchanged\n", got.err)
	require.Len(t, w.client.jobs, 4, "nothing was changed")

	got = w.run(line...)
	require.Equal(t, exitChanged, got.code, got.err)
	require.Equal(t, "a\tcreated\t1\nb\tupdated\t8\nd\tcreated\t1\nc\tcreated\t1\ngone\tdeleted\t3\n", got.out)
	require.Equal(t, []string{"a", "b", "c", "d", "foreign", "others"}, sortedKeys(w.client.jobs))
	require.Equal(t, "us", w.client.jobs["a"].Owner)

	got = w.run(line...)
	require.Equal(t, 0, got.code, got.err)
	require.Contains(t, got.err, "0 created, 0 updated, 0 deleted, 4 unchanged")
	require.Equal(t, 0, w.run("apply", "-f", dir).code, "who says no owner leaves it")
	require.Equal(t, "us", w.client.jobs["a"].Owner)

	// What others keep is theirs.
	got = w.run("apply", "-f", dir, "--owner", "them")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "others keep these jobs: a (of us), b (of us), d (of us), c (of us)")
	require.Equal(t, 0, w.run("apply", "-f", dir, "--owner", "them", "--take-over").code)
	require.Equal(t, "them", w.client.jobs["a"].Owner)
	require.Equal(t, "{\"change\":\"unchanged\",\"name\":\"d\",\"version\":2}\n", w.run("apply", "-f", filepath.Join(dir, "d.json"), "--json").out)
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"twice":     {map[string]string{"a.yaml": "name: a\nfreestyle: {script: x}", "b.yaml": "name: a\nfreestyle: {script: x}"}, "job a is in "},
		"none":      {map[string]string{"a.txt": ""}, "has no .yaml, .yml or .json file"},
		"empty":     {map[string]string{"a.yaml": "# nothing"}, "holds no job"},
		"bad name":  {map[string]string{"a.yaml": "name: a b\nfreestyle: {script: x}"}, "name"},
		"bad key":   {map[string]string{"a.yaml": "name: a\nfreestyel: {script: x}"}, "freestyel"},
		"bad stage": {map[string]string{"a.yaml": "name: a\nfreestyle: {script: x}", "b.yaml": "name: b\nfreestyle: {scrip: x}"}, "scrip"},
	} {
		w := newWorld(t)
		got := w.run("apply", "-f", folder(t, tt.files))
		require.Equal(t, exitUsage, got.code, name)
		require.Contains(t, got.err, tt.want, name)
		require.Empty(t, w.client.jobs, "nothing is changed when a file is wrong: %s", name)
	}
}

// What is exported applies as the same, whatever odd values it holds.
func TestExportRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, doc := range map[string]string{
		"plain":   `{"script":"echo a\necho b\n","timeout":"90s"}`,
		"odd":     `{"script":" leading\n\ttab: [x] # y\n  z  \n\n"}`,
		"quoted":  `{"script":"yes","timeout":"1h30m"}`,
		"control": `{"script":"a\u0007b\u2028\u202ec\r\nd"}`,
		"numbers": `{"script":"x","resources":{"cpus":0.5,"memory":"128MiB"}}`,
	} {
		w.client.jobs[name] = ci.Job{Name: name, Freestyle: []byte(doc), Version: 1, Parameters: []ci.Parameter{{Name: "A", Default: "1e3", Description: "x: y"}, {Name: "B", Required: true}}, Triggers: []string{"plain"}}
	}
	w.client.jobs["git"] = ci.Job{Name: "git", Git: &ci.Git{URL: "git@host:p.git", ConfigPath: "ci/a.yaml", SSHKey: "deploy"}, Owner: "us", Version: 1}
	w.stdin = w.run("job", "export", "--all").out
	require.NotEmpty(t, w.stdin)
	got := w.run("apply", "-f", "-", "--detailed-exitcode")
	require.Equal(t, 0, got.code, got.err+got.out)
	require.Contains(t, got.err, "6 unchanged")

	dir := filepath.Join(t.TempDir(), "jobs")
	require.Equal(t, filepath.Join(dir, "git.yaml")+"\n", w.run("job", "export", "git", "-o", dir).out)
	require.Equal(t, 6, strings.Count(w.run("job", "export", "--all", "-o", dir).out, "\n"))
	require.Equal(t, 0, w.run("apply", "-f", dir, "--detailed-exitcode").code)
	text, err := os.ReadFile(filepath.Join(dir, "plain.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "script: |\n")
}
