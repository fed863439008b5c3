package nats

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// BenchmarkPublishToPull measures from the call of Publish to the return of
// the Pull that waits for it.
func BenchmarkPublishToPull(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) (*Driver, *Driver){
		"embedded": func(b *testing.B) (*Driver, *Driver) {
			d, err := Open(Config{Dir: b.TempDir()})
			require.NoError(b, err)
			return d, d
		},
		"external": func(b *testing.B) (*Driver, *Driver) {
			url := startExternal(b).srv.ClientURL()
			x, err := Open(Config{URL: url})
			require.NoError(b, err)
			y, err := Open(Config{URL: url})
			require.NoError(b, err)
			return x, y
		},
	} {
		b.Run(name, func(b *testing.B) { publishToPull(b, open) })
	}
}

func publishToPull(b *testing.B, open func(b *testing.B) (*Driver, *Driver)) {
	from, to := open(b)
	defer func() { _, _ = from.Close(), to.Close() }()
	var lanes []ci.Lane
	for _, class := range []string{"large", "medium", "small"} {
		for _, p := range ci.Priorities {
			lanes = append(lanes, ci.Lane{Class: class, Priority: p})
		}
	}
	got := make(chan time.Time)
	go func() {
		for {
			d, err := to.Pull(b.Context(), lanes)
			at := time.Now()
			if err != nil {
				return // closed
			}
			_ = d.Ack(b.Context())
			got <- at
		}
	}()
	var took []time.Duration
	run := int64(0)
	for b.Loop() {
		run++
		start := time.Now()
		require.NoError(b, from.Publish(b.Context(), []queue.Message{{Run: run, Lane: lanes[5]}}))
		took = append(took, (<-got).Sub(start))
	}
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) }
	b.ReportMetric(at(0.5), "p50-µs")
	b.ReportMetric(at(0.95), "p95-µs")
	b.ReportMetric(at(0.99), "p99-µs")
}

func BenchmarkPublishThousand(b *testing.B) {
	d, err := Open(Config{Dir: b.TempDir()})
	require.NoError(b, err)
	defer func() { _ = d.Close() }()
	run := int64(0)
	for b.Loop() {
		ms := make([]queue.Message, 1000)
		for i := range ms {
			run++
			ms[i] = queue.Message{Run: run, Lane: ci.Lane{Class: "small", Priority: ci.PriorityNormal}}
		}
		require.NoError(b, d.Publish(b.Context(), ms))
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		d, err := Open(Config{Dir: dir})
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, d.Close())
		b.StartTimer()
	}
}
