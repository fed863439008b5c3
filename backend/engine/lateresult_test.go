package engine_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

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

// The row that names the bytes, and the run's end, may be in a commit that is not done
// when another call for the same bytes hears of the end. The bytes stay.
func TestLateResultOfARowThatNoReaderSees(t *testing.T) {
	w, b := setupBlobs(t)
	for range 5 { // who comes too late to share the commit proves nothing
		c := w.held("a", []byte("x"))
		uploaded, ends, answered := make(chan struct{}), make(chan struct{}), make(chan struct{})
		b.put = func(string) { close(uploaded); <-ends }
		var others sync.WaitGroup
		others.Go(func() {
			defer close(answered)
			_, err := w.PutResult(w.ctx, c, ci.Result{Name: "r"}, strings.NewReader("same"))
			if code(err) != ci.CodeConflict {
				t.Errorf("the late call: %v", err)
			}
		})
		<-uploaded
		now := w.db.Now()
		require.NoError(t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.PutResult(ctx, ci.Result{Run: c.Run, Name: "r", Size: 4, CreatedAt: now}); err != nil {
				return err
			}
			if _, err := tx.FinishRun(ctx, c.Run, &c, nil, ci.End{Outcome: ci.OutcomeError}, now); err != nil {
				return err
			}
			close(ends)
			time.Sleep(4 * time.Millisecond) // until the late call is next in the line
			others.Go(func() {               // and then one that keeps the commit open
				_ = w.db.Write(w.ctx, func(context.Context, *store.Tx) error {
					select {
					case <-answered:
					case <-time.After(100 * time.Millisecond):
					}
					return nil
				})
			})
			time.Sleep(4 * time.Millisecond)
			return nil
		}))
		others.Wait()
		body, err := w.Blobs.Get(w.ctx, engine.ResultKey(c.Run, "r"), 0, -1)
		require.NoError(t, err)
		require.NoError(t, body.Close())
	}
}
