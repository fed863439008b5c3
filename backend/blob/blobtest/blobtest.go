// Package blobtest is what every object store must do. Each driver runs it
// against the real thing.
package blobtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/blob"
	"ci/pkg/ci"
)

// Run runs the suite. open returns an empty store and cleans up after t.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	// Alone and first: it measures the memory of the whole process.
	t.Run("large objects stream", func(t *testing.T) { large(t, open(t)) })
	for _, c := range []struct {
		name string
		test func(*testing.T, blob.Store)
	}{
		{"what is put can be got", putGet},
		{"sizes around the parts", sizes},
		{"ranges", ranges},
		{"a second put replaces", replace},
		{"a missing object", missing},
		{"delete", remove},
		{"delete by prefix", prefixes},
		{"a failing reader leaves the old object", failingReader},
		{"a cancelled put leaves the old object", cancelled},
		{"puts of one key leave one whole object", concurrent},
		{"puts and deletes by prefix at once", pruneRace},
		{"odd keys are refused", oddKeys},
		{"unusual keys are kept", unusualKeys},
		{"check", check},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

func put(t *testing.T, s blob.Store, key string, data []byte) {
	t.Helper()
	info, err := s.Put(t.Context(), key, bytes.NewReader(data))
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	require.Equal(t, blob.Info{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, info)
}

func get(t *testing.T, s blob.Store, key string, offset, length int64) []byte {
	t.Helper()
	r, err := s.Get(t.Context(), key, offset, length)
	require.NoError(t, err)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return data
}

func absent(t *testing.T, s blob.Store, keys ...string) {
	t.Helper()
	for _, key := range keys {
		_, err := s.Get(t.Context(), key, 0, -1)
		require.Equal(t, ci.CodeNotFound, ci.CodeOf(err), "%s: %v", key, err)
	}
}

func putGet(t *testing.T, s blob.Store) {
	put(t, s, "runs/1/results/junit", []byte("<xml/>"))
	require.Equal(t, "<xml/>", string(get(t, s, "runs/1/results/junit", 0, -1)))
	put(t, s, "empty", nil)
	require.Empty(t, get(t, s, "empty", 0, -1))
	// A reader that gives a byte at a time, and its last one together with EOF.
	info, err := s.Put(t.Context(), "slow", &dripping{rest: []byte("drop by drop")})
	require.NoError(t, err)
	require.EqualValues(t, 12, info.Size)
	require.Equal(t, "drop by drop", string(get(t, s, "slow", 0, -1)))
}

// dripping gives one byte a read.
type dripping struct{ rest []byte }

func (d *dripping) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	p[0], d.rest = d.rest[0], d.rest[1:]
	if len(d.rest) == 0 {
		return 1, io.EOF
	}
	return 1, nil
}

func sizes(t *testing.T, s blob.Store) {
	for _, n := range []int{1, 64<<10 - 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5 << 20, 5<<20 + 1, 6 << 20, 11<<20 + 7} {
		data := noise(n)
		put(t, s, "size", data)
		require.True(t, bytes.Equal(data, get(t, s, "size", 0, -1)), "%d bytes", n)
	}
}

func ranges(t *testing.T, s blob.Store) {
	put(t, s, "a", []byte("0123456789"))
	put(t, s, "none", nil)
	for _, c := range []struct {
		key            string
		offset, length int64
		want           string
	}{
		{"a", 0, -1, "0123456789"},
		{"a", 0, 1, "0"},
		{"a", 0, 0, ""},
		{"a", 3, 4, "3456"},
		{"a", 9, 1, "9"},
		{"a", 9, -1, "9"},
		{"a", 8, 100, "89"},
		{"a", 10, -1, ""},
		{"a", 10, 5, ""},
		{"a", 99, -1, ""},
		{"a", 5, 0, ""},
		{"none", 0, -1, ""},
		{"none", 0, 1, ""},
		{"none", 7, 1, ""},
	} {
		require.Equal(t, c.want, string(get(t, s, c.key, c.offset, c.length)), "%s %d+%d", c.key, c.offset, c.length)
	}
	for _, c := range [][2]int64{{-1, 1}, {0, -2}} {
		_, err := s.Get(t.Context(), "a", c[0], c[1])
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v: %v", c, err)
	}
}

func replace(t *testing.T, s blob.Store) {
	put(t, s, "k", noise(3<<20))
	old, err := s.Get(t.Context(), "k", 0, -1)
	require.NoError(t, err)
	defer func() { _ = old.Close() }()
	put(t, s, "k", []byte("new"))
	require.Equal(t, "new", string(get(t, s, "k", 0, -1)))
}

func missing(t *testing.T, s blob.Store) {
	put(t, s, "there/is", nil)
	absent(t, s, "nope", "a/b/c", "there", "there/is/not")
	_, err := s.Get(t.Context(), "nope", 3, 0)
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "nope")
}

