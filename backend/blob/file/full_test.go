//go:build linux

package file

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ci/pkg/ci"
)

// TestDiskFull runs on a tmpfs of 4 MiB where mounting is allowed, and always
// on the errors that a full disk gives.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, errno := range []error{unix.ENOSPC, unix.EDQUOT} {
		err := s.failure("can't be written", &os.PathError{Op: "write", Path: "x", Err: errno})
		require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
		require.ErrorContains(t, err, "is full; free some space")
		require.True(t, errors.Is(err, errno))
	}
	if os.Getuid() != 0 {
		return
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Logf("tmpfs can't be mounted here, so no disk was filled: %v", err)
		return
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	s, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Put(t.Context(), "small", strings.NewReader("x"))
	require.NoError(t, err)
	_, err = s.Put(t.Context(), "large", strings.NewReader(strings.Repeat("x", 8<<20)))
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err))
	require.ErrorContains(t, err, "is full; free some space")
	_, err = s.Get(t.Context(), "large", 0, -1)
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	_, err = s.Put(t.Context(), "small", strings.NewReader("y"))
	require.NoError(t, err, "the failed one left nothing")
}
