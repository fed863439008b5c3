// Package secrettest is the suite that every store of secrets must pass.
package secrettest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/secret"
	"ci/pkg/ci"
)

// Open returns an empty store for one test; the jobs "a" and "b" exist.
type Open func(t *testing.T) secret.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	tests := map[string]func(*testing.T, secret.Store){
		"put, list, read":     putListRead,
		"values to the byte":  toTheByte,
		"jobs are apart":      apart,
		"what is missing":     missing,
		"delete":              deleteOne,
		"forget a job":        forget,
		"too many":            tooMany,
		"a context that ends": ended,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func put(t *testing.T, s secret.Store, job, name, value string) ci.Secret {
	t.Helper()
	made, err := s.Put(t.Context(), ci.Secret{Job: job, Name: name, UpdatedBy: "me"}, value)
	require.NoError(t, err)
	return made
}

func values(t *testing.T, s secret.Store, job string, names ...string) map[string]string {
	t.Helper()
	got, err := s.Values(t.Context(), job, names)
	require.NoError(t, err)
	return got
}

func list(t *testing.T, s secret.Store, job string) []ci.Secret {
	t.Helper()
	got, err := s.List(t.Context(), job)
	require.NoError(t, err)
	return got
}

func putListRead(t *testing.T, s secret.Store) {
	require.Empty(t, list(t, s, "a"))
	first := put(t, s, "a", "X", "one")
	require.Equal(t, int64(1), first.Version)
	require.WithinDuration(t, time.Now(), first.UpdatedAt, time.Minute)
	require.Equal(t, map[string]string{"X": "one"}, values(t, s, "a", "X"))
	second := put(t, s, "a", "X", "two")
	require.Equal(t, int64(2), second.Version)
	other := put(t, s, "a", "A", "three")
	require.Equal(t, map[string]string{"X": "two", "A": "three"}, values(t, s, "a", "X", "A", "NONE"))
	got := list(t, s, "a")
	require.Len(t, got, 2)
	for i, want := range []ci.Secret{other, second} {
		require.Equal(t, want.Name, got[i].Name)
		require.Equal(t, want.Version, got[i].Version)
		require.Equal(t, "me", got[i].UpdatedBy)
		require.Equal(t, "a", got[i].Job)
		require.WithinDuration(t, want.UpdatedAt, got[i].UpdatedAt, time.Second)
	}
}

func toTheByte(t *testing.T, s secret.Store) {
	for name, value := range map[string]string{
		"ONE_BYTE":   "x",
		"LINES":      "\r\n one \n\ttwo\r\n\n",
		"UNICODE":    "ü \u2028 🔑 \u0001 <&> \\u0041",
		"JSON":       `{"a": "\"b\""}`,
		"LONG":       strings.Repeat("0123456789abcdef", ci.MaxSecret/16),
		"_lower":     "case matters",
		"_LOWER":     "in names",
		"TRUE":       "true",
		"NUMBER":     "12345678901234567890",
		"PERCENT":    "100%20",
		"ONLY_SPACE": " ",
	} {
		put(t, s, "a", name, value)
		require.Equal(t, map[string]string{name: value}, values(t, s, "a", name), name)
	}
	require.Len(t, list(t, s, "a"), 11)
}

func apart(t *testing.T, s secret.Store) {
	put(t, s, "a", "X", "of a")
	put(t, s, "b", "X", "of b")
	put(t, s, "b", "Y", "of b")
	require.Equal(t, map[string]string{"X": "of a"}, values(t, s, "a", "X", "Y"))
	require.Len(t, list(t, s, "a"), 1)
	require.NoError(t, s.Delete(t.Context(), "a", "X"))
	require.Equal(t, map[string]string{"X": "of b", "Y": "of b"}, values(t, s, "b", "X", "Y"))
}

func missing(t *testing.T, s secret.Store) {
	put(t, s, "a", "X", "one")
	got, err := s.Missing(t.Context(), "a", []string{"Z", "X", "A"})
	require.NoError(t, err)
	require.Equal(t, []string{"Z", "A"}, got)
	got, err = s.Missing(t.Context(), "a", []string{"X"})
	require.NoError(t, err)
	require.Empty(t, got)
	got, err = s.Missing(t.Context(), "a", nil)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Empty(t, values(t, s, "a"))
}

func deleteOne(t *testing.T, s secret.Store) {
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(s.Delete(t.Context(), "a", "X")))
	put(t, s, "a", "X", "one")
	put(t, s, "a", "X", "two")
	require.NoError(t, s.Delete(t.Context(), "a", "X"))
	require.Equal(t, ci.CodeNotFound, ci.CodeOf(s.Delete(t.Context(), "a", "X")))
	require.Empty(t, values(t, s, "a", "X"))
	require.Empty(t, list(t, s, "a"))
	require.Equal(t, int64(1), put(t, s, "a", "X", "three").Version, "nothing of the old one is left")
}

func forget(t *testing.T, s secret.Store) {
	require.NoError(t, s.Forget(t.Context(), "a"))
	for _, name := range []string{"X", "Y", "Z"} {
		put(t, s, "a", name, "one")
	}
	put(t, s, "b", "X", "one")
	require.NoError(t, s.Forget(t.Context(), "a"))
	require.NoError(t, s.Forget(t.Context(), "a"))
	require.Len(t, list(t, s, "b"), 1)
}

func tooMany(t *testing.T, s secret.Store) {
	for i := range ci.MaxSecrets {
		put(t, s, "a", "S"+strings.Repeat("x", i%90)+string(rune('A'+i/90)), "v")
	}
	require.Len(t, list(t, s, "a"), ci.MaxSecrets)
	_, err := s.Put(t.Context(), ci.Secret{Job: "a", Name: "ONE_MORE"}, "v")
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	put(t, s, "a", "SA", "again")
}

func ended(t *testing.T, s secret.Store) {
	put(t, s, "a", "X", "one")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Put(ctx, ci.Secret{Job: "a", Name: "X"}, "hunter2")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
	_, err = s.Values(ctx, "a", []string{"X"})
	require.Error(t, err)
}
