package rabbitmq

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/backend/queue"
)

const (
	// What a subscriber that does not keep up may have waiting; the rest is dropped.
	maxWaitingMessages = 4096
	maxWaitingBytes    = 4 << 20
)

// Subscribe calls fn for each message to a topic that comes after it has
// returned. fn has a goroutine of its own; while it is busy messages wait, and
// past 4096 of them the newest are dropped. While the server is away nothing
// is heard. cancel may be called more than once, and from fn; a call
// of fn that has begun goes on.
func (b *Bus) Subscribe(topic string, fn func(topic string, data []byte)) (cancel func(), err error) {
	if err := queue.CheckTopic(topic, true); err != nil {
		return nil, err
	}
	e := &ear{words: strings.Split(topic, "."), ring: make(chan struct{}, 1), done: make(chan struct{})}
	b.mu.Lock()
	b.ears[e] = true
	b.mu.Unlock()
	ctx, stop := context.WithTimeout(b.d.closing, patience)
	defer stop()
	if err := b.want(ctx, keyOf(e.words)); err != nil {
		b.remove(e)
		return nil, b.d.wrap(ctx, err)
	}
	go e.run(b.d.log.With("topic", topic).Warn, fn)
	var once sync.Once
	return func() {
		once.Do(func() {
			b.remove(e)
			b.d.run(func() { b.unwant(keyOf(e.words)) })
		})
	}, nil
}

// keyOf is the binding key of a topic: AMQP's # stands for no word, too.
func keyOf(words []string) string {
	key := busPrefix + strings.Join(words, ".")
	if rest, ok := strings.CutSuffix(key, ">"); ok {
		return rest + "*.#"
	}
	return key
}

func (b *Bus) remove(e *ear) {
	b.mu.Lock()
	delete(b.ears, e)
	b.mu.Unlock()
	e.close()
}

// hearMarks makes this process hear of others' messages, once.
func (b *Bus) hearMarks(ctx context.Context) error {
	b.mu.Lock()
	known := b.keys[markKey] > 0
	b.mu.Unlock()
	if known {
		return nil
	}
	return b.want(ctx, markKey)
}

// want binds a key, now and at each connection that follows. The server knows
// of it when want returns nil, unless it is away at the moment.
func (b *Bus) want(ctx context.Context, key string) error {
	b.mu.Lock()
	b.keys[key]++
	b.mu.Unlock()
	err := b.bind(ctx, key)
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.forget(key)
	}
	return err
}

// bind tells the server of a key that is wanted.
func (b *Bus) bind(ctx context.Context, key string) error {
	if err := b.binding.take(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	conn, ch, name := b.conn, b.ch, b.queue
	b.mu.Unlock()
	_, err := ask(ctx, b.d, func() (bool, error) {
		defer b.binding.leave()
		err := conn.bounded(func() error { return ch.QueueBind(name, key, exchange, false, nil) })
		// A connection that breaks at this moment may not know it yet.
		if broken := new(net.OpError); (conn.IsClosed() || errors.As(err, &broken)) && !replied(err, amqp.AccessRefused) {
			err = nil // the next connection begins with it
		}
		return err == nil, err
	})
	return err
}

// forget counts a key down, and says whether nobody wants it any more. b.mu is held.
func (b *Bus) forget(key string) bool {
	b.keys[key]--
	if b.keys[key] > 0 {
		return false
	}
	delete(b.keys, key)
	return true
}

// unwant removes a binding that nobody wants any more.
func (b *Bus) unwant(key string) {
	if b.binding.take(b.d.dead) != nil {
		return
	}
	defer b.binding.leave()
	b.mu.Lock()
	last := b.forget(key)
	conn, ch, name := b.conn, b.ch, b.queue
	b.mu.Unlock()
	if last {
		// A lost connection has no bindings.
		_ = conn.bounded(func() error { return ch.QueueUnbind(name, key, exchange, nil) })
	}
}

// ear is one subscription.
type ear struct {
	words []string
	ring  chan struct{} // holds one
	done  chan struct{}

	mu      sync.Mutex
	waiting []heard
	bytes   int
	dropped int
	closed  bool
}

type heard struct {
	topic string
	data  []byte
}

// hears says whether the ear's pattern fits a topic.
func (e *ear) hears(topic []string) bool {
	for i, w := range e.words {
		switch {
		case w == ">":
			return len(topic) > i
		case i >= len(topic) || w != "*" && w != topic[i]:
			return false
		}
	}
	return len(topic) == len(e.words)
}

func (e *ear) put(topic string, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) >= maxWaitingMessages || e.bytes+len(data) > maxWaitingBytes {
		e.dropped++
		return
	}
	e.waiting = append(e.waiting, heard{topic, data})
	e.bytes += len(data)
	select {
	case e.ring <- struct{}{}:
	default:
	}
}

// run calls fn until the ear is closed.
func (e *ear) run(warn func(string, ...any), fn func(string, []byte)) {
	for {
		select {
		case <-e.ring:
		case <-e.done:
			return
		}
		for {
			h, dropped, ok := e.next()
			if dropped > 0 {
				warn("a subscription to RabbitMQ drops messages", "dropped", dropped)
			}
			if !ok {
				break
			}
			fn(h.topic, h.data)
		}
	}
}

func (e *ear) next() (h heard, dropped int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	dropped, e.dropped = e.dropped, 0
	if e.closed || len(e.waiting) == 0 {
		return heard{}, dropped, false
	}
	h = e.waiting[0]
	e.waiting = slices.Delete(e.waiting, 0, 1)
	e.bytes -= len(h.data)
	return h, dropped, true
}

func (e *ear) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed, e.waiting = true, nil
		close(e.done)
	}
}
