package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestJobApplyFlags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	line := []string{
		"job", "apply", "unit", "--git-url", "https://h/p.git", "--config-path", "ci/unit.yaml", "--ssh-key", "k",
		"-p", "LEVEL=1", "--required", "STAGE",
	}
	require.Equal(t, said{0, "unit\tcreated\t1\n", ""}, w.run(line...))
	require.Equal(t, said{0, "unit\tunchanged\t1\n", ""}, w.run(line...))
	require.Equal(t, said{0, "unit\tupdated\t2\n", ""}, w.run(line[:9]...))
	require.Equal(t, said{0, "unit unchanged (version 2)\n", ""}, w.terminal().run(line[:9]...))
	require.Equal(t, ci.Job{Name: "unit", Version: 2, Git: &ci.Git{URL: "https://h/p.git", ConfigPath: "ci/unit.yaml", SSHKey: "k"}}, w.client.jobs["unit"])
}

func TestJobApplyFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stdin = `# two jobs
name: unit
git: { url: "https://h/p.git", configPath: ci/unit.yaml }
parameters: [{ name: LEVEL, default: "1", description: how }]
---
name: hello
freestyle:
  script: |
    echo hello
`
	require.Equal(t, said{0, "unit\tcreated\t1\nhello\tcreated\t1\n", ""}, w.run("job", "apply", "-f", "-"))
	require.JSONEq(t, `{"script":"echo hello\n"}`, string(w.client.jobs["hello"].Freestyle))
	require.Equal(t, "unit\tunchanged\t1\nhello\tunchanged\t1\n", w.run("job", "apply", "-f", "-").out)

	for doc, want := range map[string]string{
		"":                             "holds no job",
		"name: x\nnmae: y\n":           "stdin is not a file of jobs: [2:1] unknown field \"nmae\"",
		"name: x\n":                    "neither is there",
		"name: x\nfreestyle: {}\n":     "freestyle: the key `script` is missing",
		"name: x\nparameters: 5\n":     "not a file of jobs",
		"{\"name\": \"x\", \"git\": {": "not a file of jobs",
	} {
		w.stdin = doc
		got := w.run("job", "apply", "-f", "-")
		require.Equal(t, exitUsage, got.code, doc)
		require.Contains(t, got.err, want)
	}
}

func TestJobApplyFreestyle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "hello.yaml")
	require.NoError(t, os.WriteFile(file, []byte("script: echo\ntimeout: 5m\n"), 0o600))
	require.Equal(t, "hello\tcreated\t1\n", w.run("job", "apply", "hello", "--freestyle", file).out)
	require.JSONEq(t, `{"script":"echo","timeout":"5m"}`, string(w.client.jobs["hello"].Freestyle))
	require.NoError(t, os.WriteFile(file, []byte("scirpt: echo\n"), 0o600))
	got := w.run("job", "apply", "hello", "--freestyle", file)
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, file+":1:1: unknown key `scirpt`; did you mean `script`?")
	require.Equal(t, exitUsage, w.run("job", "apply", "hello", "--freestyle", file+"x").code)
}

func TestJobListShowRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, said{0, "", ""}, w.run("job", "ls"))
	w.client.jobs["unit"] = ci.Job{Name: "unit", Version: 3, Git: &ci.Git{URL: "u", ConfigPath: "p"}, Parameters: []ci.Parameter{{Name: "A", Required: true}}}
	w.client.jobs["hello"] = ci.Job{Name: "hello", Version: 1, Freestyle: []byte(`{"script":"x"}`)}
	require.Equal(t, "hello\tfreestyle\t\t\t1\t\nunit\tgit\tu\tp\t3\t\n", w.run("job", "ls").out)
	require.Contains(t, w.run("job", "show", "unit").out, "version\t3\n")
	require.Equal(t, exitNotFound, w.run("job", "show", "nope").code)
	require.Equal(t, said{0, "", "unit deleted\n"}, w.run("job", "rm", "unit"))
	require.Equal(t, exitNotFound, w.run("job", "rm", "unit").code)
	w.documents["/jobs/a%20b"] = `{"name":"a b"}`
	require.Equal(t, "a b\n", w.run("job", "show", "a b", "--jq", ".name").out)
}

func TestJobCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env = map[string]string{}
	w.stdin = "script: x\n"
	require.Equal(t, said{0, "", "stdin is valid\n"}, w.run("job", "check", "-"))
	w.stdin = "scirpt: x\n"
	got := w.run("job", "lint", "-")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.out, "stdin:1:1: unknown key `scirpt`; did you mean `script`?\n")
	require.Equal(t, "false\n", w.run("job", "check", "-", "--jq", ".valid").out)
	require.Equal(t, exitUsage, w.run("job", "check", "/nowhere").code)
	require.Contains(t, w.run("job", "schema").out, `"title": "Job file"`)
	require.Equal(t, "Job file\n", w.run("job", "schema", "--jq", ".title").out)
	require.Contains(t, w.run("job", "schema", "--text").out, "resources.cpus (default 1)")
}

