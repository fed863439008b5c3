package engine_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// A key that is withdrawn makes no run, one that has made a run says which, and
// those who meet at a key agree.
func TestWithdraw(t *testing.T) {
	w := setup(t)
	w.freestyle()
	keyed := hello
	keyed.IdempotencyKey = "made"
	r, _, err := w.Trigger(w.ctx, keyed)
	require.NoError(t, err)
	got, err := w.Withdraw(w.ctx, keyed.Job, "made")
	require.NoError(t, err)
	require.Equal(t, r.ID, got.ID)

	keyed.IdempotencyKey = "late"
	for range 2 {
		got, err = w.Withdraw(w.ctx, keyed.Job, "late")
		require.NoError(t, err)
		require.Nil(t, got)
		_, _, err = w.Trigger(w.ctx, keyed)
		require.Equal(t, ci.CodeConflict, code(err))
		require.ErrorContains(t, err, "was withdrawn")
	}
	for key, job := range map[string]string{"": keyed.Job, "a\x00b": keyed.Job, "k": "none"} {
		_, err = w.Withdraw(w.ctx, job, key)
		require.Contains(t, []ci.Code{ci.CodeInvalid, ci.CodeNotFound}, code(err), "%q", key)
	}

	for range 20 {
		keyed.IdempotencyKey += "+"
		var made, found *ci.Run
		var refused, failed error
		var both sync.WaitGroup
		both.Go(func() { made, _, refused = w.Trigger(w.ctx, keyed) })
		both.Go(func() { found, failed = w.Withdraw(w.ctx, keyed.Job, keyed.IdempotencyKey) })
		both.Wait()
		require.NoError(t, failed)
		if refused != nil {
			require.Equal(t, ci.CodeConflict, code(refused))
			require.Nil(t, found)
			continue
		}
		require.NotNil(t, found)
		require.Equal(t, made.ID, found.ID)
	}
}
