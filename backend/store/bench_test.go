package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store"
	"ci/backend/store/storetest"
	"ci/backend/store/storetest/postgres"
	"ci/pkg/ci"
)

// engines runs a benchmark on each engine.
func engines(b *testing.B, fn func(b *testing.B, s *store.Store)) {
	b.Run("sqlite", func(b *testing.B) { fn(b, open(b, file(b))) })
	b.Run("postgres", func(b *testing.B) { fn(b, open(b, postgres.Start(b).Database(b))) })
}

// spread runs fn b.N times from that many callers and reports how many a second.
func spread(b *testing.B, callers int, fn func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	before := cpu()
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "/s")
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpu is the time that this process has had a core: unlike the clock's, it
// hardly depends on what else the machine does.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// newRun is what the engine inserts for a trigger.
func newRun(s *store.Store, i int64) *ci.Run {
	return &ci.Run{
		Job: storetest.SeedMainJob, JobVersion: 1, Status: ci.StatusInProgress, Phase: ci.PhaseQueued,
		BranchName: "main", Parameters: map[string]string{"TARGET": "all"}, Priority: ci.PriorityNormal, TriggeredBy: "bench", Class: "small",
		Git:   &ci.Git{URL: "https://git.example/team/project.git", ConfigPath: "ci/test.yaml"},
		Spec:  &ci.Spec{Script: "make test", Environment: ci.Environment{Image: "golang:1.26", Workdir: "/workspace"}},
		Times: ci.Times{Triggered: s.Now(), Queued: s.Now()},
	}
}

// BenchmarkInsert is InsertRun and AddEvent in one transaction.
func BenchmarkInsert(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			engines(b, func(b *testing.B, s *store.Store) {
				spread(b, callers, func(i int64) error {
					r := newRun(s, i)
					return s.Write(b.Context(), func(ctx context.Context, tx *store.Tx) error {
						if err := tx.InsertRun(ctx, r); err != nil {
							return err
						}
						return tx.AddEvent(ctx, &ci.Event{Type: ci.EventRunTriggered, Run: r.ID, Job: r.Job, At: r.Times.Triggered})
					})
				})
			})
		})
	}
}

// BenchmarkRead is GetRun and the lists of 50, with few runs and with many.
func BenchmarkRead(b *testing.B) {
	sizes := []int{1_000, 1_000_000}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			engines(b, func(b *testing.B, s *store.Store) {
				require.NoError(b, storetest.Seed(b.Context(), s, n))
				reads(b, s, n)
			})
		})
	}
}

func reads(b *testing.B, s *store.Store, n int) {
	b.Run("get", func(b *testing.B) {
		spread(b, 16, func(i int64) error {
			_, err := s.GetRun(b.Context(), "", 1+i*7919%int64(n))
			return err
		})
	})
	old, err := s.ListRuns(b.Context(), ci.RunFilter{Before: int64(n / 2)}, 1)
	require.NoError(b, err)
	require.Len(b, old, 1)
	job := storetest.SeedMainJob
	for _, c := range []struct {
		name string
		f    ci.RunFilter
	}{
		{"plain", ci.RunFilter{}},
		{"before", ci.RunFilter{Before: int64(n / 2)}},
		{"job", ci.RunFilter{Job: job}},
		{"rare job", ci.RunFilter{Job: storetest.SeedRareJob}},
		{"job+branch", ci.RunFilter{Job: job, BranchName: "main"}},
		{"job+commit", ci.RunFilter{Job: old[0].Job, CommitSHA: old[0].CommitSHA}},
		{"job+outcome", ci.RunFilter{Job: job, Outcome: ci.OutcomeSucceeded}},
		{"outcome", ci.RunFilter{Outcome: ci.OutcomeLost}},
		{"in progress", ci.RunFilter{Status: ci.StatusInProgress}},
		{"done", ci.RunFilter{Status: ci.StatusDone}},
		{"since", ci.RunFilter{Since: old[0].Times.Triggered}},
		{"jobs", ci.RunFilter{Jobs: []string{job, storetest.SeedRareJob, "none"}}},
	} {
		b.Run("list "+c.name, func(b *testing.B) {
			spread(b, 16, func(int64) error {
				_, err := s.ListRuns(b.Context(), c.f, 50)
				return err
			})
		})
	}
}
