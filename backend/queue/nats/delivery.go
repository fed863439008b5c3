package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"ci/pkg/ci"
)

// delivery hands out a message that next has found to name a run.
func (d *Driver) delivery(m *nats.Msg, l ci.Lane) ci.Delivery {
	run, _ := runOf(m.Subject, l)
	reply := m.Reply
	return ci.Delivery{
		Run:  run,
		Lane: l,
		Ack:  func(ctx context.Context) error { return d.answer(ctx, reply, "+ACK") },
		Nak:  func(ctx context.Context, delay time.Duration) error { return d.nak(ctx, reply, l, delay) },
	}
}

// nak gives a message back and sees to it that who waits hears of it in time.
func (d *Driver) nak(ctx context.Context, reply string, l ci.Lane, delay time.Duration) error {
	body := "-NAK"
	if delay > 0 {
		body = fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds())
	}
	if err := d.answer(ctx, reply, body); err != nil {
		return err
	}
	d.wakeLater(l, delay)
	return nil
}

// answer tells the server what became of a message and waits until it knows.
func (d *Driver) answer(ctx context.Context, reply, body string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := d.conn.RequestWithContext(ctx, reply, []byte(body)); err != nil {
		return d.wrap(ctx, err)
	}
	return nil
}
