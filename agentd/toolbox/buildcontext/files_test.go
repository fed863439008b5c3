package buildcontext

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

// checkout is a folder with files; a name that ends in "@" is a link to its text.
func checkout(t *testing.T, tree map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkout")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, text := range tree {
		at := filepath.Join(dir, strings.TrimSuffix(name, "@"))
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		if strings.HasSuffix(name, "@") {
			require.NoError(t, os.Symlink(text, at))
			continue
		}
		require.NoError(t, os.WriteFile(at, []byte(text), 0o644))
	}
	return dir
}

func ask(dir string, change ...func(*pipe.BuildContext)) pipe.BuildContext {
	o := pipe.BuildContext{Dir: dir, Context: ".", Dockerfile: "Dockerfile", MaxFiles: 100, MaxBytes: 1 << 20}
	for _, c := range change {
		c(&o)
	}
	return o
}

// names lists what a builder would be offered.
func names(t *testing.T, f *files) []string {
	t.Helper()
	var list []string
	require.NoError(t, f.context.Walk(context.Background(), "/", func(name string, _ fs.DirEntry, err error) error {
		list = append(list, name)
		return err
	}))
	return list
}

func TestContextIsWhatTheIgnoreFileLeaves(t *testing.T) {
	t.Parallel()
	tree := map[string]string{
		"Dockerfile": "FROM scratch\n", ".dockerignore": "*.log\nsub/*\n!sub/keep\n", "a.log": "", "a.txt": "",
		"sub/keep": "", "sub/drop": "", ".git/config": "", "module/.git": "",
	}
	got, err := read(ask(checkout(t, tree)))
	require.NoError(t, err)
	defer got.Close()
	require.Equal(t, []string{".dockerignore", "Dockerfile", "a.txt", "module", "sub", "sub/keep"}, names(t, got))

	tree["Dockerfile.dockerignore"] = "a.txt\n"
	own, err := read(ask(checkout(t, tree), func(o *pipe.BuildContext) { o.Git = true }))
	require.NoError(t, err)
	defer own.Close()
	require.Contains(t, names(t, own), "a.log", "the Dockerfile's own ignore file goes before")
	require.Contains(t, names(t, own), ".git/config")
	require.NotContains(t, names(t, own), "a.txt")
}

func TestContextEndsAtTheCheckout(t *testing.T) {
	t.Parallel()
	dir := checkout(t, map[string]string{
		"Dockerfile": "FROM scratch\n", "out@": "../beside", "abs@": "/etc", "passwd@": "/etc/passwd", "inner@": "docker/Dockerfile",
		"docker/Dockerfile": "FROM scratch\n# inner\n", "folder@": "docker",
	})
	beside := filepath.Join(filepath.Dir(dir), "beside")
	require.NoError(t, os.Mkdir(beside, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(beside, "Dockerfile"), []byte("secret"), 0o644))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))

	refused := map[string]func(*pipe.BuildContext){
		"context up":           func(o *pipe.BuildContext) { o.Context = ".." },
		"context by link":      func(o *pipe.BuildContext) { o.Context = "out" },
		"context absolute":     func(o *pipe.BuildContext) { o.Context = "/etc" },
		"context by absolute":  func(o *pipe.BuildContext) { o.Context = "abs" },
		"context is a file":    func(o *pipe.BuildContext) { o.Context = "Dockerfile" },
		"Dockerfile up":        func(o *pipe.BuildContext) { o.Dockerfile = "../beside/Dockerfile" },
		"Dockerfile by link":   func(o *pipe.BuildContext) { o.Dockerfile = "passwd" },
		"Dockerfile by folder": func(o *pipe.BuildContext) { o.Dockerfile = "out/Dockerfile" },
		"Dockerfile a pipe":    func(o *pipe.BuildContext) { o.Dockerfile = "fifo" },
		"Dockerfile a folder":  func(o *pipe.BuildContext) { o.Dockerfile = "docker" },
	}
	for name, change := range refused {
		_, err := read(ask(dir, change))
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "secret", name)
	}

	got, err := read(ask(dir))
	require.NoError(t, err)
	defer got.Close()
	require.NotContains(t, names(t, got), "fifo")
	_, err = io.ReadAll(first(t, got, "passwd"))
	require.Error(t, err, "a link was followed out of the checkout")

	inner, err := read(ask(dir, func(o *pipe.BuildContext) { o.Dockerfile, o.Context = "inner", "folder" }))
	require.NoError(t, err, "links within the checkout are fine")
	defer inner.Close()
	require.Equal(t, "FROM scratch\n# inner\n", string(inner.answer.Dockerfile))
}

// first opens a file as the builder does.
func first(t *testing.T, f *files, name string) io.Reader {
	t.Helper()
	r, err := f.context.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestDigestIsOfContentAlone(t *testing.T) {
	t.Parallel()
	tree := map[string]string{"Dockerfile": "FROM scratch\n", "a": "one", "link@": "a", "dir/b": "two"}
	digest := func(change func(dir string)) string {
		dir := checkout(t, tree)
		change(dir)
		got, err := read(ask(dir))
		require.NoError(t, err)
		defer got.Close()
		return got.answer.Digest
	}
	same := digest(func(string) {})
	require.Equal(t, same, digest(func(dir string) {
		require.NoError(t, os.Chtimes(filepath.Join(dir, "a"), time.Unix(1, 0), time.Unix(1, 0)))
	}), "times count")
	changes := map[string]func(dir string){
		"content": func(dir string) { require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("two"), 0o644)) },
		"mode":    func(dir string) { require.NoError(t, os.Chmod(filepath.Join(dir, "a"), 0o755)) },
		"name":    func(dir string) { require.NoError(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "c"))) },
		"folder":  func(dir string) { require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755)) },
		"link": func(dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "link")))
			require.NoError(t, os.Symlink("dir/b", filepath.Join(dir, "link")))
		},
	}
	seen := map[string]string{same: "nothing"}
	for name, change := range changes {
		got := digest(change)
		require.Empty(t, seen[got], "%s looks like %s", name, seen[got])
		seen[got] = name
	}
}

func TestContextsHaveLimits(t *testing.T) {
	t.Parallel()
	dir := checkout(t, map[string]string{"Dockerfile": "FROM scratch\n", "a": "a", "b": "b"})
	_, err := read(ask(dir, func(o *pipe.BuildContext) { o.MaxFiles = 2 }))
	require.ErrorContains(t, err, "more than 2 files")
	require.NoError(t, os.Truncate(filepath.Join(dir, "a"), 1<<40)) // a sparse terabyte
	_, err = read(ask(dir))
	require.ErrorContains(t, err, "it is larger than 1 MiB")
	require.NoError(t, os.Truncate(filepath.Join(dir, "Dockerfile"), 1<<40))
	_, err = read(ask(dir))
	require.ErrorContains(t, err, "it is larger than 1024 KiB")
}
