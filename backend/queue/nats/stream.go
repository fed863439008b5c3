package nats

import (
	"context"
	"errors"

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
