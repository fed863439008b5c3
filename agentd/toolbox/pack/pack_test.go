package pack

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

// tree makes files below a new folder; names that end in a slash are folders.
func tree(t *testing.T, names ...string) (string, *os.Root) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		at := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			require.NoError(t, os.MkdirAll(at, 0o755))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(filepath.Base(name)), 0o644))
	}
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	return dir, root
}

func want(path string) pipe.Collection {
	return pipe.Collection{Path: path, MaxBytes: 4 << 20, MaxFiles: 100}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir, root := tree(t, "a.xml", "r/b.xml", "r/s/c.xml", "r/s/c.txt", "r/.hidden.xml", "x[1].txt", "done.ZIP", "empty/", "A.xml")
	require.NoError(t, os.Symlink("b.xml", filepath.Join(dir, "r/link.xml")))
	require.NoError(t, os.Symlink("r", filepath.Join(dir, "loop")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "r/s/up")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "away.xml")))
	tests := []struct {
		path    string
		zip     bool
		file    string
		names   []string
		missing string
		note    string
	}{
		{path: "a.xml", file: "a.xml", names: []string{"a.xml"}},
		{path: "./a.xml", file: "a.xml", names: []string{"a.xml"}},
		{path: "a.xml", zip: true, names: []string{"a.xml"}},
		{path: "done.ZIP", zip: true, file: "done.ZIP", names: []string{"done.ZIP"}},
		{path: "a*.xml", names: []string{"a.xml"}, note: "links out of"},
		{path: "?.xml", names: []string{"A.xml", "a.xml"}},
		{path: "r/**/*.xml", names: []string{"r/.hidden.xml", "r/b.xml", "r/link.xml", "r/s/c.xml"}},
		{path: "r/*/*.xml", names: []string{"r/s/c.xml"}},
		{path: "{r,q}/{b,s/c}.xml", names: []string{"r/b.xml", "r/s/c.xml"}},
		{path: "r/s", names: []string{"r/s/c.txt", "r/s/c.xml"}},
		{path: "r/s/", names: []string{"r/s/c.txt", "r/s/c.xml"}},
		{path: "loop/s", names: []string{"loop/s/c.txt", "loop/s/c.xml"}},
		{path: "x[1].txt", file: "x[1].txt", names: []string{"x[1].txt"}},
		{path: "empty", missing: "no file matches empty"},
		{path: "none", missing: "no file matches none"},
		{path: "none/**", missing: "no file matches none/**"},
		{path: "/etc/passwd", missing: "not below"},
		{path: "../x", missing: "not below"},
		{path: "r/../../x", missing: "not below"},
		{path: "away.xml", missing: "out of the working directory"},
		{path: "r/[", missing: "not a valid glob"},
	}
	for _, test := range tests {
		t.Run(strings.ReplaceAll(test.path, "/", "|"), func(t *testing.T) {
			t.Parallel()
			c := want(test.path)
			c.Zip = test.zip
			got := Find(root, c)
			require.Equal(t, test.names, got.names)
			require.Equal(t, test.file, got.File)
			require.Contains(t, got.Missing, test.missing)
			require.Equal(t, test.missing == "", got.Missing == "")
			require.Contains(t, got.Note, test.note)
			require.Equal(t, test.note == "", got.Note == "")
		})
	}
}

func TestFindLeavesOddNamesOut(t *testing.T) {
	t.Parallel()
	dir, root := tree(t, "r/ok", "r/new\nline", "r/back\\slash", "r/bad\xff", "r/c1\u0085", "r/\x1b[31m", "r/bell\x07/inside", "r/ünï", "r/ sp ace", "r/--flag")
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "r/fifo"), 0o644))
	got := Find(root, want("r"))
	require.Equal(t, []string{"r/ sp ace", "r/--flag", "r/ok", "r/ünï"}, got.names)
	require.Contains(t, got.Note, "6 entries with a name")
	require.Contains(t, got.Note, "1 entries that are no regular files")
	require.Contains(t, Find(root, want("r/new\nline")).Missing, "with a name")
}

func TestFindIsBounded(t *testing.T) {
	t.Parallel()
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("f/%05d", i)
	}
	dir, root := tree(t, names...)
	require.NoError(t, os.Truncate(filepath.Join(dir, "f/00000"), 1<<40))
	got := Find(root, want("f/*"))
	require.True(t, got.TooLarge)
	require.Contains(t, got.Missing, "more than 100 files")
	require.Empty(t, got.names)

	got = Find(root, want("f/00000"))
	require.True(t, got.TooLarge)
	require.Contains(t, got.Missing, "holds 1099511627776 bytes; 4194304 are left")
}

func TestFindIsNotLedDeep(t *testing.T) {
	t.Parallel()
	dir, root := tree(t, "top")
	at, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY, 0)
	require.NoError(t, err)
	for depth := range 10_000 {
		err := unix.Mkdirat(at, "d", 0o755)
		if errors.Is(err, unix.ENAMETOOLONG) && depth > 1000 {
			break // some file systems name files by their whole path, and a path has 4096 bytes
		}
		require.NoError(t, err)
		next, err := unix.Openat(at, "d", unix.O_DIRECTORY|unix.O_RDONLY, 0)
		require.NoError(t, err)
		require.NoError(t, unix.Close(at))
		at = next
	}
	require.NoError(t, unix.Close(at))
	got := Find(root, want("**"))
	require.Equal(t, []string{"top"}, got.names)
	require.Contains(t, got.Note, "more than 256 deep")
}

func TestWriteTo(t *testing.T) {
	t.Parallel()
	dir, root := tree(t, "b", "a/x", "one")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("z"), 1<<20), 0o755))
	t.Run("as it is", func(t *testing.T) {
		var b bytes.Buffer
		require.Equal(t, pipe.Packed{}, Find(root, want("one")).WriteTo(root, &b))
		require.Equal(t, "one", b.String())
	})
	t.Run("zip, twice the same", func(t *testing.T) {
		var first, second bytes.Buffer
		require.Equal(t, pipe.Packed{}, Find(root, want("{a/x,b,big}")).WriteTo(root, &first))
		require.Equal(t, pipe.Packed{}, Find(root, want("{a/x,b,big}")).WriteTo(root, &second))
		require.Equal(t, first.Bytes(), second.Bytes())
		z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
		require.NoError(t, err)
		require.Len(t, z.File, 3)
		require.Equal(t, "a/x", z.File[0].Name)
		require.Equal(t, os.FileMode(0o755), z.File[2].Mode())
		f, err := z.File[2].Open()
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, f)
		require.NoError(t, err)
		require.EqualValues(t, 1<<20, n)
	})
	t.Run("more than the sizes said", func(t *testing.T) {
		found := Find(root, want("one"))
		found.maxBytes = 2
		end := found.WriteTo(root, io.Discard)
		require.True(t, end.TooLarge)
		require.Contains(t, end.Failed, "more than the 2 bytes")
	})
	t.Run("gone meanwhile", func(t *testing.T) {
		found := Find(root, want("b"))
		found.names = []string{"nothing"}
		require.NotEmpty(t, found.WriteTo(root, io.Discard).Failed)
	})
}
