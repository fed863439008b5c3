package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// What has gathered, as after a long stop, is forgotten a page at a time: what one
// transaction has removed stays removed, and none is longer the more there is.
func TestMuchIsForgottenInPages(t *testing.T) {
	w := setup(t)
	w.freestyle()
	const rows, page = 4500, 2000
	old := w.db.Now().Add(-30 * 24 * time.Hour)
	for part := range 3 { // one transaction has no room for so many events
		require.NoError(t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error {
			for i := part * rows / 3; i < (part+1)*rows/3; i++ {
				at := old.Add(time.Duration(i) * time.Microsecond)
				if err := tx.AddEvent(ctx, &ci.Event{Type: ci.EventRunQueued, Run: 1, Job: hello.Job, Phase: ci.PhaseQueued, At: at}); err != nil {
					return err
				}
				if err := tx.Idempotent(ctx, hello.Job, fmt.Sprint(i), "", 1, at); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	keys := func() bool {
		_, _, first, err := w.db.FindIdempotent(w.ctx, hello.Job, "0", old)
		require.NoError(t, err)
		_, _, last, err := w.db.FindIdempotent(w.ctx, hello.Job, fmt.Sprint(rows-1), old)
		require.NoError(t, err)
		return first || last
	}
	require.True(t, keys())
	var mu sync.Mutex
	left := []int{rows}
	w.db.SetFault(func(committed bool) error {
		mu.Lock()
		defer mu.Unlock()
		if committed && left[len(left)-1] > 0 {
			if events, err := w.db.Events(w.ctx, 0, rows, "", nil); err == nil {
				left = append(left, len(events))
			}
		}
		return nil
	})
	w.loops()
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return left[len(left)-1] == 0 && !keys()
	}, time.Minute, 10*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	for i := range left[1:] {
		require.LessOrEqual(t, left[i]-left[i+1], page, "in one transaction")
	}
}

// Every sign-in leaves a token, so those are forgotten some days after their end.
func TestBriefTokensAreForgotten(t *testing.T) {
	w := setup(t)
	now := w.db.Now()
	put := func(id string, ended time.Duration) {
		end := now.Add(-ended)
		require.NoError(t, w.db.PutToken(w.ctx, &ci.Token{ID: id, Name: id, Role: ci.RoleRead, CreatedAt: end.Add(-12 * time.Hour), ExpiresAt: end}))
	}
	const day = 24 * time.Hour
	put("1", 30*day)
	put("2", 8*day)
	put("3", 6*day)
	w.loops()
	require.Eventually(t, func() bool {
		_, err := w.db.GetToken(w.ctx, "2")
		return code(err) == ci.CodeNotFound
	}, time.Minute, 10*time.Millisecond)
	for _, id := range []string{"1", "3"} {
		_, err := w.db.GetToken(w.ctx, id)
		require.NoError(t, err, "the first of a role, and one that has ended not long ago")
	}
}
