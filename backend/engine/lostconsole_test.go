package engine_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/blob"
	"ci/backend/engine"
	"ci/backend/store"
	"ci/pkg/ci"
)

// blobs is an object store whose reads of pieces of consoles a test decides on.
type blobs struct {
	blob.Store
	get func(ctx context.Context, key string) error
	put func(key string)
}

func (b *blobs) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if b.get != nil {
		if err := b.get(ctx, key); err != nil {
			return nil, err
		}
	}
	return b.Store.Get(ctx, key, offset, length)
}

// Put tells the test when the object is there.
func (b *blobs) Put(ctx context.Context, key string, r io.Reader) (blob.Info, error) {
	info, err := b.Store.Put(ctx, key, r)
	if b.put != nil {
		b.put(key)
	}
	return info, err
}

// setupBlobs is setup with such a store.
func setupBlobs(t *testing.T, change ...func(*engine.Config)) (*world, *blobs) {
	b := &blobs{}
	w := setup(t, append(change, func(c *engine.Config) { b.Store, c.Blobs = c.Blobs, b })...)
	w.freestyle()
	return w, b
}

// large is output that does not fit the index: its piece is an object.
func large() []byte {
	data := make([]byte, 64<<10)
	_, _ = rand.Read(data)
	return data
}

// held is a run of an agent that has printed, and whose lease is over.
func (w *world) held(agent string, output []byte) ci.Claim {
	w.t.Helper()
	c, _ := w.claim(w.trigger(hello).ID, agent)
	_, err := w.AppendConsole(w.ctx, c, 0, output)
	require.NoError(w.t, err)
	return c
}

// unplanned is a run that nobody but the sweeper can know of.
func (w *world) unplanned() int64 {
	r := &ci.Run{
		Job: "unit", JobVersion: 1, Git: &ci.Git{URL: "https://git.test/x.git", ConfigPath: "ci/unit.yaml"}, BranchName: "main",
		Status: ci.StatusInProgress, Phase: ci.PhasePlanning, Priority: ci.PriorityNormal, Times: ci.Times{Triggered: w.db.Now()},
	}
	require.NoError(w.t, w.db.Write(w.ctx, func(ctx context.Context, tx *store.Tx) error { return tx.InsertRun(ctx, r) }))
	return r.ID
}

// A run whose agent is gone ends, whatever has become of what it printed.
func TestLostThoughItsConsoleCannotBeRead(t *testing.T) {
	for name, get := range map[string]func(context.Context, string) error{
		"a piece is gone":             func(context.Context, string) error { return ci.Errorf(ci.CodeNotFound, "there is no such object") },
		"the object store is away":    func(context.Context, string) error { return ci.Errorf(ci.CodeUnavailable, "it is away") },
		"the object store never says": func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			w, b := setupBlobs(t, func(c *engine.Config) { c.Lease, c.CountFor = time.Millisecond, 200*time.Millisecond })
			var runs []ci.Claim
			for range 40 { // one after the other, they would wait for eight seconds
				runs = append(runs, w.held("a", large()))
			}
			small := w.held("a", []byte("in the index"))
			w.git()
			var planned atomic.Int64
			var once sync.Once
			b.get = func(ctx context.Context, key string) error {
				once.Do(func() { planned.Store(w.unplanned()) })
				return get(ctx, key)
			}
			began := time.Now()
			w.loops()
			for _, c := range runs {
				lost := w.wait(c.Run, ci.UntilDone)
				require.Equal(t, ci.OutcomeLost, lost.Outcome)
				require.Equal(t, ci.Console{Bytes: 64 << 10}, lost.Console, "all bytes, and no hash")
			}
			w.wait(small.Run, ci.UntilDone)
			require.Less(t, time.Since(began), 30*time.Second)
			require.Equal(t, ci.PhaseQueued, w.wait(planned.Load(), ci.UntilPlanned).Phase, "the sweeper does its other work")
		})
	}
}

// An agent that restarts finds its runs ended although the object store hangs.
func TestDisownThoughItsConsoleCannotBeRead(t *testing.T) {
	w, b := setupBlobs(t, func(c *engine.Config) { c.CountFor = 100 * time.Millisecond })
	b.get = func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
	c := w.held("a", large())
	require.NoError(t, w.Disown(w.ctx, "a"))
	require.Equal(t, ci.OutcomeLost, w.wait(c.Run, ci.UntilDone).Outcome)
}

// A frozen agent wakes while its run is lost: whatever it was told is stored is in the seal.
func TestSealHoldsWhatWasStoredMeanwhile(t *testing.T) {
	for name, times := range map[string]int32{"once": 1, "as often as it is looked": math.MaxInt32} {
		t.Run(name, func(t *testing.T) {
			w, b := setupBlobs(t, func(c *engine.Config) { c.Lease, c.CountFor = time.Millisecond, time.Second })
			c := w.held("a", large())
			written := bytes.NewBuffer(nil)
			body, err := w.Console().Reader(w.ctx, c.Run, 0, -1)
			require.NoError(t, err)
			_, err = written.ReadFrom(body)
			require.NoError(t, err)
			var looks atomic.Int32
			b.get = func(ctx context.Context, _ string) error {
				if looks.Add(1) <= times {
					more := large()
					if next, err := w.AppendConsole(ctx, c, int64(written.Len()), more); err == nil {
						written.Write(more)
						require.EqualValues(t, written.Len(), next)
					}
				}
				return nil
			}
			ctx, cancel := context.WithCancel(w.ctx)
			done := make(chan error, 1)
			go func() { done <- w.Run(ctx) }()
			lost := w.wait(c.Run, ci.UntilDone)
			cancel()
			require.NoError(t, <-done)
			require.Equal(t, ci.OutcomeLost, lost.Outcome)
			require.EqualValues(t, written.Len(), lost.Console.Bytes)
			if times == 1 {
				require.Equal(t, sum(written.String()), lost.Console.SHA256)
			} else {
				require.Empty(t, lost.Console.SHA256, "nobody could keep up")
			}
		})
	}
}
