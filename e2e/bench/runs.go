package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/e2e/rig"
)

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }

// warm starts a cid with an agent, and lets one run make what all share.
func (b *bench) warm(ctx context.Context, script string, args ...string) (*server, *engine, error) {
	agent := "bench-" + rig.Random()
	s, err := b.start(ctx, "", append(args, "--agent-id", agent)...)
	if err != nil {
		return nil, nil, err
	}
	err = s.putJob(ctx, "warm", "true")
	if err == nil {
		err = s.putJob(ctx, "bench", script)
	}
	for i := 0; err == nil && i < 4; i++ {
		var r run
		if r, err = s.trigger(ctx, "warm"); err == nil {
			_, err = s.wait(ctx, "warm", r.ID)
		}
	}
	if err != nil {
		s.stop()
		return nil, nil, err
	}
	e, err := newEngine(ctx, agent)
	if err != nil {
		s.stop()
	}
	return s, e, err
}

// emptyRun is figure a: trigger to done of an empty freestyle run, in turn
// with create+start+wait+remove of the same image.
func (b *bench) emptyRun(ctx context.Context) ([]figure, error) {
	s, e, err := b.warm(ctx, "true")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var ours, floor []time.Duration
	for range b.rounds {
		began := time.Now()
		r, err := s.trigger(ctx, "bench")
		if err != nil {
			return nil, err
		}
		if _, err := s.wait(ctx, "bench", r.ID); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(began))
		if err := e.quiet(ctx); err != nil {
			return nil, err
		}
		began = time.Now()
		if err := e.once(ctx, "true"); err != nil {
			return nil, err
		}
		floor = append(floor, time.Since(began))
	}
	o, f := median(ours), median(floor)
	ratio := float64(o) / float64(f)
	return []figure{{"a", "empty run, trigger → done", ms(o), ms(f), ratio, "≤ 1.20", ratio <= 1.2, fmt.Sprintf("medians of %d", b.rounds)}}, nil
}

// manyRuns is figure b: queued runs at 4 in parallel against the bare loop at 4.
func (b *bench) manyRuns(ctx context.Context) ([]figure, error) {
	s, e, err := b.warm(ctx, "true", "--agent-cpus", "4", "--agent-memory", "8GiB")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	began := time.Now()
	ids := make([]int, b.runs)
	for i := range ids {
		r, err := s.trigger(ctx, "bench")
		if err != nil {
			return nil, err
		}
		ids[i] = r.ID
	}
	for _, id := range ids {
		if _, err := s.wait(ctx, "bench", id); err != nil {
			return nil, err
		}
	}
	ours := float64(b.runs) / time.Since(began).Seconds()
	if err := e.quiet(ctx); err != nil {
		return nil, err
	}
	began = time.Now()
	if err := e.loop(ctx, b.runs, 4); err != nil {
		return nil, err
	}
	floor := float64(b.runs) / time.Since(began).Seconds()
	ratio := ours / floor
	return []figure{{"b", fmt.Sprintf("%d queued runs, 4 in parallel", b.runs), fmt.Sprintf("%.2f/s", ours), fmt.Sprintf("%.2f/s", floor), ratio, "≥ 0.90", ratio >= 0.9, ""}}, nil
}

func (e *engine) loop(ctx context.Context, n, parallel int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for range n {
		g.Go(func() error { return e.once(ctx, "true") })
	}
	return g.Wait()
}

// lines prints 1,000,000 lines of 100 bytes with their newline.
const lines = `yes "$(printf '%099d' 7)" | head -n 1000000`

// console is figure c.
func (b *bench) console(ctx context.Context) ([]figure, error) {
	s, e, err := b.warm(ctx, lines)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var ours, floor []time.Duration
	whole := true
	for range 3 {
		began := time.Now()
		r, err := s.trigger(ctx, "bench")
		if err != nil {
			return nil, err
		}
		if r, err = s.wait(ctx, "bench", r.ID); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(began))
		sum := sha256.New()
		began = time.Now()
		if err := e.attached(ctx, sum, "sh", "-c", lines); err != nil {
			return nil, err
		}
		floor = append(floor, time.Since(began))
		whole = whole && r.Console.Bytes == 1e8 && r.Console.SHA256 == hex.EncodeToString(sum.Sum(nil))
	}
	peak, err := s.memory("VmHWM")
	if err != nil {
		return nil, err
	}
	o, f := median(ours), median(floor)
	ratio := float64(o) / float64(f)
	return []figure{
		{"c", "1,000,000 lines of 100 bytes", ms(o), ms(f), ratio, "≤ 2.00", ratio <= 2, "medians of 3"},
		{"c", "its console, by SHA-256", fmt.Sprint(whole), "", 0, "true", whole, ""},
		{"c", "its peak memory of cid with agent", fmt.Sprintf("%.0f MiB", peak), "", peak, "≤ 120", peak <= 120, ""},
	}, nil
}

// quiet waits until nothing of ended runs is left to remove, so that the
// floor is not measured beside our own clean-up.
func (e *engine) quiet(ctx context.Context) error {
	for {
		n, err := e.containersOfRuns(ctx)
		if err != nil || n == 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// each calls f from n callers until d is over and returns all latencies.
func each(ctx context.Context, n int, d time.Duration, f func(context.Context) error) ([]time.Duration, int, error) {
	var mu sync.Mutex
	var all []time.Duration
	failed := 0
	var first error
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			var mine []time.Duration
			for time.Now().Before(end) && ctx.Err() == nil {
				began := time.Now()
				err := f(ctx)
				mine = append(mine, time.Since(began))
				if err != nil {
					mu.Lock()
					failed++
					first = err
					mu.Unlock()
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	return all, failed, first
}
