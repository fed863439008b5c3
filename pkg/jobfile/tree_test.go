package jobfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestTree(t *testing.T) {
	t.Parallel()
	root, outside := t.TempDir(), t.TempDir()
	write := func(path, data string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(data), 0o600))
	}
	write(root+"/a/b.yaml", "x")
	write(root+"/a/.env", "A=1")
	write(root+"/big", strings.Repeat("x", MaxBytes+1))
	write(root+"/fits", strings.Repeat("x", MaxBytes))
	write(outside+"/secret", "s")
	require.NoError(t, os.Symlink(outside+"/secret", root+"/link"))
	require.NoError(t, os.Symlink("a", root+"/inner"))
	require.NoError(t, os.Symlink(outside, root+"/out"))
	read := Tree(root, func(path string) bool { return path == "a/.env" })
	for path, size := range map[string]int{"a/b.yaml": 1, "fits": MaxBytes} {
		data, err := read(path)
		require.NoError(t, err)
		require.Len(t, data, size)
	}
	for path, code := range map[string]ci.Code{
		"nope": ci.CodeNotFound, "a/b.yaml/c": ci.CodeNotFound, "inner/b.yaml": ci.CodeNotFound, "out/secret": ci.CodeNotFound, "a/.env": ci.CodeNotFound,
		"link": ci.CodeInvalid, "a": ci.CodeInvalid, "big": ci.CodeInvalid, "../x": ci.CodeInvalid, "/etc/passwd": ci.CodeInvalid, "a/../a/b.yaml": ci.CodeInvalid,
	} {
		_, err := read(path)
		require.Equal(t, code, ci.CodeOf(err), "%s: %v", path, err)
	}
}
