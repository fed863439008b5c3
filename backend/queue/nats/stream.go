package nats

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ci/pkg/ci"
)

const (
	streamName = "RUNS"
	// probeClass is no class: a class begins with a letter or digit.
	probeClass = "-probe"
)

// streamConfig is the same everywhere; replicas come from the caller.
func streamConfig(replicas int) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:        streamName,
		Description: "runs that wait for an agent; the database knows them too",
		Retention:   jetstream.WorkQueuePolicy,
		Storage:     jetstream.FileStorage,
		// One live message a run: a second one is refused with errLive.
		MaxMsgsPerSubject:    1,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		// Our messages have no body. Whatever has one was put there by somebody else.
		MaxMsgSize: 1 << 10,
		Replicas:   replicas,
	}
	for _, p := range ci.Priorities {
		c.Subjects = append(c.Subjects, "runs.*."+string(p)+".*")
	}
	return c
}

// ensureStream makes the stream, or adopts the one that is there. It is called
// again when the stream turns out to be gone.
func (d *Driver) ensureStream(ctx context.Context) error {
	replicas := d.cfg.Replicas
	if replicas == 0 {
		replicas = 1
		if s, err := d.js.Stream(ctx, streamName); err == nil {
			replicas = max(1, s.CachedInfo().Config.Replicas)
		}
	}
	_, err := d.js.CreateOrUpdateStream(ctx, streamConfig(replicas))
	var refused *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Code == 400:
		return ci.Errorf(ci.CodeInvalid, "NATS refuses the stream %s; is there one that is set up differently? It can be removed, since waiting runs are queued again from the database: %w", streamName, err)
	default:
		return d.failure(err)
	}
}

// probe sends one message through the whole stream.
func (d *Driver) probe() error {
	ctx, cancel := context.WithTimeout(d.closing, patience)
	defer cancel()
	subject := "runs." + probeClass + "." + string(ci.PriorityNormal) + ".1"
	ack, err := d.js.Publish(ctx, subject, nil)
	if live(err) { // of a start that ended here
		s, err := d.js.Stream(ctx, streamName)
		if err != nil {
			return err
		}
		return s.Purge(ctx, jetstream.WithPurgeSubject(subject))
	}
	if err != nil {
		return err
	}
	s, err := d.js.Stream(ctx, streamName)
	if err != nil {
		return err
	}
	return s.DeleteMsg(ctx, ack.Sequence)
}

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
	if err := checkLane(l); err != nil {
		return nil, err
	}
	d.opening.Lock()
	defer d.opening.Unlock()
	if v, ok := d.lanes.Load(l); ok {
		return v.(*lane), nil
	}
	name := "lane-" + token(l.Class) + "-" + string(l.Priority)
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

// rebuild makes the stream again after the server lost it; consumers follow when they are needed.
func (d *Driver) rebuild(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := d.ensureStream(ctx); err != nil {
		return err
	}
	d.lanes.Clear()
	return nil
}

func checkLane(l ci.Lane) error {
	if err := ci.ValidateName(l.Class); err != nil {
		return ci.Errorf(ci.CodeInvalid, "the queue can't have a lane for class %q: %w", l.Class, err)
	}
	for _, p := range ci.Priorities {
		if l.Priority == p {
			return nil
		}
	}
	return ci.Errorf(ci.CodeInvalid, "the queue can't have a lane for priority %q; there are %v", l.Priority, ci.Priorities)
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
	return l, checkLane(l) == nil
}

// Depth counts the waiting messages of each lane. Those in an agent's hands
// are not among them. A lane that nobody has used since the server started is
// not in the map.
func (d *Driver) Depth(ctx context.Context) (map[ci.Lane]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second+patience)
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
