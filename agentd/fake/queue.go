package fake

import (
	"context"
	"time"

	"ci/pkg/ci"
)

type subscriber struct {
	topic string
	fn    func(topic string, data []byte)
}

// Publish puts a message into a lane; doubles are allowed, as with real queues.
func (b *Backend) Publish(run int64, lane ci.Lane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.publish(run, lane)
}

func (b *Backend) publish(run int64, lane ci.Lane) {
	b.lanes[lane] = append(b.lanes[lane], run)
	close(b.waiting)
	b.waiting = make(chan struct{})
}

// Pull implements agentd.Queue.
func (b *Backend) Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error) {
	for {
		b.mu.Lock()
		for _, lane := range lanes {
			if ids := b.lanes[lane]; len(ids) > 0 {
				b.lanes[lane] = ids[1:]
				b.inHand++
				b.mu.Unlock()
				return b.delivery(ids[0], lane), nil
			}
		}
		waiting := b.waiting
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return ci.Delivery{}, ctx.Err()
		case <-waiting:
		}
	}
}

func (b *Backend) delivery(run int64, lane ci.Lane) ci.Delivery {
	settled := false
	settle := func(again func()) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if settled {
			return ci.Errorf(ci.CodeConflict, "the message of run %d was settled twice", run)
		}
		settled = true
		b.inHand--
		again()
		return nil
	}
	return ci.Delivery{
		Run: run, Lane: lane,
		Ack: func(context.Context) error { return settle(func() {}) },
		Nak: func(_ context.Context, delay time.Duration) error {
			return settle(func() {
				if delay == 0 {
					b.publish(run, lane)
					return
				}
				time.AfterFunc(delay, func() { b.Publish(run, lane) })
			})
		},
	}
}

// Messages returns how many messages wait, and how many are in someone's hands.
func (b *Backend) Messages() (waiting, inHand int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ids := range b.lanes {
		waiting += len(ids)
	}
	return waiting, b.inHand
}

// Depths is for agentd.Config: what waits in each lane.
func (b *Backend) Depths(context.Context) ([]ci.QueueDepth, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var depths []ci.QueueDepth
	for lane, ids := range b.lanes {
		if len(ids) > 0 {
			depths = append(depths, ci.QueueDepth{Lane: lane, Queued: len(ids), Oldest: time.Unix(ids[0], 0)})
		}
	}
	return depths, nil
}

// Subscribe implements agentd.Bus for plain topics.
func (b *Backend) Subscribe(topic string, fn func(topic string, data []byte)) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subID++
	id := b.subID
	b.subs[id] = subscriber{topic, fn}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, id)
	}, nil
}

// Tell brings a message to whoever listens.
func (b *Backend) Tell(topic string, data []byte) {
	b.mu.Lock()
	var fns []func(string, []byte)
	for _, s := range b.subs {
		if s.topic == topic {
			fns = append(fns, s.fn)
		}
	}
	b.mu.Unlock()
	for _, fn := range fns {
		fn(topic, data)
	}
}
