package chaos

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/e2e/rig"
)

// recordingScript tells the recorder that this run has begun, lives for a
// moment, and tells that it ends.
const recordingScript = `
git ls-remote "$RECORDER/begun/$CI_RUN_ID" 2>/dev/null || true
sleep 0.5
git ls-remote "$RECORDER/ended/$CI_RUN_ID" 2>/dev/null || true
`

const (
	killedRuns = 200
	// kills is how often cid is killed on the way.
	kills = 12
)

// TestKill triggers 200 runs and kills cid again and again, at random moments,
// while it records, queues and carries them out. Every run that was
// acknowledged is there, has one end, and was begun at most once.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	random := seeded(t)
	k := newKilled(ctx, t)
	job := map[string]any{
		"freestyle":  map[string]any{"script": recordingScript},
		"parameters": []map[string]any{{"name": "RECORDER", "default": k.recorder.URL}},
	}
	require.NoError(t, k.cid.Client().Call(ctx, "PUT", "/jobs/record", job, nil))

	client, done := k.cid.Client(), make(chan struct{})
	var ids map[int64]bool
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		ids = triggerAll(ctx, t, client)
		for id := range ids {
			awaitDone(ctx, t, client, id)
		}
	})
	k.killing(ctx, t, random, done)
	wg.Wait()
	require.False(t, t.Failed())
	require.Len(t, ids, killedRuns, "two triggers got the same run")
	k.check(ctx, t, ids)
}

// killed is a cid that is about to die many times.
type killed struct {
	cid      *rig.Cid
	recorder *rig.Recorder
}

func newKilled(ctx context.Context, t *testing.T) *killed {
	t.Helper()
	bin, err := rig.Build(ctx, t.TempDir())
	require.NoError(t, err)
	recorder, err := rig.NewRecorder()
	require.NoError(t, err)
	t.Cleanup(func() { _ = recorder.Close() })
	dir, err := os.MkdirTemp("", "chaos-kill-") // kept when the test fails
	require.NoError(t, err)
	cid, err := rig.NewCid(bin, dir, os.Environ(), "--agent-reach", recorder.Port)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := cid.End(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the data are left in %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	require.NoError(t, cid.Start(ctx))
	return &killed{cid, recorder}
}

// killing kills and starts cid. Each life ends a random time after the first
// sign of life of a run in it.
func (k *killed) killing(ctx context.Context, t *testing.T, random *rand.Rand, done <-chan struct{}) {
	for life := range kills {
		before := len(k.recorder.Words())
		wait := time.Duration(random.Float64() * float64(6*time.Second))
		if life%3 == 2 { // now and then before any run can begin: while it starts, sweeps, prepares
			wait /= 4
		} else if err := rig.Poll(ctx, 2*time.Minute, func() error {
			select {
			case <-done:
				return nil
			default:
			}
			if len(k.recorder.Words()) == before {
				return fmt.Errorf("no run has begun in this life")
			}
			return nil
		}); err != nil {
			t.Errorf("life %d: %v", life, err)
			return
		}
		moment := time.NewTimer(wait)
		select {
		case <-moment.C:
		case <-done:
			moment.Stop()
			t.Logf("all runs were done after %d kills", life)
			return
		}
		if err := k.cid.Kill(); err != nil {
			t.Error(err)
			return
		}
		if err := k.cid.Start(ctx); err != nil {
			t.Error(err)
			return
		}
	}
}

// triggerAll triggers every run until it is acknowledged; its key keeps it single.
func triggerAll(ctx context.Context, t *testing.T, c *rig.Client) map[int64]bool {
	ids := map[int64]bool{}
	for i := range killedRuns {
		err := rig.Poll(ctx, 2*time.Minute, func() error {
			a, err := c.Do(ctx, "POST", "/jobs/record/runs", []byte("{}"), fmt.Sprintf("Idempotency-Key: run-%d", i))
			if err != nil {
				return err
			}
			if a.Status != 201 {
				return fmt.Errorf("%d: %s", a.Status, a.Body)
			}
			var id int64
			_, err = fmt.Sscanf(string(a.Body), `{"id":%d`, &id)
			ids[id] = true
			return err
		})
		if err != nil {
			t.Errorf("trigger %d: %v", i, err)
			return ids
		}
	}
	return ids
}

func awaitDone(ctx context.Context, t *testing.T, c *rig.Client, id int64) {
	err := rig.Poll(ctx, 10*time.Minute, func() error {
		r, err := c.Wait(ctx, "record", id, 20*time.Second)
		if err == nil && r.Status != "done" {
			err = fmt.Errorf("still %s", r.Phase)
		}
		return err
	})
	if err != nil {
		t.Errorf("run %d: %v", id, err)
	}
}

// check compares what the database says with what the jobs themselves told.
func (k *killed) check(ctx context.Context, t *testing.T, ids map[int64]bool) {
	t.Helper()
	said := map[string]int{}
	for _, word := range k.recorder.Words() {
		said[word]++
	}
	outcomes := map[string]int{}
	client := k.cid.Client()
	for id := range ids {
		r, err := client.Get(ctx, "record", id)
		require.NoError(t, err)
		n, ended := said[fmt.Sprintf("begun/%d", id)], said[fmt.Sprintf("ended/%d", id)]
		kind := r.Outcome
		if r.Outcome == "lost" && !r.ScriptStarted {
			kind += " before its script began"
		}
		outcomes[kind]++
		switch {
		case r.Outcome != "succeeded" && r.Outcome != "lost":
			t.Errorf("run %d: %s: %s", id, r.Outcome, r.Reason)
		case r.Outcome == "succeeded" && (n != 1 || ended != 1):
			t.Errorf("run %d succeeded, and began %d times, and ended %d times", id, n, ended)
		case n > 1 || ended > n:
			t.Errorf("run %d (%s) began %d times, and ended %d times", id, r.Outcome, n, ended)
		case n == 1 && !r.ScriptStarted:
			t.Errorf("run %d says that no script had begun (%s), and it had", id, r.Reason)
		}
	}
	t.Logf("%v", outcomes)
	require.NoError(t, k.cid.Stop(2*time.Minute))
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(k.cid.Data, "ci.db"), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer db.Close()
	onceDone(ctx, t, db, killedRuns)
}