func remove(t *testing.T, s blob.Store) {
	put(t, s, "a/b", []byte("1"))
	put(t, s, "a/c", []byte("2"))
	require.NoError(t, s.Delete(t.Context(), "a/b"))
	require.NoError(t, s.Delete(t.Context(), "a/b"), "a missing one is no error")
	require.NoError(t, s.Delete(t.Context(), "x/y/z"))
	absent(t, s, "a/b")
	require.NoError(t, s.Delete(t.Context(), "a"))
	require.Equal(t, "2", string(get(t, s, "a/c", 0, -1)))
}

func prefixes(t *testing.T, s blob.Store) {
	for _, key := range []string{"runs/1/a", "runs/1/b/c", "runs/1/b/d", "runs/10/a", "runs/2/a"} {
		put(t, s, key, []byte(key))
	}
	require.NoError(t, s.DeletePrefix(t.Context(), "runs/1/"))
	absent(t, s, "runs/1/a", "runs/1/b/c", "runs/1/b/d")
	require.Equal(t, "runs/10/a", string(get(t, s, "runs/10/a", 0, -1)))
	require.Equal(t, "runs/2/a", string(get(t, s, "runs/2/a", 0, -1)))
	require.NoError(t, s.DeletePrefix(t.Context(), "runs/1/"))
	require.NoError(t, s.DeletePrefix(t.Context(), "nothing/here/"))
	for _, prefix := range []string{"", "/", "runs", "../", "runs//", "runs/../"} {
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(s.DeletePrefix(t.Context(), prefix)), "%q", prefix)
	}
	put(t, s, "runs/1/a", []byte("again"))
	require.Equal(t, "again", string(get(t, s, "runs/1/a", 0, -1)))
}

func check(t *testing.T, s blob.Store) {
	for range 3 {
		require.NoError(t, s.Check(t.Context()))
	}
}

// oddKeys would leave the store's own place, or mean something else to a disk.
func oddKeys(t *testing.T, s blob.Store) {
	for _, key := range []string{
		"", "/", "/etc/passwd", "a/", "a//b", ".", "..", "../x", "a/../b", "a/./b", "a/..", "a\\b", "a\x00b", "a\nb",
		"a\x7fb", "\xff", "a\u202eb", strings.Repeat("x", 256), strings.Repeat("x/", 600) + "y",
	} {
		_, err := s.Put(t.Context(), key, strings.NewReader("x"))
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%q: %v", key, err)
		_, err = s.Get(t.Context(), key, 0, -1)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%q: %v", key, err)
		require.Equal(t, ci.CodeInvalid, ci.CodeOf(s.Delete(t.Context(), key)), "%q", key)
	}
}

func unusualKeys(t *testing.T, s blob.Store) {
	for _, key := range []string{
		"...", ".hidden", "a b", "~", "-rf", "ä/ß", "%2e%2e/x", "a+b&c=d?e#f", "'\"", "COM1", "$(id)", strings.Repeat("x", 200),
	} {
		put(t, s, "odd/"+key, []byte(key))
		require.Equal(t, key, string(get(t, s, "odd/"+key, 0, -1)))
		require.NoError(t, s.Delete(t.Context(), "odd/"+key), key)
		absent(t, s, "odd/"+key)
	}
}

var errBroken = errors.New("the source broke")
