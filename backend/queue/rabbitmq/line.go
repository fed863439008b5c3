package rabbitmq

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// line is one connection to the server and the socket under it. The client
// library waits for an answer for as long as the connection lives, and a
// server that owes one may send heartbeats all the same. So nothing is asked
// but within bounded, and a line that is cut is over in any case.
type line struct {
	*amqp.Connection
	socket net.Conn
	answer time.Duration // see Config.Answer
}

// grace is how long a server may take to say goodbye.
const grace = time.Second

// cut ends the connection, and with it all that waits on it. It returns once
// that is done, after grace at the latest; it may be called more than once.
func (w *line) cut(grace time.Duration) {
	late := time.AfterFunc(grace, func() { _ = w.socket.Close() })
	defer late.Stop()
	_ = w.CloseDeadline(time.Now().Add(grace))
}

var errOwed = errors.New("RabbitMQ owed an answer for too long")

// bounded has fn speak to the server, and cuts the line when that takes longer
// than an answer may.
func (w *line) bounded(fn func() error) error {
	var owed atomic.Bool
	late := time.AfterFunc(w.answer, func() {
		owed.Store(true)
		w.cut(grace)
	})
	defer late.Stop()
	err := fn()
	if err != nil && owed.Load() {
		return errors.Join(errOwed, err)
	}
	return err
}

// connect does the handshake with one server, in bounded time.
func connect(ctx context.Context, address, name string, answer time.Duration) (*line, error) {
	w := &line{answer: answer}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := func() bool { return true }
	conn, err := amqp.DialConfig(address, amqp.Config{
		Heartbeat:  heartbeat,
		Properties: amqp.Table{"connection_name": name, "product": "ci"},
		Dial: func(network, addr string) (net.Conn, error) {
			socket, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			// A server may listen and not answer, or send heartbeats only.
			stop = context.AfterFunc(ctx, func() { _ = socket.Close() })
			w.socket = socket
			return socket, nil
		},
	})
	if err == nil && !stop() {
		err = context.Cause(ctx)
		_ = conn.CloseDeadline(time.Now())
	}
	if err != nil {
		return nil, err
	}
	w.Connection = conn
	return w, nil
}
