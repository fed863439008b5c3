package seal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/secret/seal"
	"ci/pkg/ci"
)

func setup(t *testing.T) (*seal.Box, string) {
	t.Helper()
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret.key")
	b, err := seal.OpenOrMake(path)
	require.NoError(t, err)
	return b, path
}

func sealed(t *testing.T, b *seal.Box, plain string, about ...string) []byte {
	t.Helper()
	s, err := b.Seal([]byte(plain), about...)
	require.NoError(t, err)
	require.NotContains(t, string(s), plain)
	return s
}

func opens(t *testing.T, b *seal.Box, s []byte, plain string, about ...string) {
	t.Helper()
	got, err := b.Open(s, about...)
	require.NoError(t, err)
	require.Equal(t, plain, string(got))
}

func TestSealAndOpen(t *testing.T) {
	b, path := setup(t)
	s := sealed(t, b, "hunter2", "secret", "deploy", "PASSWORD")
	opens(t, b, s, "hunter2", "secret", "deploy", "PASSWORD")
	require.NotEqual(t, s, sealed(t, b, "hunter2", "secret", "deploy", "PASSWORD"), "no two are alike")

	again, err := seal.Open(path)
	require.NoError(t, err)
	opens(t, again, s, "hunter2", "secret", "deploy", "PASSWORD")

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// A ciphertext that somebody moves to another row must not open there.
func TestBoundToItsNames(t *testing.T) {
	b, _ := setup(t)
	s := sealed(t, b, "hunter2", "secret", "ab", "c")
	for _, about := range [][]string{
		{"secret", "a", "bc"},
		{"secret", "other", "c"},
		{"secret", "ab", "C"},
		{"ssh-key", "ab", "c"},
		{"secret", "ab", "c", ""},
		{"secret", "abc"},
		{},
	} {
		_, err := b.Open(s, about...)
		require.Equal(t, ci.CodeConflict, ci.CodeOf(err), "%q", about)
		require.ErrorContains(t, err, "does not open")
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestDamage(t *testing.T) {
	b, _ := setup(t)
	s := sealed(t, b, "hunter2", "secret", "a", "b")
	for i := range s {
		bad := bytes.Clone(s)
		bad[i] ^= 1
		_, err := b.Open(bad, "secret", "a", "b")
		require.Equal(t, ci.CodeConflict, ci.CodeOf(err), "byte %d", i)
		_, err = b.Open(s[:i], "secret", "a", "b")
		require.Equal(t, ci.CodeConflict, ci.CodeOf(err), "cut at %d", i)
	}
}

func TestAnotherKey(t *testing.T) {
	b, _ := setup(t)
	other, err := seal.OpenOrMake(filepath.Join(t.TempDir(), "other.key"))
	require.NoError(t, err)
	_, err = other.Open(sealed(t, b, "hunter2", "secret", "deploy", "PASSWORD"), "secret", "deploy", "PASSWORD")
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	require.ErrorContains(t, err, "other.key does not hold")
	require.ErrorContains(t, err, `secret ["deploy" "PASSWORD"]`)
}

func TestRotation(t *testing.T) {
	b, path := setup(t)
	old := sealed(t, b, "hunter2", "x")

	id, err := seal.Add(path)
	require.NoError(t, err)
	fresh, err := b.Fresh(sealed(t, b, "hunter2", "x"))
	require.NoError(t, err)
	require.True(t, fresh)
	fresh, err = b.Fresh(old)
	require.NoError(t, err)
	require.True(t, fresh, "a key that was only added seals nothing yet")

	used, err := seal.Use(path)
	require.NoError(t, err)
	require.Equal(t, id, used)
	fresh, err = b.Fresh(old)
	require.NoError(t, err)
	require.False(t, fresh)
	opens(t, b, old, "hunter2", "x")
	renewed := sealed(t, b, "hunter2", "x")
	fresh, err = b.Fresh(renewed)
	require.NoError(t, err)
	require.True(t, fresh)

	n, err := seal.Forget(path)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	opens(t, b, renewed, "hunter2", "x")
	_, err = b.Open(old, "x")
	require.ErrorContains(t, err, "does not hold")
}

func TestManyFirstStarts(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret.key")
	boxes := make([]*seal.Box, 16)
	var starts sync.WaitGroup
	for i := range boxes {
		starts.Go(func() {
			b, err := seal.OpenOrMake(path)
			if err != nil {
				t.Error(err)
			}
			boxes[i] = b
		})
	}
	starts.Wait()
	require.False(t, t.Failed())
	s := sealed(t, boxes[0], "hunter2")
	for _, b := range boxes {
		opens(t, b, s, "hunter2")
	}
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file stays")
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := seal.Open(filepath.Join(dir, "none.key"))
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	require.ErrorContains(t, err, "restore it from a backup")

	for name, text := range map[string]string{
		"empty": "", "no JSON": "hunter2", "no keys": `{"primaryKeyId":1,"key":[]}`, "null": "null",
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := seal.OpenOrMake(path)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), name)
		require.ErrorContains(t, err, "Tink keyset", name)
		require.NotContains(t, err.Error(), "hunter2")
	}

	path := filepath.Join(dir, "open.key")
	_, err = seal.OpenOrMake(path)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(path, 0o644))
	_, err = seal.Open(path)
	require.ErrorContains(t, err, "may be read by others")

	_, err = seal.OpenOrMake(filepath.Join(dir, "no", "folder", "x.key"))
	require.ErrorContains(t, err, "can't be made")
}

// A file that is lost under a running program says so, and works when it is back.
func TestLostFile(t *testing.T) {
	b, path := setup(t)
	s := sealed(t, b, "hunter2", "x")
	require.NoError(t, os.Rename(path, path+".away"))
	_, err := b.Seal([]byte("x"), "x")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	_, err = b.Open(s, "x")
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err))
	require.NoError(t, os.Rename(path+".away", path))
	opens(t, b, s, "hunter2", "x")
}
