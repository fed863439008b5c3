package local

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// run runs git in a folder, with nothing of the machine's configuration.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "git %v: %s", args, out)
	return strings.TrimSpace(string(out))
}

func put(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

// written is what a tree's archive holds: a file's text, "-> target" of a link, "/" of a folder.
func written(t *testing.T, tree *Tree, submodules bool) map[string]string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, tree.Write(t.Context(), &b, 1, submodules))
	all := map[string]string{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		switch h.Typeflag {
		case tar.TypeDir:
			text = []byte("/")
		case tar.TypeSymlink:
			text = []byte("-> " + h.Linkname)
		}
		require.NotContains(t, all, h.Name)
		all[h.Name] = string(text)
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	module, root := filepath.Join(dir, "module"), filepath.Join(dir, "root")
	for _, at := range []string{module, root} {
		require.NoError(t, os.Mkdir(at, 0o755))
		run(t, at, "init", "-q", "-b", "main")
	}
	put(t, filepath.Join(module, "inner"), "of the module")
	run(t, module, "add", "-A")
	run(t, module, "commit", "-q", "-m", "one")
	put(t, filepath.Join(root, "ci/job.yaml"), "script: true\n")
	put(t, filepath.Join(root, ".gitignore"), "*.ignored\n")
	put(t, filepath.Join(root, "deleted"), "x")
	put(t, filepath.Join(root, "changed"), "before")
	run(t, root, "submodule", "--quiet", "add", module, "sub")
	run(t, root, "remote", "add", "origin", "https://user:canary@host/x.git")
	run(t, root, "add", "-A")
	run(t, root, "commit", "-q", "-m", "one")

	tree, err := OpenTree(t.Context(), filepath.Join(root, "ci/job.yaml"))
	require.NoError(t, err)
	require.Equal(t, &Tree{Root: root, File: "ci/job.yaml", Commit: run(t, root, "rev-parse", "HEAD"), Branch: "main"}, tree)

	require.NoError(t, os.Remove(filepath.Join(root, "deleted")))
	put(t, filepath.Join(root, "changed"), "after")
	put(t, filepath.Join(root, "new\nline"), "new")
	put(t, filepath.Join(root, "x.ignored"), "canary")
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(root, "link")))
	require.NoError(t, exec.Command("mkfifo", filepath.Join(root, "pipe")).Run())

	tree, err = OpenTree(t.Context(), filepath.Join(root, "ci/job.yaml"))
	require.NoError(t, err)
	require.True(t, tree.Dirty)
	for _, submodules := range []bool{false, true} {
		got := written(t, tree, submodules)
		want := map[string]string{
			"ci/job.yaml": "script: true\n", ".gitignore": "*.ignored\n", "changed": "after", "new\nline": "new", "link": "-> /etc/passwd",
			".gitmodules": got[".gitmodules"], "sub/": "/",
		}
		if submodules {
			want["sub/inner"] = "of the module"
		}
		require.Equal(t, tree.Commit+"\n", got[".git/HEAD"])
		for name, text := range got {
			require.NotContains(t, text, "canary", name)
			if strings.HasPrefix(name, ".git/") {
				delete(got, name)
			}
		}
		require.Equal(t, want, got)
	}
}

func TestTreeRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "job.yaml"), "script: true\n")
	_, err := OpenTree(t.Context(), filepath.Join(dir, "job.yaml"))
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))
	require.ErrorContains(t, err, "in no working tree of git")
	_, err = OpenTree(t.Context(), filepath.Join(dir, "nothing.yaml"))
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err))

	run(t, dir, "init", "-q", "-b", "main")
	tree, err := OpenTree(t.Context(), filepath.Join(dir, "job.yaml"))
	require.NoError(t, err, "a repository without a commit will do")
	require.Equal(t, "", tree.Commit)
	require.Equal(t, map[string]string{"job.yaml": "script: true\n"}, written(t, tree, false))
}
