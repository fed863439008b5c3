package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

// What is uploaded of a result whose run ends meanwhile is nobody's, and goes.
func TestLateResultIsRemoved(t *testing.T) {
	w, b := setupBlobs(t)
	c := w.held("a", []byte("x"))
	b.put = func(string) { require.NoError(t, w.Disown(w.ctx, "a")) }
	_, err := w.PutResult(w.ctx, c, ci.Result{Name: "late"}, strings.NewReader("late"))
	require.Equal(t, ci.CodeConflict, code(err))
	_, err = w.Blobs.Get(w.ctx, engine.ResultKey(c.Run, "late"), 0, -1)
	require.Equal(t, ci.CodeNotFound, code(err))
}

// The same when the run is removed, and not while the row that names the bytes stands.
func TestLateResultOfARow(t *testing.T) {
	w, b := setupBlobs(t)
	c := w.held("a", []byte("x"))
	_, err := w.PutResult(w.ctx, c, ci.Result{Name: "r"}, strings.NewReader("same"))
	require.NoError(t, err)
	b.put = func(string) { require.NoError(t, w.Disown(w.ctx, "a")) }
	_, err = w.PutResult(w.ctx, c, ci.Result{Name: "r"}, strings.NewReader("same")) // the first one's answer was lost
	require.Equal(t, ci.CodeConflict, code(err))
	body, err := w.Blobs.Get(w.ctx, engine.ResultKey(c.Run, "r"), 0, -1)
	require.NoError(t, err)
	require.NoError(t, body.Close())

	gone := w.held("b", []byte("x"))
	b.put = func(string) {
		require.NoError(t, w.Disown(w.ctx, "b"))
		require.NoError(t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteRun(ctx, gone.Run) }))
	}
	_, err = w.PutResult(w.ctx, gone, ci.Result{Name: "late"}, strings.NewReader("late"))
	require.Error(t, err)
	_, err = w.Blobs.Get(w.ctx, engine.ResultKey(gone.Run, "late"), 0, -1)
	require.Equal(t, ci.CodeNotFound, code(err))
}
