package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd"
	"ci/backend"
	"ci/backend/engine"
	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
	"ci/pkg/ci"
)

// R10: Postgres is restarted, crashes, and ends connections under load. Who is
// told "yes" has it; who is told "not now" may ask again; nothing is there by halves.
func TestPostgresComesAndGoes(t *testing.T) {
	t.Parallel()
	const runs = 360
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	random := seeded(t)
	server := postgres.Start(t)
	database := server.Database(t)
	s := newSystemWith(t, backend.Config{Dir: t.TempDir(), Database: database}, nil)
	done := make(chan struct{})
	var ids sync.Map
	go func() {
		defer close(done)
		load(ctx, t, s, runs, &ids)
	}()
	name, err := url.Parse(database)
	require.NoError(t, err)
	blows := 0
	for busy := true; busy; {
		moment := time.NewTimer(time.Duration(random.Float64() * float64(700*time.Millisecond)))
		select {
		case <-done:
			busy = false
		case <-moment.C:
			if blows++; blows%2 == 0 && blows <= 12 {
				server.Restart(t, blows%4 == 0)
			} else {
				server.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+path.Base(name.Path)+"'")
			}
		}
		moment.Stop()
	}
	t.Logf("%d blows while %d runs went through", blows, runs)
	require.Greater(t, blows, 3)
	s.whole(ctx, t, &ids, runs)
}

// R11: the connection breaks while a transaction commits, before or after the
// server has done it: nobody can tell. What is repeated with its
// Idempotency-Key, or by its claim, is there once. Two agents share the runs,
// and now and then one hears nothing of its claim for so long that the other
// gets the message meanwhile (R3).
func TestCommitUnknown(t *testing.T) {
	t.Parallel()
	const runs = 120
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	random := seeded(t)
	server := postgres.Start(t)
	database, err := url.Parse(server.Database(t))
	require.NoError(t, err)
	var mu sync.Mutex // of random
	var on atomic.Bool
	var before, answer atomic.Int64
	proxy, err := rig.NewProxy("127.0.0.1", "unix", server.Socket(), func(data []byte) rig.Fate {
		// A message of PostgreSQL's protocol: 'Q', its length, the text with a final zero.
		if !on.Load() || !bytes.Contains(bytes.ToLower(data), []byte("\x0bcommit\x00")) {
			return rig.Pass
		}
		mu.Lock()
		defer mu.Unlock()
		switch random.IntN(12) {
		case 0:
			before.Add(1)
			return rig.CutBefore
		case 1:
			answer.Add(1)
			return rig.CutAnswer
		}
		return rig.Pass
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = proxy.Close() })
	database.Host, database.RawQuery = proxy.Addr, "sslmode=disable"
	var late *lateClaims
	s := newSystemWith(t, backend.Config{Dir: t.TempDir(), Database: database.String()}, func(b *backend.Backend, c *agentd.Config) {
		late = &lateClaims{Engine: b.Engine, lost: map[int64]time.Time{}}
		c.Uplink, c.CPUs = late, 2 // so few that one agent can't have them all
	})
	s.another(t, "other")
	on.Store(true)
	var ids sync.Map
	load(ctx, t, s, runs, &ids)
	on.Store(false)
	t.Logf("%d commits were cut off before, %d after they happened", before.Load(), answer.Load())
	require.NotZero(t, before.Load())
	require.NotZero(t, answer.Load())
	late.mu.Lock()
	t.Logf("the answers to the claims of %d runs came late", late.drops)
	require.NotZero(t, late.drops)
	late.mu.Unlock()
	for _, d := range s.drivers {
		made, _ := d.Counts()
		require.NotZero(t, made, "an agent had no runs")
	}
	s.whole(ctx, t, &ids, runs)
}

// lateClaims is an uplink that loses the answers to the claims of each tenth
// run for a while: for longer than an agent keeps the message, and than the
// message rests then.
type lateClaims struct {
	*engine.Engine
	mu    sync.Mutex
	lost  map[int64]time.Time // of each run, until when
	drops int
}

// Claim implements agentd.Uplink.
func (l *lateClaims) Claim(ctx context.Context, c ci.Claim) (*ci.Work, error) {
	work, err := l.Engine.Claim(ctx, c)
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.lost[c.Run]
	if !known {
		if len(l.lost)%10 == 2 {
			until = time.Now().Add(12 * time.Second)
			l.drops++
		}
		l.lost[c.Run] = until
	}
	if time.Now().Before(until) {
		return nil, errors.New("the answer is lost")
	}
	return work, err
}

// load triggers runs by several callers, each until it is acknowledged, and
// waits for their ends. ids maps what was answered to the key that it was asked with.
func load(ctx context.Context, t *testing.T, s *system, runs int, ids *sync.Map) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i := range runs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			key := fmt.Sprint("key-", i)
			run := triggered(ctx, t, s.backend.Engine, ci.Trigger{Job: "quick", IdempotencyKey: key})
			if run == nil {
				return
			}
			if other, twice := ids.LoadOrStore(run.ID, key); twice {
				t.Errorf("run %d was the answer to %s and to %s", run.ID, other, key)
			}
			err := rig.Poll(ctx, time.Minute, func() error {
				end, err := s.backend.Engine.Wait(ctx, "quick", run.ID, ci.UntilDone, time.Second)
				if err == nil && !end.Done() {
					err = fmt.Errorf("it is %s", end.Phase)
				}
				return err
			})
			if err != nil {
				t.Errorf("run %d: %v", run.ID, err)
			}
		})
	}
	wg.Wait()
}

// whole checks that the database has exactly the runs that were answered, each
// with one end, and that each was carried out once.
func (s *system) whole(ctx context.Context, t *testing.T, ids *sync.Map, runs int) {
	t.Helper()
	good := 0 // connections that were ended are noticed when they are used
	require.NoError(t, rig.Poll(ctx, time.Minute, func() error {
		for ; good < 50; good++ {
			if _, err := s.backend.Store.LastEvent(ctx); err != nil {
				good = 0
				return err
			}
		}
		return nil
	}))
	list, err := s.backend.Store.ListRuns(ctx, ci.RunFilter{}, 2*runs)
	require.NoError(t, err)
	require.Len(t, list, runs, "a run was recorded twice, or is missing")
	for _, r := range list {
		if _, known := ids.Load(r.ID); !known {
			t.Errorf("run %d was never answered", r.ID)
		}
		if r.Outcome != ci.OutcomeSucceeded {
			t.Errorf("run %d: %s: %s", r.ID, r.Outcome, r.Reason)
		}
	}
	total := 0
	for _, d := range s.drivers {
		made, _ := d.Counts()
		total += made
	}
	require.Equal(t, runs, total, "each run was carried out once")
	onceDone(ctx, t, s.backend.Store, runs)
	s.close(t)
}
