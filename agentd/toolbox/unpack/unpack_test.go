package unpack

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func archive(t *testing.T, headers ...tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		text := "text of " + h.Name
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		require.NoError(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, text)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return &b
}

func file(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}
}

func link(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
}

func TestInto(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tool := file("tools/deep/run")
	tool.Mode = 0o755
	odd := file("odd\nname \xff")
	require.NoError(t, Into(dir, archive(t, file("a"), tool, odd, link("out", "/etc/passwd"), link("up", "../.."), tar.Header{Name: "empty/", Typeflag: tar.TypeDir, Mode: 0o755})))
	for name, mode := range map[string]os.FileMode{"a": 0o644, "tools/deep/run": 0o755, odd.Name: 0o644} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, "text of "+name, string(b))
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode())
	}
	to, err := os.Readlink(filepath.Join(dir, "out"))
	require.NoError(t, err)
	require.Equal(t, "/etc/passwd", to, "links stay what they are")
	require.DirExists(t, filepath.Join(dir, "empty"))
}

func TestIntoStaysInside(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string][]tar.Header{
		"a climbing name":       {file("../out")},
		"an absolute name":      {file("/out")},
		"through a link":        {link("l", ".."), file("l/out")},
		"through a link's link": {link("m", "l"), link("l", ".."), file("m/out")},
		"over a link":           {link("out", "../out"), file("out")},
		"a device":              {{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}},
		"a pipe":                {{Name: "pipe", Typeflag: tar.TypeFifo}},
		"a hard link":           {{Name: "hard", Linkname: "/etc/passwd", Typeflag: tar.TypeLink}},
		"the same name twice":   {file("a"), file("a")},
	} {
		outer := t.TempDir()
		dir := filepath.Join(outer, "in")
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.Error(t, Into(dir, archive(t, headers...)), name)
		left, err := os.ReadDir(outer)
		require.NoError(t, err)
		require.Len(t, left, 1, name)
	}
	whole, err := io.ReadAll(archive(t, file("a")))
	require.NoError(t, err)
	require.Error(t, Into(t.TempDir(), bytes.NewReader(whole[:515])), "a cut archive is no whole tree")
}
