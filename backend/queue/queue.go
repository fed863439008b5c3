// Package queue declares how waiting runs reach agents, and how cids and
// agents wake each other. Messages are hints: the database decides. A message
// that is lost or doubled costs time, never a run.
package queue

import (
	"context"

	"ci/pkg/ci"
)

// Message says that a run waits in a lane.
type Message struct {
	Run  int64
	Lane ci.Lane
	// Overtaken says that runs whose messages were sent later have been taken:
	// this one's is lost, or hangs somewhere. A driver that keeps account of
	// messages itself does not believe its account then.
	Overtaken bool
}

// Queue brings waiting runs to agents.
type Queue interface {
	// Publish adds messages. One whose run already has a live message (waiting,
	// or in an agent's hands) is left as it is, so publishing again is safe. On
	// a cluster a message may count as live for a moment after its Ack.
	Publish(ctx context.Context, ms []Message) error
	// Pull blocks until there is a message in one of the lanes, or ctx ends.
	// Lanes stand in the order of preference.
	Pull(ctx context.Context, lanes []ci.Lane) (ci.Delivery, error)
	// Depth counts the waiting messages of each lane.
	Depth(ctx context.Context) (map[ci.Lane]int, error)
	// Check returns nil when the queue answers.
	Check(ctx context.Context) error
	// Close ends all Pulls.
	Close() error
}

// Bus wakes whoever listens at the moment. Nothing is stored.
type Bus interface {
	// Publish sends data to a topic of tokens joined by dots ("run.42").
	Publish(ctx context.Context, topic string, data []byte) error
	// Subscribe calls fn for each message, one at a time, until cancel is
	// called. In a topic, * stands for one token and > for the rest. While the
	// server is away nothing is heard, and Subscribe succeeds: what listens
	// looks by itself now and then, since messages may be lost at any time.
	Subscribe(topic string, fn func(topic string, data []byte)) (cancel func(), err error)
}
