package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
	require.Equal(t, "a\tcreated\t1\tjob\nb\tupdated\t8\tjob\nd\tcreated\t1\tjob\nc\tcreated\t1\tjob\ngone\tdeleted\t3\tjob\n", got.out)
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
	require.Contains(t, got.err, "others keep these: a (of us), b (of us), d (of us), c (of us)")
	require.Equal(t, 0, w.run("apply", "-f", dir, "--owner", "them", "--take-over").code)
	require.Equal(t, "them", w.client.jobs["a"].Owner)
	require.Equal(t, "{\"change\":\"unchanged\",\"kind\":\"job\",\"name\":\"d\",\"version\":2}\n", w.run("apply", "-f", filepath.Join(dir, "d.json"), "--json").out)
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"kind":      {map[string]string{"a.yaml": "kind: jbo\nname: a"}, "is of kind \"jbo\""},
		"trigger":   {map[string]string{"a.yaml": "kind: event-trigger\nname: a\nrepository: nobody\njob: a"}, "repository"},
		"both":      {map[string]string{"a.yaml": "kind: pipeline\nname: a\nprogram: x\nfile: y"}, "keep one"},
		"no file":   {map[string]string{"a.yaml": "kind: pipeline\nname: a\nfile: y.star"}, "y.star"},
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

const triggerFile = `kind: event-trigger
name: %s
repository: example/app
job: %s
events: [push]
parameters: { B: "2", A: "${sha}" }
`

func TestApplyEventTriggers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.client.jobs["others"] = ci.Job{Name: "others", Freestyle: []byte(`{"script":"x"}`), Owner: "them", Version: 2}
	for name, job := range map[string]string{"of-others": "others", "old": "a"} {
		w.client.triggers[name] = ci.EventTrigger{Name: name, Job: job, Forge: "github", Repository: "example/app", RepositoryID: 7, Version: 3}
	}
	w.client.jobs["a"] = ci.Job{Name: "a", Freestyle: []byte(`{"script":"x"}`), Owner: "us", Version: 1}
	w.client.jobs["gone"] = ci.Job{Name: "gone", Freestyle: []byte(`{"script":"x"}`), Owner: "us", Version: 1}
	w.client.triggers["gone"] = ci.EventTrigger{Name: "gone", Job: "gone", Forge: "github", Repository: "example/app", Version: 1}
	dir := folder(t, map[string]string{"a.yaml": "name: a\nfreestyle: { script: x }\n---\n" + fmt.Sprintf(triggerFile, "unit", "a"), "z.yaml": "name: z\nfreestyle: { script: x }\n"})
	line := []string{"apply", "-f", dir, "--owner", "us", "--prune"}

	got := w.run(append(line, "--dry-run", "--diff")...)
	require.Equal(t, 0, got.code, got.err)
	require.Contains(t, got.out, "+++ files/event-triggers/unit\n")
	require.Contains(t, got.out, "+parameters:\n+  A: ${sha}\n+  B: \"2\"\n")
	require.Len(t, w.client.triggers, 3, "nothing was changed")
	got = w.run(line...)
	require.Equal(t, "a\tunchanged\t1\tjob\nz\tcreated\t1\tjob\nunit\tcreated\t1\tevent-trigger\ngone\tdeleted\t1\tevent-trigger\nold\tdeleted\t3\tevent-trigger\ngone\tdeleted\t1\tjob\n", got.out, got.err)
	require.Equal(t, []string{"of-others", "unit"}, sortedKeys(w.client.triggers), "what belongs to jobs of others stays")

	learned := w.client.triggers["unit"]
	learned.RepositoryID = 99
	w.client.triggers["unit"] = learned
	got = w.run(append(line, "--detailed-exitcode")...)
	require.Equal(t, 0, got.code, "what the server has learned is no difference: %s", got.out)

	// Files without event triggers leave all as they are, and what others keep is theirs.
	require.Equal(t, 0, w.run("apply", "-f", filepath.Join(dir, "z.yaml"), "--owner", "us", "--prune").code)
	require.Equal(t, []string{"of-others", "unit"}, sortedKeys(w.client.triggers))
	w.client.jobs["a"] = ci.Job{Name: "a", Freestyle: []byte(`{"script":"x"}`), Owner: "them", Version: 1}
	w.stdin = fmt.Sprintf(triggerFile, "unit", "z")
	got = w.run("apply", "-f", "-", "--owner", "us")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "others keep these: event trigger unit (of them)")
	require.Equal(t, 0, w.run("apply", "-f", "-", "--owner", "us", "--take-over").code)
	require.Equal(t, "z", w.client.triggers["unit"].Job)
}

const programText = "# naïve \"quotes\"\nall(run('a'))\n\n  \t\n"

func TestApplyPipelinesAndExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stored := fmt.Sprintf(`{"name":"release","program":%s,"version":4}`, strconv.Quote(programText))
	w.documents["/pipelines/release"] = stored
	w.documents["/pipelines?pageSize=200&pageToken="] = `{"pipelines":[` + stored + `]}`
	w.client.jobs["a"] = ci.Job{Name: "a", Freestyle: []byte(`{"script":"x"}`), Owner: "us", Version: 1}
	w.client.triggers["unit"] = ci.EventTrigger{Name: "unit", Job: "a", Forge: "github", Repository: "example/app", Events: ci.DefaultEvents, Priority: ci.PriorityNormal, Forks: ci.ForksBase, Parameters: map[string]string{"A": " odd: [x]\n"}, Version: 1}

	dir := filepath.Join(t.TempDir(), "out")
	got := w.run("export", "-o", dir)
	require.Equal(t, strings.Join([]string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, "event-triggers", "unit.yaml"), filepath.Join(dir, "pipelines", "release.yaml"), ""}, "\n"), got.out, got.err)
	got = w.run("apply", "-f", dir, "--owner", "us", "--prune", "--detailed-exitcode")
	require.Equal(t, 0, got.code, got.out+got.err)
	require.Contains(t, got.err, "3 unchanged")
	w.stdin = w.run("export").out
	require.Equal(t, 0, w.run("apply", "-f", "-", "--detailed-exitcode").code, "what is exported applies as the same")
	require.NotContains(t, w.run("export", "--owner", "us").out, "pipeline")
	require.Empty(t, w.run("export", "--owner", "nobody").out)

	dir = folder(t, map[string]string{"p/pipelines.yaml": "kind: pipeline\nname: release\nfile: release.star\n", "p/release.star": "print('new')\n"})
	got = w.run("apply", "-f", dir, "--diff")
	require.Contains(t, got.out, "+++ files/pipelines/release\n", got.err)
	require.Contains(t, w.requests, "PUT /pipelines/release Bearer tok")
	w.stdin = "kind: pipeline\nname: release\nprogram: x\n"
	require.Contains(t, w.run("job", "apply", "-f", "-").err, "no job but of kind")
	require.Contains(t, w.run("event-trigger", "apply", "-").err, "no event trigger but of kind")
}
