package sealed_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/secret"
	"ci/backend/secret/seal"
	"ci/backend/secret/sealed"
	"ci/backend/secret/secrettest"
	"ci/backend/store"
	"ci/pkg/ci"
)

// world is a database with the jobs a and b, and a key.
type world struct {
	db  *store.Store
	box *seal.Box
	dir string
	*sealed.Secrets
}

func open(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "ci.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	box, err := seal.OpenOrMake(filepath.Join(dir, "secret.key"))
	require.NoError(t, err)
	for _, name := range []string{"a", "b"} {
		require.NoError(t, db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.PutJob(ctx, &ci.Job{Name: name, Freestyle: []byte(`{"script":"true"}`)}, 0)
			return err
		}))
	}
	return &world{db, box, dir, sealed.New(db, box)}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	secrettest.Run(t, func(t *testing.T) secret.Store {
		w := open(t)
		t.Cleanup(func() { // the tests' jobs, as backend/rpc deletes them
			require.NoError(t, w.Forget(context.Background(), "a"))
		})
		return forgetful{w.Secrets, w.db}
	})
}

// forgetful deletes a job's secrets as deleting the job does.
type forgetful struct {
	*sealed.Secrets
	db *store.Store
}

func (f forgetful) Forget(ctx context.Context, job string) error {
	list, err := f.db.ListSecrets(ctx, job)
	for _, s := range list {
		if err == nil {
			err = f.Delete(ctx, job, s.Name)
		}
	}
	return err
}

func (w *world) put(t *testing.T, job, name, value string) {
	t.Helper()
	_, err := w.Put(t.Context(), ci.Secret{Job: job, Name: name, UpdatedBy: "me"}, value)
	require.NoError(t, err)
}

// A copy of the database opens nothing, and shows nothing.
func TestDatabaseHasNoPlainText(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.put(t, "a", "X", "canary-of-a-secret")
	_, err := sealed.NewRegistries(w.db, w.box).Put(t.Context(), ci.RegistryAccess{Host: "docker.io", Username: "u", Password: "canary-of-an-account"}, "me")
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(w.dir, "ci.db*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		require.False(t, bytes.Contains(b, []byte("canary")), f)
	}
}

// A ciphertext that somebody moves between rows does not open.
func TestSwappedCiphertexts(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.put(t, "a", "X", "of a")
	w.put(t, "b", "X", "of b")
	w.put(t, "b", "Y", "of b, too")
	swap := func(text string, args ...any) {
		require.NoError(t, w.db.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			n, err := tx.Exec(ctx, text, args...)
			require.NotZero(t, n)
			return err
		}))
	}
	swap("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE job = ? AND name = ?) WHERE job = ? AND name = ?", "a", "X", "b", "X")
	_, err := w.Values(t.Context(), "b", []string{"X"})
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	require.ErrorContains(t, err, `secret ["b" "X"]`)
	swap("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE job = ? AND name = ?) WHERE job = ? AND name = ?", "b", "Y", "a", "X")
	_, err = w.Values(t.Context(), "a", []string{"X"})
	require.ErrorContains(t, err, "does not open")
	got, err := w.Values(t.Context(), "b", []string{"Y"})
	require.NoError(t, err)
	require.Equal(t, "of b, too", got["Y"])
}

func TestWrongKey(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.put(t, "a", "X", "one")
	require.NoError(t, sealed.Check(t.Context(), w.db, w.box))
	other, err := seal.OpenOrMake(filepath.Join(w.dir, "other.key"))
	require.NoError(t, err)
	_, err = sealed.New(w.db, other).Values(t.Context(), "a", []string{"X"})
	require.Equal(t, ci.CodeConflict, ci.CodeOf(err))
	require.ErrorContains(t, err, "other.key does not hold")
	require.ErrorContains(t, sealed.Check(t.Context(), w.db, other), "other.key does not hold")
}

func TestRenew(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.put(t, "a", "X", "one")
	w.put(t, "b", "Y", "two")
	accounts := sealed.NewRegistries(w.db, w.box)
	_, err := accounts.Put(t.Context(), ci.RegistryAccess{Host: "docker.io", Username: "u", Password: "three"}, "me")
	require.NoError(t, err)

	_, err = seal.Add(w.box.Path())
	require.NoError(t, err)
	_, err = seal.Use(w.box.Path())
	require.NoError(t, err)
	renewed, all, err := sealed.Renew(t.Context(), w.db, w.box)
	require.NoError(t, err)
	require.Equal(t, []int{3, 3}, []int{renewed, all})
	renewed, _, err = sealed.Renew(t.Context(), w.db, w.box)
	require.NoError(t, err)
	require.Zero(t, renewed)

	_, err = seal.Forget(w.box.Path())
	require.NoError(t, err)
	got, err := w.Values(t.Context(), "a", []string{"X"})
	require.NoError(t, err)
	require.Equal(t, "one", got["X"])
	access, err := accounts.Access(t.Context())
	require.NoError(t, err)
	require.Equal(t, []ci.RegistryAccess{{Host: "docker.io", Username: "u", Password: "three"}}, access)
}
