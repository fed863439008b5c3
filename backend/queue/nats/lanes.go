package nats

import (
	"context"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// lane is one consumer.
type lane struct {
	ci.Lane
	next string // the subject that asks for the next message
}

// lane returns the consumer of l, which it makes at the first call.
func (d *Driver) lane(ctx context.Context, l ci.Lane) (*lane, error) {
	if v, ok := d.lanes.Load(l); ok {
		return v.(*lane), nil
	}
	if err := queue.CheckLane(l); err != nil {
		return nil, err
	}
	d.opening.Lock()
	defer d.opening.Unlock()
	if v, ok := d.lanes.Load(l); ok {
		return v.(*lane), nil
	}
	name := "lane-" + token(l.Class) + "-" + string(l.Priority)
	// A cluster without a leader answers nobody, and one with a new leader not
	// what its predecessor was asked.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := d.js.CreateOrUpdateConsumer(ctx, streamName, jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: prefix(l) + "*",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       d.cfg.AckWait,
		// Who holds what is not worth a disk write: when the server restarts,
		// what was in hand is handed out again and the database decides.
		MemoryStorage: true,
		// What is in hand is held for milliseconds by each of many agents; no limit holds them back.
		MaxAckPending: -1,
	})
	if err != nil {
		return nil, err
	}
	v := &lane{l, "$JS.API.CONSUMER.MSG.NEXT." + streamName + "." + name}
	d.lanes.Store(l, v)
	return v, nil
}

// token writes a class as one token of a subject: a dot would divide it, and
// names never hold a tilde.
func token(class string) string { return strings.ReplaceAll(class, ".", "~") }

func prefix(l ci.Lane) string { return "runs." + token(l.Class) + "." + string(l.Priority) + "." }

// subjectOf is where the message of a run lives.
func subjectOf(run int64, l ci.Lane) string { return prefix(l) + strconv.FormatInt(run, 10) }

// runOf reads the run from a subject of the lane; false when there is none.
func runOf(subject string, l ci.Lane) (int64, bool) {
	digits, ok := strings.CutPrefix(subject, prefix(l))
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, ok && err == nil && id > 0 && subject == subjectOf(id, l)
}

// laneOf reads the lane from a consumer's filter.
func laneOf(filter string) (ci.Lane, bool) {
	parts := strings.Split(filter, ".")
	if len(parts) != 4 || parts[0] != "runs" || parts[3] != "*" {
		return ci.Lane{}, false
	}
	l := ci.Lane{Class: strings.ReplaceAll(parts[1], "~", "."), Priority: ci.Priority(parts[2])}
	return l, queue.CheckLane(l) == nil
}

// Depth counts the waiting messages of each lane. Those in an agent's hands
// are not among them. A lane that nobody has used since the server started is
// not in the map.
func (d *Driver) Depth(ctx context.Context) (map[ci.Lane]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	s, err := d.js.Stream(ctx, streamName)
	if err != nil {
		return nil, d.failure(err)
	}
	depths := map[ci.Lane]int{}
	list := s.ListConsumers(ctx)
	for c := range list.Info() {
		if l, ok := laneOf(c.Config.FilterSubject); ok {
			depths[l] = int(c.NumPending)
		}
	}
	if err := list.Err(); err != nil {
		return nil, d.failure(err)
	}
	return depths, nil
}
