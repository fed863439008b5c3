package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReferenceIsUpToDate writes the reference anew, of a copy, and compares.
func TestReferenceIsUpToDate(t *testing.T) {
	t.Parallel()
	source := filepath.Join("..", "..", folder)
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(source)))
	require.NoError(t, write(t.Context(), dir))
	want, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	have, err := os.ReadFile(filepath.Join(source, "README.md"))
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "run: make gen")
}

func TestReferenceHasItsPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("# Nothing"), 0o600))
	require.ErrorContains(t, write(t.Context(), dir), "has no place")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte(begin+end), 0o600))
	require.ErrorContains(t, write(t.Context(), dir), "each schema has an example")
}
