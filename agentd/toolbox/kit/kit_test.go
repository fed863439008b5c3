package kit

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// static builds a small static program.
func static(t *testing.T, body string) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	require.NoError(t, os.WriteFile(source, []byte("package main\n\nfunc main() { "+body+" }\n"), 0o644))
	out := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-trimpath", "-o", out, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	text, err := build.CombinedOutput()
	require.NoError(t, err, string(text))
	return out
}

func TestPlanIsTheSameTwice(t *testing.T) {
	t.Parallel()
	program := static(t, "")
	first, err := Plan(program)
	require.NoError(t, err)
	second, err := Plan(program)
	require.NoError(t, err)
	require.Equal(t, first.Hash(), second.Hash())

	var a, b bytes.Buffer
	n, err := first.WriteTo(&a)
	require.NoError(t, err)
	require.EqualValues(t, a.Len(), n)
	_, err = second.WriteTo(&b)
	require.NoError(t, err)
	require.True(t, bytes.Equal(a.Bytes(), b.Bytes()), "the archives differ")

	third, err := Plan(static(t, "println(1)"))
	require.NoError(t, err)
	require.NotEqual(t, first.Hash(), third.Hash(), "another binary has the same hash")
	again, err := Plan(static(t, ""))
	require.NoError(t, err)
	require.Equal(t, first.Hash(), again.Hash(), "the same binary, built again, has another hash")
}

func TestPlanHoldsWhatScriptsExpect(t *testing.T) {
	t.Parallel()
	k, err := Plan(static(t, ""))
	require.NoError(t, err)
	require.False(t, k.NoGit, "this machine has git")
	var b bytes.Buffer
	n, err := k.WriteTo(&b)
	require.NoError(t, err)
	names := map[string]*tar.Header{}
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		require.NotContains(t, names, h.Name, "twice in the archive")
		require.False(t, h.Typeflag != tar.TypeSymlink && h.Name != "tmp/" && h.Mode&0o6022 != 0, "%s is setuid or writable by others", h.Name)
		names[h.Name] = h
	}
	for _, name := range []string{".ci/ci-agent", "etc/passwd", "etc/group", "etc/nsswitch.conf", "usr/bin/git", "usr/bin/sh"} {
		require.Contains(t, names, name)
	}
	require.EqualValues(t, 0o1777, names["tmp/"].Mode)
	require.Less(t, n, int64(120<<20))
	t.Logf("%d entries, %d MiB", len(names), n>>20)
}

func TestPlanRefusesProgramsWithLibraries(t *testing.T) {
	t.Parallel()
	_, err := Plan("/bin/sh")
	require.ErrorContains(t, err, "CGO_ENABLED=0")
	_, err = Plan("/etc/passwd")
	require.ErrorContains(t, err, "no Linux program")
}