// A job file's Compose file is looked for from the root of the working tree, and as git has it.
func TestJobCheckReadsTheWorkingTree(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("git")
	require.NoError(t, err, "this test needs git; install it")
	w := newWorld(t)
	root := t.TempDir()
	require.NoError(t, exec.Command("git", "init", "--quiet", root).Run())
	write := func(name, data string) {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
	}
	file := filepath.Join(root, "ci/deep/test.yaml")
	write("ci/deep/test.yaml", "script: x\ncompose: { file: app/compose.yaml }\n")
	write("app/compose.yaml", "services:\n  db:\n    image: postgres:${TAG:-15}\n    ports: [\"5432:5432\"]\n")
	require.Equal(t, said{0, "", file + " is valid\napp/compose.yaml: `ports` of db: nothing is published; the script reaches services by name, at the container's own ports\n"}, w.run("job", "check", file))

	write("app/compose.yaml", "services:\n  db:\n    image: postgres\n    pid: host\n    env_file: [.env]\n")
	write("app/.env", "A=1\n")
	got := w.run("job", "check", file)
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, "app/compose.yaml:4:5: service `db`: `pid` is refused: it shows processes of the machine or another container\n", got.out)
	write("app/compose.yaml", "services:\n  db:\n    image: postgres\n    env_file: [.env]\n")
	require.Zero(t, w.run("job", "check", file).code)
	write(".gitignore", ".env\n")
	require.Contains(t, w.run("job", "check", file).out, "app/compose.yaml:4:16: service `db`: `env_file`: file app/.env is ignored by git")

	require.NoError(t, os.RemoveAll(filepath.Join(root, ".git")))
	require.Contains(t, w.run("job", "check", file).out, file+":2:18: `compose.file`: app/compose.yaml can't be read: no repository is at hand")
}

func TestJobTriggers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	line := []string{"job", "apply", "all", "--git-url", "https://h/p.git", "--config-path", "ci/all.yaml", "--triggers", "unit", "--triggers", "deploy"}
	require.Equal(t, said{0, "all\tcreated\t1\n", ""}, w.run(line...))
	require.Equal(t, []string{"unit", "deploy"}, w.client.jobs["all"].Triggers)
	require.Equal(t, "all\tunchanged\t1\n", w.run(line...).out)
	require.Equal(t, "all\tupdated\t2\n", w.run(line[:9]...).out)
	require.Contains(t, w.run("job", "show", "all").out, "triggers\tunit\n")
	w.stdin = "name: all\ngit: { url: \"https://h/p.git\", configPath: ci/all.yaml }\ntriggers: [unit, deploy]\n"
	require.Equal(t, "all\tupdated\t3\n", w.run("job", "apply", "-f", "-").out)
	require.Contains(t, w.run("job", "show", "all").out, "triggers\tunit deploy\n")
	w.stdin = "name: all\nfreestyle: {script: x}\ntriggers: [-x]\n"
	got := w.run("job", "apply", "-f", "-")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "triggers[0]")
	require.Equal(t, exitUsage, w.run("job", "apply", "-f", "-", "--triggers", "x").code)
}

func TestParentAndChildren(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	parent := doneRun(3, ci.OutcomeSucceeded, 0)
	parent.Spec = &ci.Spec{CI: true}
	child := doneRun(4, ci.OutcomeFailed, 1)
	child.Parent = &ci.RunRef{Job: parent.Job, Run: 3}
	w.client.runs = map[int64][]ci.Run{3: {parent}, 4: {child}}
	require.Contains(t, w.run("show", parent.Job, "3").out, "child\t"+parent.Job+"/4 failed\n")
	require.Contains(t, w.run("show", parent.Job, "4").out, "parent\t"+parent.Job+"/3\n")
	for _, arg := range []string{"3", parent.Job + "/3"} {
		got := w.run("ls", "--parent", arg)
		require.Equal(t, 0, got.code)
		require.Regexp(t, "^4\t[^\n]*\n$", got.out)
		require.EqualValues(t, 3, w.client.filter.Parent)
	}
	require.Equal(t, exitUsage, w.run("ls", "--parent", "x").code)
	require.Equal(t, exitUsage, w.run("ls", "--parent", "unit/").code)
}
