package nats

import (
	"context"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// Bus implements queue.Bus on core NATS, apart from the stream's subjects.
type Bus struct{ conn *nats.Conn }

var _ queue.Bus = (*Bus)(nil)

const (
	busPrefix = "bus."
	// What a subscriber that does not keep up may have waiting; the rest is dropped.
	maxWaitingMessages = 4096
	maxWaitingBytes    = 4 << 20
)

// Publish sends data to whoever listens to the topic at the moment. It does
// not wait for them. It fails with ci.CodeUnavailable while NATS is away.
func (b *Bus) Publish(_ context.Context, topic string, data []byte) error {
	if err := queue.CheckTopic(topic, false); err != nil {
		return err
	}
	if err := b.conn.Publish(busPrefix+topic, data); err != nil {
		return ci.Errorf(ci.CodeUnavailable, "the message to %q is not sent, NATS does not take it: %w", topic, err)
	}
	return nil
}

// Subscribe calls fn for each message to a topic that comes after it has
// returned. fn has a goroutine of its own; while it is busy messages wait, and
// past 4096 of them the newest are dropped. While NATS is away nothing is
// heard. cancel may be called more than
// once, and from fn; a call of fn that has begun goes on.
func (b *Bus) Subscribe(topic string, fn func(topic string, data []byte)) (cancel func(), err error) {
	if err := queue.CheckTopic(topic, true); err != nil {
		return nil, err
	}
	sub, err := b.conn.Subscribe(busPrefix+topic, func(m *nats.Msg) {
		fn(strings.TrimPrefix(m.Subject, busPrefix), m.Data)
	})
	if err == nil {
		err = sub.SetPendingLimits(maxWaitingMessages, maxWaitingBytes)
	}
	if err == nil && b.conn.IsConnected() {
		// The server knows of it when this returns, so nothing is missed.
		if err = b.conn.FlushTimeout(patience); !b.conn.IsConnected() {
			err = nil // it is told when it is back
		}
	}
	if err != nil {
		if sub != nil {
			_ = sub.Unsubscribe()
		}
		return nil, ci.Errorf(ci.CodeUnavailable, "%q can't be listened to, NATS does not answer: %w", topic, err)
	}
	var once sync.Once
	return func() { once.Do(func() { _ = sub.Unsubscribe() }) }, nil
}
