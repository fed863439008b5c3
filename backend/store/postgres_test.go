package store_test

import (
	"context"
	neturl "net/url"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/backend/store/storetest/postgres"
	"ci/pkg/ci"
)

// connectionsCut ends all of the server's connections again and again under
// load: callers get a sentence, and what was answered is there.
func connectionsCut(t *testing.T, server *postgres.Server) {
	url := server.Database(t)
	name, err := neturl.Parse(url)
	require.NoError(t, err)
	s := open(t, url)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var answered []int64
	failed := 0
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				id, err := insert(t.Context(), s)
				mu.Lock()
				switch ci.CodeOf(err) {
				case "":
					answered = append(answered, id)
				case ci.CodeUnavailable:
					failed++
				default:
					t.Errorf("%v: %v", err, ci.CodeOf(err))
				}
				mu.Unlock()
			}
		})
	}
	for range 20 {
		server.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+path.Base(name.Path)+"'")
	}
	stop()
	wg.Wait()
	t.Logf("%d answered, %d failed", len(answered), failed)
	require.NotEmpty(t, answered)
	for _, id := range answered {
		var err error
		require.Eventually(t, func() bool { // connections of the pool may be dead without knowing it yet
			_, err = s.GetRun(t.Context(), "", id)
			return ci.CodeOf(err) != ci.CodeUnavailable
		}, time.Minute, time.Millisecond)
		require.NoError(t, err)
	}
}

// restoredElsewhere opens a database whose events were numbered by a server
// that had seen more transactions: new events follow them.
func restoredElsewhere(t *testing.T, server *postgres.Server) {
	url := server.Database(t)
	const before = int64(5_000_000_000) * 4096
	require.NoError(t, open(t, url).Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO events (seq, type, run, job, phase, outcome, at) VALUES (?, 'run.done', 1, 'x', '', '', 1)", before)
		return err
	}))
	s := open(t, url)
	last, err := s.LastEvent(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, last)
	_, err = insert(t.Context(), s)
	require.NoError(t, err)
	eventsBehind(t, s, before, 1)
	open(t, url) // the base stays as it is
	_, err = insert(t.Context(), s)
	require.NoError(t, err)
	list := eventsBehind(t, s, before, 2)
	require.Less(t, list[1].Seq-list[0].Seq, int64(1_000_000)*4096)
}

// eventsBehind polls until there are n: other tests' transactions hold them back.
func eventsBehind(t *testing.T, s *store.Store, after int64, n int) (list []ci.Event) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		list, err = s.Events(t.Context(), after, 9, "", nil)
		return err == nil && len(list) == n
	}, time.Minute, 2*time.Millisecond)
	return list
}

// deadlock has two transactions that lock two runs in opposite order: the
// server ends one, which is then tried again.
func deadlock(t *testing.T, server *postgres.Server) {
	s := open(t, server.Database(t))
	a, err := insert(t.Context(), s)
	require.NoError(t, err)
	b, err := insert(t.Context(), s)
	require.NoError(t, err)
	var both sync.WaitGroup
	both.Add(2)
	lock := func(first, second int64) func() {
		return func() {
			met := false
			err := s.Write(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				if _, err := tx.RequestAbort(ctx, "", first, s.Now()); err != nil {
					return err
				}
				if !met {
					met = true
					both.Done()
					both.Wait()
				}
				_, err := tx.RequestAbort(ctx, "", second, s.Now())
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(lock(a, b))
	wg.Go(lock(b, a))
	wg.Wait()
}
