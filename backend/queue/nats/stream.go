package nats

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"ci/pkg/ci"
)

const (
	streamName = "RUNS"
	// clusterReplicas is how many servers of a cluster keep each message.
	clusterReplicas = 3
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
	is, err := d.present(ctx)
	if err != nil {
		return d.failure(err)
	}
	has := is.Replicas
	wants := d.cfg.Replicas
	if wants == 0 {
		wants = max(1, has)
		if d.conn.ConnectedClusterName() != "" {
			wants = max(clusterReplicas, has)
		}
	}
	if asWanted(is, streamConfig(wants)) {
		return nil
	}
	_, err = d.js.CreateOrUpdateStream(ctx, streamConfig(wants))
	if d.cfg.Replicas == 0 && wants > max(1, has) && tooFew(err) {
		_, err = d.js.CreateOrUpdateStream(ctx, streamConfig(max(1, has)))
	}
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

// present is the stream that is there; the zero value when there is none. A
// cluster without a leader doesn't know, and that is no reason to take what it
// has for less.
func (d *Driver) present(ctx context.Context) (jetstream.StreamConfig, error) {
	s, err := d.js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return jetstream.StreamConfig{}, nil
	}
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	return s.CachedInfo().Config, nil
}

// asWanted says whether nothing has to be changed. Agents may then do without
// the right to.
func asWanted(is, wanted jetstream.StreamConfig) bool {
	return is.Name == wanted.Name && is.Retention == wanted.Retention && is.Storage == wanted.Storage &&
		is.MaxMsgsPerSubject == wanted.MaxMsgsPerSubject && is.Discard == wanted.Discard &&
		is.DiscardNewPerSubject == wanted.DiscardNewPerSubject && is.MaxMsgSize == wanted.MaxMsgSize &&
		is.Replicas == wanted.Replicas && slices.Equal(is.Subjects, wanted.Subjects)
}

// tooFew says that the cluster has not enough servers for so many replicas.
func tooFew(err error) bool {
	const noPeers, insufficient, notClustered = 10005, 10023, 10074
	var refused *jetstream.APIError
	return errors.As(err, &refused) && (refused.ErrorCode == noPeers || refused.ErrorCode == insufficient || refused.ErrorCode == notClustered)
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
