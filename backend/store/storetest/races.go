package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/pkg/ci"
)

// together runs all fns at the same moment and waits for them.
func together(fns ...func()) {
	var wg sync.WaitGroup
	gate := make(chan struct{})
	for _, fn := range fns {
		wg.Go(func() { <-gate; fn() })
	}
	close(gate)
	wg.Wait()
}

// raceFinish lets an agent's success, somebody's abort and the sweeper race for
// each of 500 runs: one wins, the others are told, and the end never changes.
func raceFinish(t *testing.T, k *kit) {
	const n = 500
	slots := make(chan struct{}, 32)
	var wg sync.WaitGroup
	for range n {
		r := k.insert(ci.PhaseRunning)
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			raceOneRun(t, k, r)
		})
	}
	wg.Wait()
}

func raceOneRun(t *testing.T, k *kit, r *ci.Run) {
	claim := claimOf(r)
	var won atomic.Int32
	var winner atomic.Value
	finishAs := func(c *ci.Claim, o ci.Outcome) func() {
		return func() {
			err := k.write(func(tx *store.Tx) error {
				_, err := tx.FinishRun(k.ctx, r.ID, c, nil, ci.End{Outcome: o, Reason: string(o)}, at(50))
				return err
			})
			switch ci.CodeOf(err) {
			case "":
				won.Add(1)
				winner.Store(o)
			case ci.CodeConflict:
			default:
				t.Error(err)
			}
		}
	}
	var requested atomic.Bool
	request := func() {
		err := k.write(func(tx *store.Tx) error { _, err := tx.RequestAbort(k.ctx, "", r.ID, at(40)); return err })
		requested.Store(err == nil)
		if err != nil && ci.CodeOf(err) != ci.CodeConflict {
			t.Error(err)
		}
	}
	together(finishAs(&claim, ci.OutcomeSucceeded), request, finishAs(&claim, ci.OutcomeAborted), finishAs(nil, ci.OutcomeLost))
	got, err := k.GetRun(k.ctx, "", r.ID)
	if err != nil {
		t.Error(err)
		return
	}
	if won.Load() != 1 || !got.Done() || got.Outcome != winner.Load() || got.Reason != string(got.Outcome) || requested.Load() == got.AbortRequestedAt.IsZero() {
		t.Errorf("run %d: %d winners, %+v", r.ID, won.Load(), got)
	}
}

// raceOneClaim has one claim take many runs at the same time: it gets one.
func raceOneClaim(t *testing.T, k *kit) {
	var won atomic.Int32
	var takers []func()
	for range 8 {
		r := k.insert(ci.PhaseQueued)
		takers = append(takers, func() {
			err := k.write(func(tx *store.Tx) error {
				_, err := tx.ClaimRun(k.ctx, ci.Claim{Run: r.ID, Agent: "agent", ID: "claim"}, at(60), at(600), at(3))
				return err
			})
			switch ci.CodeOf(err) {
			case "":
				won.Add(1)
			case ci.CodeConflict:
			default:
				t.Error(err)
			}
		})
	}
	together(takers...)
	require.EqualValues(t, 1, won.Load())
}

func raceClaim(t *testing.T, k *kit) {
	for range 50 {
		r := k.insert(ci.PhaseQueued)
		var winners atomic.Int32
		var fns []func()
		for i := range 4 {
			c := ci.Claim{Run: r.ID, Agent: fmt.Sprint("agent", i), ID: fmt.Sprint("claim", r.ID, i)}
			fns = append(fns, func() {
				err := k.write(func(tx *store.Tx) error {
					got, err := tx.ClaimRun(k.ctx, c, at(60), at(600), at(3))
					if err == nil && got.Claim != c.ID {
						t.Errorf("got another's claim")
					}
					return err
				})
				if err == nil {
					winners.Add(1)
				} else if ci.CodeOf(err) != ci.CodeConflict {
					t.Error(err)
				}
			})
		}
		together(fns...)
		require.Equal(t, int32(1), winners.Load())
	}
}

