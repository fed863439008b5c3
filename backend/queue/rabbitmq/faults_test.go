package rabbitmq

import (
	"context"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"ci/backend/queue"
	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
)

var testLane = ci.Lane{Class: "small", Priority: ci.PriorityNormal}

// bound is longer than anything takes that works, on a machine that is busy.
const bound = 2 * time.Minute

func publish(t *testing.T, d *Driver, runs ...int64) {
	t.Helper()
	require.NoError(t, d.Publish(t.Context(), messages(runs...)))
}

func messages(runs ...int64) (ms []queue.Message) {
	for _, r := range runs {
		ms = append(ms, queue.Message{Run: r, Lane: testLane})
	}
	return ms
}

func pull(t *testing.T, d *Driver) ci.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	m, err := d.Pull(ctx, []ci.Lane{testLane})
	require.NoError(t, err)
	return m
}

func take(t *testing.T, d *Driver) int64 {
	t.Helper()
	m := pull(t, d)
	require.NoError(t, m.Ack(t.Context()))
	return m.Run
}

func waiting(t *testing.T, d *Driver, name string) int {
	t.Helper()
	conn, err := d.pulls.wait(t.Context())
	require.NoError(t, err)
	n, found, err := inspect(conn, name)
	require.NoError(t, err)
	require.True(t, found)
	return n
}

// poisonIsDead wants each message that names no run to end in ci.dead, once.
func poisonIsDead(t *testing.T, server *rabbitserver.Server) {
	d := open(t, testConfig(t, server.URL(t)))
	publish(t, d, 1)
	poison(t, d, testLane)
	publish(t, d, 2)
	require.EqualValues(t, 1, take(t, d))
	require.EqualValues(t, 2, take(t, d))
	require.Eventually(t, func() bool { return waiting(t, d, deadQueue) == len(garbage()) }, bound, 10*time.Millisecond)
	require.Zero(t, waiting(t, d, queueOf(testLane)))
	t.Run("while somebody waits", func(t *testing.T) {
		got := make(chan int64, 1)
		go func() {
			if m, err := d.Pull(t.Context(), []ci.Lane{testLane}); err == nil {
				got <- m.Run
				_ = m.Ack(t.Context())
			}
		}()
		poison(t, d, testLane)
		publish(t, d, 3)
		require.EqualValues(t, 3, heardOf(t, got))
		require.Eventually(t, func() bool { return waiting(t, d, deadQueue) == 2*len(garbage()) }, bound, 10*time.Millisecond)
	})
}

// ackTimeout sets RabbitMQ's own limit for what is in hand to five seconds,
// and lets a job take longer than that.
func ackTimeout(t *testing.T, server *rabbitserver.Server) {
	server.Eval(t, "application:set_env(rabbit, consumer_timeout, 5000), application:set_env(rabbit, channel_tick_interval, 200)")
	defer server.Eval(t, "application:set_env(rabbit, consumer_timeout, 1800000), application:set_env(rabbit, channel_tick_interval, 60000)")
	cfg := testConfig(t, server.URL(t))
	cfg.AckWait = time.Hour // RabbitMQ shall be first
	d := open(t, cfg)
	publish(t, d, 1)
	require.EqualValues(t, 1, take(t, d)) // the job of run 1 begins

	publish(t, d, 2)
	held := pull(t, d)
	require.EqualValues(t, 2, held.Run)
	// Held for longer than the limit it goes to another, and the channel with it.
	again := pull(t, d)
	require.EqualValues(t, 2, again.Run)
	require.NoError(t, again.Ack(t.Context()))
	require.Error(t, held.Ack(t.Context()))

	// The job of run 1 has taken longer than that: nothing comes again, and all is open.
	publish(t, d, 3)
	require.EqualValues(t, 3, take(t, d))
	require.Zero(t, waiting(t, d, queueOf(testLane)))
	_, err := d.pulls.now()
	require.NoError(t, err)
}

// flood restarts the server five times while a thousand runs are queued.
// What Publish has said yes to must come, to clients that were never opened anew.
func flood(t *testing.T, server *rabbitserver.Server) {
	const runs, pullers = 1000, 4
	cfg := testConfig(t, server.URL(t))
	cfg.AckWait = bound
	ctx, stop := context.WithTimeout(t.Context(), 5*bound)
	defer stop()
	var mu sync.Mutex
	seen, doubled := map[int64]bool{}, 0
	var work sync.WaitGroup
	for range pullers {
		d := open(t, cfg)
		work.Go(func() {
			for {
				m, err := d.Pull(ctx, []ci.Lane{testLane})
				if err != nil {
					return
				}
				_ = m.Ack(ctx) // when it is lost with the connection, the message comes again
				mu.Lock()
				if seen[m.Run] {
					doubled++
				}
				if seen[m.Run] = true; len(seen) == runs {
					stop()
				}
				mu.Unlock()
			}
		})
	}
	d := open(t, cfg)
	restarts := make(chan bool)
	work.Go(func() {
		defer close(restarts) // however it ends: the test waits for that
		for i := int64(1); i <= runs; i++ {
			if i%(runs/5) == runs/10 {
				restarts <- i > runs/2
			}
			for {
				err := d.Publish(ctx, messages(i))
				if err == nil || ctx.Err() != nil {
					break
				}
				if ci.CodeOf(err) != ci.CodeUnavailable {
					t.Errorf("Publish of run %d: %v", i, err)
					stop()
					return
				}
			}
		}
	})
	for hard := range restarts {
		if hard {
			server.Kill(t, false)
		} else {
			server.Restart(t)
		}
	}
	work.Wait()
	require.Len(t, seen, runs, "runs that came")
	t.Log(doubled, "came twice")
}

