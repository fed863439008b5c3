package main

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/store/storetest/postgres"
	"ci/e2e/rig"
)

const (
	// writes prints 5 MB, which takes it some 40 ms, and rests for a moment: more than
	// 50 MB/s, as far as it is let.
	writes = `while :; do yes "$(printf '%099d' 7)" | head -n 50000; sleep 0.05; done`
	// talks prints a line when it begins, and one a moment later.
	talks = "echo first; sleep 1; echo second"
	// neighbourLease is renewed each third of it.
	neighbourLease = 9 * time.Second
	// delayGoal is by how much the writer may hold others up.
	delayGoal = time.Second
)

// neighbour is figure k: what a log writer at 50 MB/s does to the claim, the
// console and the lease of runs beside it on the same agent. Each is compared
// with the same run while nobody writes. cid and ci-agent are processes of
// their own on Postgres and NATS.
func (b *bench) neighbour(ctx context.Context) (figures []figure, err error) {
	err = onBed(ctx, func(t testing.TB) {
		n := b.newNeighbour(ctx, t)
		calm := n.probe(ctx, t)
		writer, err := n.s.trigger(ctx, "writes")
		require.NoError(t, err)
		n.running(ctx, t, writer.ID)
		began := time.Now()
		loud := n.probe(ctx, t)
		took := time.Since(began)
		rate := n.written(ctx, t, writer.ID) / took.Seconds() / 1e6
		note := fmt.Sprintf("the slowest of %d each; the writer reached %.0f MB/s; the machine's load is %s", b.rounds, rate, load())
		for _, what := range []struct {
			name       string
			loud, calm []time.Duration
		}{
			{"trigger → claim", loud.claims, calm.claims},
			{"trigger → first line is read", loud.first, calm.first},
			{"second line → it is read", loud.second, calm.second},
			{"renewals of its lease, apart", loud.renewals, calm.renewals},
		} {
			o, f := slices.Max(what.loud), slices.Max(what.calm)
			figures = append(figures, figure{"k", "beside a log writer: " + what.name, ms(o), ms(f), (o - f).Seconds(), "≤ 1.00 s more", o-f <= delayGoal, note})
			note = ""
		}
	})
	return figures, err
}

// neighboured is one agent with room for the writer and for two runs beside it.
type neighboured struct {
	s      *server
	db     *sql.DB
	rounds int
	lives  int // a run that has its lease renewed all the while
}

func (b *bench) newNeighbour(ctx context.Context, t testing.TB) *neighboured {
	dir, err := os.MkdirTemp("", "ci-bench-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	database := postgres.Start(t).Database(t)
	shared := []string{"--database", database, "--queue", natsServer(t), "--blobs", "file:" + filepath.Join(dir, "blobs"), "--lease", neighbourLease.String()}
	n := &neighboured{rounds: b.rounds}
	n.s, err = b.start(ctx, "", append(shared, "--agent", "off")...)
	require.NoError(t, err)
	t.Cleanup(n.s.stop)
	n.db, err = sql.Open("pgx", database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = n.db.Close() })
	b.agent(ctx, t, dir, append(shared, "--id", "bench-"+rig.Random(), "--cpus", "3", "--memory", "8GiB", "--max-load", "1")...)
	for name, script := range map[string]string{"warm": "true", "writes": writes, "talks": talks, "lives": "sleep 3600"} {
		require.NoError(t, n.s.putJob(ctx, name, script))
	}
	for range 3 {
		r, err := n.s.trigger(ctx, "warm")
		require.NoError(t, err)
		_, err = n.s.wait(ctx, "warm", r.ID)
		require.NoError(t, err)
	}
	lives, err := n.s.trigger(ctx, "lives")
	require.NoError(t, err)
	n.lives = lives.ID
	t.Cleanup(func() { n.abort(context.WithoutCancel(ctx), "lives", lives.ID) })
	return n
}

// abort ends a run that would go on, so that its agent ends in time.
func (n *neighboured) abort(ctx context.Context, job string, id int) {
	_ = n.s.call(ctx, http.MethodPost, fmt.Sprintf("/jobs/%s/runs/%d/abort", job, id), nil, nil)
}

// running waits until the writer's first megabyte is stored.
func (n *neighboured) running(ctx context.Context, t testing.TB, id int) {
	console := n.open(ctx, t, "writes", id)
	defer console.Close()
	_, err := io.CopyN(io.Discard, console, 1e6)
	require.NoError(t, err)
}

// written ends the writer, and returns how many bytes of its console are stored.
func (n *neighboured) written(ctx context.Context, t testing.TB, id int) float64 {
	n.abort(ctx, "writes", id)
	var r run
	for r.Status != "done" {
		require.NoError(t, n.s.call(ctx, http.MethodGet, fmt.Sprintf("/jobs/writes/runs/%d?wait=60s&until=done", id), nil, &r))
	}
	return r.Console.Bytes
}

// open follows a run's console.
func (n *neighboured) open(ctx context.Context, t testing.TB, job string, id int) io.ReadCloser {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/jobs/%s/runs/%d/results/console?follow=1", n.s.url, job, id), nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+n.s.token)
	r, err := n.s.http.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode)
	return r.Body
}

// delays are what a run's user feels.
type delays struct{ claims, first, second, renewals []time.Duration }

// probe runs one run after the other, each of which prints two lines a second
// apart, while a longer one beside them has its lease renewed.
func (n *neighboured) probe(ctx context.Context, t testing.TB) (d delays) {
	ctx, stop := context.WithCancel(ctx)
	var renewals sync.WaitGroup
	renewals.Go(func() { d.renewals = n.renewals(ctx) })
	for range n.rounds {
		began := time.Now()
		r, err := n.s.trigger(ctx, "talks")
		require.NoError(t, err)
		first, second := n.follow(ctx, t, r.ID)
		r, err = n.s.wait(ctx, "talks", r.ID)
		require.NoError(t, err)
		d.claims = append(d.claims, r.Times.Claimed.Sub(r.Times.Triggered))
		d.first = append(d.first, first.Sub(began))
		d.second = append(d.second, second.Sub(first))
	}
	stop()
	renewals.Wait()
	if len(d.renewals) == 0 {
		t.Fatalf("no lease was renewed while %d runs ran: give -rounds more", n.rounds)
	}
	return d
}

// follow says when the two lines of a run are read.
func (n *neighboured) follow(ctx context.Context, t testing.TB, id int) (first, second time.Time) {
	console := n.open(ctx, t, "talks", id)
	defer console.Close()
	lines := bufio.NewScanner(console)
	for lines.Scan() {
		switch lines.Text() {
		case "first":
			first = time.Now()
		case "second":
			return first, time.Now()
		}
	}
	t.Fatalf("the console of run %d ended before its second line: %v", id, lines.Err())
	return first, second
}

// renewals watches the lease of the run that lives, and returns how far apart
// it is renewed until ctx ends.
func (n *neighboured) renewals(ctx context.Context) (apart []time.Duration) {
	var last int64
	for look := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			look.Stop()
			return apart
		case <-look.C:
		}
		var now int64
		if err := n.db.QueryRowContext(ctx, "SELECT lease_until FROM runs WHERE id = $1", n.lives).Scan(&now); err != nil || now == last {
			continue
		}
		if last != 0 {
			apart = append(apart, time.Duration(now-last)*time.Microsecond)
		}
		last = now
	}
}