// raceKey triggers with one key from many sides: one run is made.
func raceKey(t *testing.T, k *kit) {
	for i := range 30 {
		key, job := fmt.Sprint("key", i), fmt.Sprint("job", i)
		var winners atomic.Int64
		fns := make([]func(), 5)
		for j := range fns {
			fns[j] = func() {
				r := &ci.Run{Job: job, Status: ci.StatusInProgress, Phase: ci.PhasePlanning}
				err := k.write(func(tx *store.Tx) error {
					if err := tx.InsertRun(k.ctx, r); err != nil {
						return err
					}
					return tx.Idempotent(k.ctx, job, key, "hash", r.ID, at(1))
				})
				if err == nil {
					winners.Add(r.ID << 8)
					winners.Add(1)
				} else if ci.CodeOf(err) != ci.CodeConflict {
					t.Error(err)
				}
			}
		}
		together(fns...)
		require.Equal(t, int64(1), winners.Load()&0xff)
		run, _, found, err := k.FindIdempotent(k.ctx, job, key, at(0))
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, winners.Load()>>8, run)
		list, err := k.ListRuns(k.ctx, ci.RunFilter{Job: job}, 9)
		require.NoError(t, err)
		require.Equal(t, []int64{run}, ids(list), "the losers' runs are rolled back")
	}
}

// raceConsole appends to one console from two sides: no byte twice, no gap.
func raceConsole(t *testing.T, k *kit) {
	run := k.insert(ci.PhaseRunning).ID
	for i := range 50 {
		var winners atomic.Int32
		add := func(length int64) func() {
			return func() {
				err := k.AddChunk(k.ctx, ci.Chunk{Run: run, Offset: int64(i) * 10, Length: length})
				if err == nil {
					winners.Add(1)
				} else if ci.CodeOf(err) != ci.CodeConflict {
					t.Error(err)
				}
			}
		}
		together(add(10), add(10), add(10))
		require.Equal(t, int32(1), winners.Load())
	}
	list, err := k.Chunks(k.ctx, run, 0, 1000)
	require.NoError(t, err)
	require.Len(t, list, 50)
}

func raceLease(t *testing.T, k *kit) {
	for i := range 30 {
		var winners atomic.Int32
		fns := make([]func(), 4)
		for j := range fns {
			fns[j] = func() {
				err := k.write(func(tx *store.Tx) error {
					mine, err := tx.TakeLease(k.ctx, "loop", fmt.Sprint("holder", i, j), at(10*i+10), at(10*i))
					if mine {
						winners.Add(1)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		}
		together(fns...)
		require.Equal(t, int32(1), winners.Load())
	}
}

// raceSeal ends runs while their agents print and store results: what an agent was
// told is stored is counted in the end, and nothing is stored behind it.
func raceSeal(t *testing.T, k *kit) {
	for range 60 {
		r := k.insert(ci.PhaseRunning)
		c := claimOf(r)
		var going sync.WaitGroup
		going.Add(2)
		// storing adds one thing after the other until the claim holds no more.
		storing := func(stored *int64, add func(tx *store.Tx, n int64) error) func() {
			return func() {
				for ; ; *stored++ {
					err := k.write(func(tx *store.Tx) error {
						if err := tx.HoldRun(k.ctx, c); err != nil {
							return err
						}
						return add(tx, *stored)
					})
					if *stored == 1 {
						going.Done()
					}
					if err != nil {
						if ci.CodeOf(err) != ci.CodeConflict {
							t.Error(err)
						}
						return
					}
				}
			}
		}
		var printed, saved int64
		together(
			storing(&printed, func(tx *store.Tx, n int64) error {
				return tx.AddChunk(k.ctx, ci.Chunk{Run: r.ID, Offset: n, Length: 1, Data: []byte("x"), At: at(3)})
			}),
			storing(&saved, func(tx *store.Tx, n int64) error {
				return tx.PutResult(k.ctx, ci.Result{Run: r.ID, Name: fmt.Sprint("r", n), Size: 1, CreatedAt: at(3)})
			}),
			func() {
				going.Wait()
				if err := k.write(func(tx *store.Tx) error { return endAsStored(k, tx, c) }); err != nil {
					t.Error(err)
				}
			},
		)
		got, err := k.GetRun(k.ctx, "", r.ID)
		require.NoError(t, err)
		require.Equal(t, printed, got.Console.Bytes)
		stored, err := k.Oldest(k.ctx, ci.KeptResults, "", store.Mark{Run: r.ID - 1, Done: at(9)}, 1, at(9))
		require.NoError(t, err)
		require.Equal(t, r.ID, stored[0].Run)
		require.Equal(t, saved, stored[0].Bytes, "what its results have")
	}
}

// endAsStored ends a run with as much output as is stored.
func endAsStored(k *kit, tx *store.Tx, c ci.Claim) error {
	if err := tx.LockRun(k.ctx, c.Run); err != nil {
		return err
	}
	end, err := tx.ConsoleEnd(k.ctx, c.Run)
	if err != nil {
		return err
	}
	_, err = tx.FinishRun(k.ctx, c.Run, &c, nil, ci.End{Outcome: ci.OutcomeLost, Console: ci.Console{Bytes: end}}, at(9))
	return err
}
