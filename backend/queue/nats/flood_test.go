package nats

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// clusterFlood queues runs without a pause while one after another fails.
// What Publish has said yes to must come, to clients that were never opened anew.
func clusterFlood(t *testing.T) {
	c := startCluster(t, 1)
	url := c.url(t)
	f := newFlood(t, url)
	for _, fault := range []struct {
		name string
		does func(t *testing.T, d *Driver)
	}{
		{"the stream's leader moves", func(t *testing.T, d *Driver) {
			_, err := d.conn.RequestWithContext(t.Context(), "$JS.API.STREAM.LEADER.STEPDOWN."+streamName, nil)
			require.NoError(t, err)
		}},
		{"the stream's leader dies and comes back", func(t *testing.T, d *Driver) {
			i := c.leads(t, d)
			c.stop(i)
			f.more(t, 20) // while a minority is down
			c.start(t, i)
		}},
		{"another one comes back with nothing", func(t *testing.T, d *Driver) {
			i := (c.leads(t, d) + 1) % 3
			c.stop(i)
			c.wipe(t, i)
			f.more(t, 20)
			c.start(t, i)
		}},
		{"the leader comes back with nothing", func(t *testing.T, d *Driver) {
			i := c.leads(t, d)
			c.stop(i)
			c.wipe(t, i)
			f.more(t, 20)
			c.start(t, i)
		}},
		{"a majority is down", func(t *testing.T, d *Driver) {
			i := c.leads(t, d)
			c.stop(i)
			c.stop((i + 1) % 3)
			require.Eventually(t, func() bool {
				err := d.Publish(within(t, time.Second), []queue.Message{{Run: 1 << 40, Lane: testLane}})
				return err != nil
			}, bound, time.Millisecond)
			c.start(t, i)
			c.start(t, (i+1)%3)
		}},
		{"all are restarted", func(t *testing.T, _ *Driver) {
			c.stopAll()
			for i := range c.nodes {
				c.start(t, i)
			}
		}},
	} {
		f.more(t, 20)
		fault.does(t, f.d)
		f.more(t, 20)
		c.whole(t)
		current(t, f.d)
		t.Log(fault.name)
	}
	f.end(t)
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// flood queues runs 1, 2, … and has others pull them.
type flood struct {
	d    *Driver
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	queued  int64
	seen    map[int64]bool
	doubled int
}

func newFlood(t *testing.T, url string) *flood {
	f := &flood{d: open(t, patient(t, url)), seen: map[int64]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	f.stop = stop
	f.work.Go(func() { f.publish(t, ctx) })
	for range 3 {
		d := open(t, patient(t, url))
		f.work.Go(func() { f.pull(ctx, d) })
	}
	t.Cleanup(func() { stop(); f.work.Wait() })
	return f
}

func (f *flood) publish(t *testing.T, ctx context.Context) {
	for run := int64(1); ctx.Err() == nil; run++ {
		for ctx.Err() == nil {
			err := f.d.Publish(ctx, []queue.Message{{Run: run, Lane: testLane}})
			if err == nil {
				f.mu.Lock()
				f.queued = run
				f.mu.Unlock()
				break
			}
			if ctx.Err() == nil && ci.CodeOf(err) != ci.CodeUnavailable {
				t.Errorf("Publish of run %d: %v", run, err)
				return
			}
		}
	}
}

func (f *flood) pull(ctx context.Context, d *Driver) {
	for {
		m, err := d.Pull(ctx, []ci.Lane{testLane})
		if err != nil {
			return
		}
		_ = m.Ack(ctx) // when it is lost, the message comes again
		f.mu.Lock()
		if f.seen[m.Run] {
			f.doubled++
		}
		f.seen[m.Run] = true
		f.mu.Unlock()
	}
}

// more waits until n more were queued, and all until then have come.
func (f *flood) more(t *testing.T, n int64) {
	t.Helper()
	f.mu.Lock()
	last := f.queued + n
	f.mu.Unlock()
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.queued >= last && f.missing(last) == 0
	}, bound, 10*time.Millisecond, "runs up to %d", last)
}

// missing counts the runs up to last that have not come. f.mu is held.
func (f *flood) missing(last int64) (n int) {
	for run := int64(1); run <= last; run++ {
		if !f.seen[run] {
			n++
		}
	}
	return n
}

func (f *flood) end(t *testing.T) {
	t.Helper()
	f.more(t, 1)
	f.stop()
	f.work.Wait()
	t.Log(f.queued, "were queued,", f.doubled, "came twice")
}