// frozen stops the server where it is: nobody may wait for it in vain.
func frozen(t *testing.T, server *rabbitserver.Server) {
	d := open(t, testConfig(t, server.URL(t)))
	publish(t, d, 1)
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := d.Pull(ctx, []ci.Lane{testLane})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Error(t, d.Check(ctx))
	err = d.Publish(t.Context(), messages(2))
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	server.Resume()
	require.Eventually(t, func() bool { return d.Check(t.Context()) == nil }, bound, 10*time.Millisecond)
	require.EqualValues(t, 1, take(t, d))
	server.Pause()
	closed := make(chan error)
	go func() { closed <- d.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(bound):
		t.Fatal("Close waits for a server that does not answer")
	}
}

// shortOfMemory wants a server that takes no messages to give out those it has.
func shortOfMemory(t *testing.T, server *rabbitserver.Server) {
	d := open(t, testConfig(t, server.URL(t)))
	publish(t, d, 1, 2)
	server.Eval(t, "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})")
	clear := func() { server.Eval(t, "rabbit_alarm:clear_alarm({resource_limit, memory, node()})") }
	defer clear() // the server is others' too
	require.Eventually(t, func() bool {
		_ = d.Bus().Publish(t.Context(), "x", nil) // RabbitMQ tells who publishes once it has heard of the alarm itself
		return d.Check(t.Context()) != nil
	}, bound, time.Millisecond)
	err := d.Publish(t.Context(), messages(3))
	require.Equal(t, ci.CodeUnavailable, ci.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "memory")
	require.EqualValues(t, 1, take(t, d))
	clear()
	require.Eventually(t, func() bool { return d.Check(t.Context()) == nil }, bound, time.Millisecond)
	publish(t, d, 3)
	require.EqualValues(t, 2, take(t, d))
	require.EqualValues(t, 3, take(t, d))
}

// queueIsDeleted by hand, while somebody waits at it.
func queueIsDeleted(t *testing.T, server *rabbitserver.Server) {
	cfg := testConfig(t, server.URL(t))
	d, other := open(t, cfg), open(t, cfg)
	publish(t, d, 1)
	got := make(chan int64)
	go func() {
		for {
			m, err := other.Pull(t.Context(), []ci.Lane{testLane})
			if err != nil {
				return
			}
			_ = m.Ack(t.Context())
			select {
			case got <- m.Run:
			case <-t.Context().Done():
				return
			}
		}
	}()
	require.EqualValues(t, 1, heardOf(t, got))
	conn, err := d.pulls.now()
	require.NoError(t, err)
	ch, err := conn.Channel()
	require.NoError(t, err)
	_, err = ch.QueueDelete(queueOf(testLane), false, false, false)
	require.NoError(t, err)
	publish(t, d, 2)
	require.EqualValues(t, 2, heardOf(t, got))
}

func heardOf(t *testing.T, got <-chan int64) int64 {
	t.Helper()
	select {
	case run := <-got:
		return run
	case <-time.After(bound):
		t.Fatal("the run did not come")
		return 0
	}
}

func refusals(t *testing.T, server *rabbitserver.Server) {
	good := server.URL(t)
	for url, code := range map[string]ci.Code{
		"": ci.CodeInvalid, "http://u:secret@h": ci.CodeInvalid, "amqp://u:se%zzcret@h": ci.CodeInvalid,
		"amqp://u:secret@127.0.0.1:1/v":                                  ci.CodeUnavailable,
		"amqp://u:secret@127.0.0.1:1/v, amqp://u:secret@127.0.0.1:1/v?x": ci.CodeUnavailable,
		replace(t, good, "ci", "wrongsecret", ""):                        ci.CodeInvalid,
		replace(t, good, "ci", "secret", "/nowhere"):                     ci.CodeInvalid,
	} {
		_, err := Open(Config{URL: url})
		require.Equal(t, code, ci.CodeOf(err), "%s: %v", url, err)
		require.NotContains(t, err.Error(), "secret")
	}
	require.Error(t, usable(amqp.Table{"product": "LavinMQ", "version": "9.9.9"}))
	require.Error(t, usable(amqp.Table{"product": "RabbitMQ", "version": "3.9.29"}))
	require.NoError(t, usable(amqp.Table{"product": "RabbitMQ", "version": "4.2.0"}))
}
