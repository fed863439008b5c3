package rabbitmq

import (
	"context"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/pkg/ci"
)

// ask has fn speak to the server, which the client library can't be made to
// give up, and waits until ctx ends. fn then goes on alone, until the
// connection is over at the latest, and what it brings is dropped.
func ask[T any](ctx context.Context, d *Driver, fn func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	answers := make(chan answer, 1)
	if !d.run(func() {
		v, err := fn()
		answers <- answer{v, err}
	}) {
		return none, errClosed
	}
	select {
	case a := <-answers:
		return a.v, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// wrap keeps errors that are ours or the caller's, and puts the client's into words.
func (d *Driver) wrap(ctx context.Context, err error) error {
	var known *ci.Error
	switch {
	case err == nil:
		return nil
	case d.closing.Err() != nil:
		return errClosed
	case errors.As(err, &known):
		return err
	case context.Cause(ctx) != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return ctx.Err()
	default:
		return d.failure(err)
	}
}

// failure puts an error of the AMQP client into words.
func (d *Driver) failure(err error) error {
	return ci.Errorf(ci.CodeUnavailable, "the queue (RabbitMQ at %s) does not answer; is it running, and reachable from here? %w", redact(d.cfg.URL), err)
}

// replied says whether the server refused something with this AMQP code.
func replied(err error, code int) bool {
	var refused *amqp.Error
	return errors.As(err, &refused) && refused.Code == code
}

// turn is a lock that who waits for can give up.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) leave() { <-t }
