package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"ci/backend/store"
	"ci/backend/store/storetest"
)

func (e *engine) containersOfRuns(ctx context.Context) (int, error) {
	list, err := e.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", "ci.run"), filters.Arg("label", "ci.agent="+e.agent))})
	return len(list), err
}

// triggers is figure e: POSTs of runs by 64 callers on SQLite.
func (b *bench) triggers(ctx context.Context) ([]figure, error) {
	s, err := b.start(ctx, "", "--agent", "off")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := s.putJob(ctx, "bench", "true"); err != nil {
		return nil, err
	}
	const d = 8 * time.Second
	all, failed, err := each(ctx, 64, d, func(ctx context.Context) error {
		_, err := s.trigger(ctx, "bench")
		return err
	})
	rate := float64(len(all)-failed) / d.Seconds()
	note := fmt.Sprintf("%d errors, p99 %s", failed, ms(p99(all)))
	if err != nil {
		note += ": " + err.Error()
	}
	return []figure{{"e", "POST runs, 64 callers, SQLite", fmt.Sprintf("%.0f/s", rate), "", rate, "≥ 1000", rate >= 1000 && failed == 0, note}}, nil
}

func p99(ds []time.Duration) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[len(ds)*99/100]
}

// reads is figure d: GET of a run and of a list, few and many runs stored.
// The two servers run beside each other and are asked in turn.
func (b *bench) reads(ctx context.Context) ([]figure, error) {
	few, err := b.seeded(ctx, 1000)
	if err != nil {
		return nil, err
	}
	defer few.stop()
	many, err := b.seeded(ctx, b.big)
	if err != nil {
		return nil, err
	}
	defer many.stop()
	var figures []figure
	for _, q := range []struct{ what, path string }{
		{"GET a run", "/jobs/" + storetest.SeedJob + "/runs/500"},
		{"list the newest 50 runs", "/runs"},
		{"list 15 runs of a job", "/jobs/" + storetest.SeedJob + "/runs?pageSize=15"}, // the small store has no more of them
		{"list 50 failed runs", "/runs?outcome=failed"},
	} {
		ds := map[*server][]time.Duration{}
		for range 4 {
			for _, s := range []*server{few, many} {
				all, _, err := each(ctx, 4, 1500*time.Millisecond, func(ctx context.Context) error { return s.call(ctx, "GET", q.path, nil, nil) })
				if err != nil {
					return nil, err
				}
				ds[s] = append(ds[s], all...)
			}
		}
		o, f := p99(ds[many]), p99(ds[few])
		ratio := float64(o) / float64(f)
		figures = append(figures, figure{
			"d", q.what + fmt.Sprintf(", p99 with %d stored", b.big), o.String(), f.String(), ratio, "≤ 1.50", ratio <= 1.5,
			fmt.Sprintf("%.0f/s", float64(len(ds[many]))/6),
		})
	}
	return figures, nil
}

func (b *bench) seeded(ctx context.Context, n int) (*server, error) {
	dir, err := os.MkdirTemp("", "ci-bench-")
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "ci.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	if err := storetest.Seed(ctx, db, n); err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return b.start(ctx, dir, "--agent", "off")
}

// idle is figure f: memory and start of cid with queue and agent.
func (b *bench) idle(ctx context.Context) ([]figure, error) {
	var ready []time.Duration
	var rss float64
	for i := range 5 {
		s, err := b.start(ctx, "")
		if err != nil {
			return nil, err
		}
		ready = append(ready, s.ready)
		if i == 4 {
			time.Sleep(15 * time.Second) // idle is a state that needs time to be reached
			rss, err = s.memory("VmRSS")
		}
		s.stop()
		if err != nil {
			return nil, err
		}
	}
	r := median(ready)
	return []figure{
		{"f", "cid from start to ready", ms(r), "", r.Seconds(), "≤ 0.50 s", r <= 500*time.Millisecond, "median of 5, empty folder"},
		{"f", "cid idle, resident", fmt.Sprintf("%.0f MiB", rss), "", rss, "≤ 80", rss <= 80, "with queue and agent"},
	}, nil
}
