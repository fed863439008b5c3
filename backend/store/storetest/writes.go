package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

func job(name string) *ci.Job { return &ci.Job{Name: name, Freestyle: []byte("{}")} }

func (k *kit) hasJob(name string) bool {
	k.t.Helper()
	_, err := k.GetJob(k.ctx, name)
	if ci.CodeOf(err) == ci.CodeNotFound {
		return false
	}
	require.NoError(k.t, err)
	return true
}

func writeErrors(t *testing.T, k *kit) {
	mine := errors.New("mine")
	put := func(tx *store.Tx, name string) { _, err := tx.PutJob(k.ctx, job(name), 0); require.NoError(t, err) }
	require.Same(t, mine, k.write(func(tx *store.Tx) error { put(tx, "a"); return mine }), "as it is")
	require.False(t, k.hasJob("a"))

	require.PanicsWithValue(t, "oh", func() {
		_ = k.write(func(tx *store.Tx) error { put(tx, "b"); panic("oh") })
	})
	require.False(t, k.hasJob("b"), "a panic goes to its caller, and leaves nothing")
	err := k.write(func(tx *store.Tx) error {
		put(tx, "c")
		_, err := tx.Exec(k.ctx, "this is no SQL")
		return err
	})
	requireCode(t, ci.CodeInternal, err)
	require.False(t, k.hasJob("c"))
	k.do(func(tx *store.Tx) error { put(tx, "d"); return nil })
	require.True(t, k.hasJob("d"), "and others go on")
}

// writeIsolation runs good and bad transactions together: each gets its own
// end, and what stands is exactly what succeeded.
func writeIsolation(t *testing.T, k *kit) {
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer func() { _ = recover() }()
			err := k.write(func(tx *store.Tx) error {
				if _, err := tx.PutJob(k.ctx, job(fmt.Sprint("job", i)), -1); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return ci.Errorf(ci.CodeInvalid, "number %d", i)
				case 2:
					panic(i)
				}
				return nil
			})
			switch i % 4 {
			case 1:
				if err == nil || err.Error() != fmt.Sprintf("number %d", i) {
					t.Errorf("%d got %v", i, err)
				}
			case 0, 3:
				if err != nil {
					t.Errorf("%d got %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range n {
		require.Equal(t, i%4 == 0 || i%4 == 3, k.hasJob(fmt.Sprint("job", i)), i)
	}
}

func writeContexts(t *testing.T, k *kit) {
	ended, end := context.WithCancel(k.ctx)
	end()
	err := k.Write(ended, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutJob(ctx, job("a"), 0)
		return err
	})
	require.ErrorIs(t, err, context.Canceled)

	// A context that ends in the middle rolls back.
	ctx, cancel := context.WithCancel(k.ctx)
	err = k.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.PutJob(ctx, job("b"), 0)
		require.NoError(t, err)
		cancel()
		_, err = tx.PutJob(ctx, job("c"), 0)
		return err
	})
	require.ErrorIs(t, err, context.Canceled)
	for _, name := range []string{"a", "b", "c"} {
		require.False(t, k.hasJob(name), name)
	}
	_, err = k.GetJob(ended, "a")
	require.ErrorIs(t, err, context.Canceled)
}

func writeNested(t *testing.T, k *kit) {
	err := k.Write(k.ctx, func(ctx context.Context, tx *store.Tx) error {
		return k.Write(ctx, func(context.Context, *store.Tx) error { return nil })
	})
	requireCode(t, ci.CodeInternal, err, "inside")
}

// unstorable has texts that ci.Validate refuses before: at worst an error.
func unstorable(t *testing.T, k *kit) {
	for _, text := range []string{"a\x00b", "\xff\xfe", "\xed\xa0\x80", "'; DROP TABLE runs; --", `\'`, "?", "$1", "%s"} {
		require.NotPanics(t, func() {
			_ = k.write(func(tx *store.Tx) error {
				return tx.InsertRun(k.ctx, &ci.Run{Job: text, Reason: text, Parameters: map[string]string{text: text}})
			})
			_, _ = k.ListRuns(k.ctx, ci.RunFilter{Job: text, BranchName: text, CommitSHA: text, Jobs: []string{text}}, 5)
			_, _ = k.GetJob(k.ctx, text)
			_, _ = k.Events(k.ctx, 0, 5, text, []string{text})
			_ = k.write(func(tx *store.Tx) error {
				_, err := tx.RenewRuns(k.ctx, text, []ci.Claim{{Run: 1, ID: text}}, at(1))
				return err
			})
		})
	}
	k.insert(ci.PhaseQueued)
}
