package file

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/blob"
	"ci/backend/blob/blobtest"
	"ci/pkg/ci"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, t.TempDir()) })
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	ctx := t.Context()
	_, err := s.Put(ctx, "runs/7/results/a", strings.NewReader("x"))
	require.NoError(t, err)
	_, err = s.Put(ctx, "runs/7/console/0", strings.NewReader("x"))
	require.NoError(t, err)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.Put(gone, "runs/8/x", strings.NewReader("x"))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Check(ctx))
	require.Empty(t, names(t, filepath.Join(dir, "tmp")))
	require.Equal(t, []string{"7"}, names(t, filepath.Join(dir, "objects", "runs")))
	require.NoError(t, s.DeletePrefix(ctx, "runs/7/console/"))
	require.Equal(t, []string{"results"}, names(t, filepath.Join(dir, "objects", "runs", "7")))
	require.NoError(t, s.DeletePrefix(ctx, "runs/7/"))
	require.Empty(t, names(t, filepath.Join(dir, "objects")), "empty folders are pruned")
}

// TestCrashedPut has the next Open remove what a killed process was writing,
// and leave what a living one writes.
func TestCrashedPut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tmp", "crashed"), []byte("half"), 0o600))
	writing, release := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := s.Put(t.Context(), "k", &gate{r: strings.NewReader("whole"), writing: writing, release: release})
		done <- err
	}()
	<-writing
	require.Len(t, names(t, filepath.Join(dir, "tmp")), 2)
	other := open(t, dir)
	require.Len(t, names(t, filepath.Join(dir, "tmp")), 1)
	close(release)
	require.NoError(t, <-done)
	r, err := other.Get(t.Context(), "k", 0, -1)
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, "whole", b.String())
}

type gate struct {
	r                *strings.Reader
	writing, release chan struct{}
}

func (g *gate) Read(p []byte) (int, error) {
	if g.writing != nil {
		close(g.writing)
		g.writing = nil
	}
	<-g.release
	return g.r.Read(p)
}

// TestLinks has links in the folder that lead out of it.
func TestLinks(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	s := open(t, dir)
	secret := filepath.Join(outside, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "objects", "dir")))
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "objects", "file")))
	for _, key := range []string{"dir/secret", "file"} {
		_, err := s.Get(t.Context(), key, 0, -1)
		require.Error(t, err, key)
	}
	_, err := s.Put(t.Context(), "dir/new", strings.NewReader("x"))
	require.Error(t, err)
	_ = s.Delete(t.Context(), "dir/secret")
	_ = s.DeletePrefix(t.Context(), "dir/")
	data, err := os.ReadFile(secret)
	require.NoError(t, err)
	require.Equal(t, "secret", string(data))
	require.Equal(t, []string{"secret"}, names(t, outside))
}

func TestKeyOnTheWayOfAnother(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	_, err := s.Put(t.Context(), "a/b", strings.NewReader("1"))
	require.NoError(t, err)
	for _, key := range []string{"a", "a/b/c", "a/b/c/d"} {
		_, err = s.Put(t.Context(), key, strings.NewReader("2"))
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%s: %v", key, err)
	}
	r, err := s.Get(t.Context(), "a/b", 0, -1)
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

func TestFolderThatCantBe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	for _, dir := range []string{"", path, path + "/below"} {
		_, err := Open(dir)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v", err)
	}
}
