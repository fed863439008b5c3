package nats

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// window is how many messages are on their way to the server at once.
const window = 256

// Publish adds messages and wakes who waits for them. When it returns nil all
// of them are stored. After an error some may be; publishing all again is safe.
func (d *Driver) Publish(ctx context.Context, ms []queue.Message) error {
	for len(ms) > 0 {
		n := min(window, len(ms))
		err := d.publish(ctx, ms[:n])
		if gone(err) {
			if err = d.rebuild(ctx); err == nil {
				err = d.publish(ctx, ms[:n])
			}
		}
		if err != nil {
			return d.wrap(ctx, err)
		}
		ms = ms[n:]
	}
	return nil
}

// publish stores up to a window of messages.
func (d *Driver) publish(ctx context.Context, ms []queue.Message) error {
	acks := make([]jetstream.PubAckFuture, 0, len(ms))
	touched := map[ci.Lane]uint64{} // the newest sequence in each
	for _, m := range ms {
		if m.Run <= 0 {
			return ci.Errorf(ci.CodeInvalid, "run %d can't be queued: ids begin at 1", m.Run)
		}
		if _, ok := touched[m.Lane]; !ok {
			if _, err := d.lane(ctx, m.Lane); err != nil {
				return err
			}
			touched[m.Lane] = 0
		}
		ack, err := d.js.PublishMsgAsync(&nats.Msg{Subject: subjectOf(m.Run, m.Lane)}, jetstream.WithRetryAttempts(0))
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	for i, ack := range acks {
		seq, err := await(ctx, ack)
		if err != nil {
			return err
		}
		touched[ms[i].Lane] = max(touched[ms[i].Lane], seq)
	}
	for l, seq := range touched {
		d.wake(l, seq)
	}
	return nil
}

// await returns the sequence of a stored message, which one that was there
// already does not tell.
func await(ctx context.Context, ack jetstream.PubAckFuture) (seq uint64, err error) {
	select {
	case a := <-ack.Ok():
		return a.Sequence, nil
	case err := <-ack.Err():
		if live(err) {
			return unknownSeq, nil
		}
		return 0, err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// live says that a message was refused since the run has one already.
func live(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) &&
		refused.ErrorCode == 10077 && refused.Description == "maximum messages per subject exceeded"
}

// gone says that the server has no stream or consumer where there was one: its
// store was emptied while it was down.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

// wrap keeps errors that are ours or the caller's, and puts the client's into words.
func (d *Driver) wrap(ctx context.Context, err error) error {
	var known *ci.Error
	if errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return d.failure(err)
}
