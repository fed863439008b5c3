package rabbitmq

import (
	"context"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/backend/queue"
	"ci/pkg/ci"
)

const (
	exchange  = "ci.bus"
	busPrefix = "bus."
	// What may wait in the server for one process; the oldest is dropped.
	maxInServer, maxInServerBytes = 1 << 16, 64 << 20
)

// Bus implements queue.Bus: a topic exchange, and one queue for each process
// that ends with its connection. Nothing is confirmed or stored.
type Bus struct {
	d    *Driver
	out  chan saying
	over chan struct{} // closed when the writer has ended

	binding turn // guards the server's bindings against those that we want
	mu      sync.Mutex
	conn    *line // listens; nil before the first connection
	ch      *amqp.Channel
	queue   string
	ears    map[*ear]bool
	keys    map[string]int // binding key → how many want it
}

var _ queue.Bus = (*Bus)(nil)

// saying is one message on its way out.
type saying struct {
	key string
	msg amqp.Publishing
}

func (b *Bus) start(d *Driver) {
	b.d, b.out, b.over, b.binding = d, make(chan saying, 1024), make(chan struct{}), newTurn()
	b.ears, b.keys = map[*ear]bool{}, map[string]int{}
	d.run(func() {
		defer close(b.over)
		b.write()
	})
}

func declareExchange(ch *amqp.Channel) error {
	return ch.ExchangeDeclare(exchange, "topic", true, false, false, false, nil)
}

// Publish sends data to whoever listens to the topic at the moment. It does
// not wait for them. It fails with ci.CodeUnavailable while RabbitMQ is away.
func (b *Bus) Publish(ctx context.Context, topic string, data []byte) error {
	if err := queue.CheckTopic(topic, false); err != nil {
		return err
	}
	if len(topic) > 200 { // a routing key has at most 255 bytes
		return ci.Errorf(ci.CodeInvalid, "the topic %.50q… is longer than 200 bytes", topic)
	}
	if err := b.d.pubs.refuses(); err != nil {
		return err
	}
	return b.say(ctx, busPrefix+topic, amqp.Publishing{Body: data}, true)
}

// say hands a message to the writer. When it is behind, say waits, or drops it.
func (b *Bus) say(ctx context.Context, key string, m amqp.Publishing, wait bool) error {
	s := saying{key, m}
	select {
	case b.out <- s:
		return nil
	default:
	}
	if !wait {
		return nil
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case b.out <- s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-b.d.closing.Done():
		return errClosed
	case <-late.C:
		return ci.Errorf(ci.CodeUnavailable, "the message to %q is not sent: RabbitMQ at %s does not take what is sent before", key, redact(b.d.cfg.URL))
	}
}

// write sends what is said, until the driver closes, and then what is left. A
// message that can't be sent is dropped, as the connection was lost with it.
func (b *Bus) write() {
	var ch *amqp.Channel
	var on *line
	send := func(s saying) {
		b.d.pubs.mu.Lock()
		conn := b.d.pubs.conn
		b.d.pubs.mu.Unlock()
		if conn == nil {
			return
		}
		if on != conn || ch.IsClosed() {
			err := conn.bounded(func() (err error) { ch, err = conn.Channel(); return err })
			if err != nil {
				on = nil
				return
			}
			on = conn
		}
		_ = ch.Publish(exchange, s.key, false, false, s.msg)
	}
	for {
		select {
		case s := <-b.out:
			send(s)
		case <-b.d.closing.Done():
			for {
				select {
				case s := <-b.out:
					send(s)
				default:
					return
				}
			}
		}
	}
}

// end waits a little for the writer, and ends the ears.
func (b *Bus) end() {
	select {
	case <-b.over:
	case <-time.After(time.Second): // hints only
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for e := range b.ears {
		e.close()
	}
}

// listen makes this process's queue on a new connection, with all bindings
// that are wanted, and begins to read it.
func (b *Bus) listen(conn *line) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := declareExchange(ch); err != nil {
		return err
	}
	q, err := ch.QueueDeclare("", false, true, true, false, amqp.Table{
		"x-max-length": maxInServer, "x-max-length-bytes": maxInServerBytes, "x-overflow": "drop-head",
	})
	if err != nil {
		return err
	}
	if err := b.binding.take(b.d.dead); err != nil {
		return err
	}
	defer b.binding.leave()
	b.mu.Lock()
	b.conn, b.ch, b.queue = conn, ch, q.Name
	keys := make([]string, 0, len(b.keys))
	for k := range b.keys {
		keys = append(keys, k)
	}
	b.mu.Unlock()
	for _, k := range keys {
		if err := ch.QueueBind(q.Name, k, exchange, false, nil); err != nil {
			return err
		}
	}
	deliveries, err := ch.Consume(q.Name, "", true, true, false, false, nil)
	if err != nil {
		return err
	}
	if !b.d.run(func() { b.read(conn, deliveries) }) {
		return errClosed
	}
	return nil
}

// read hands out what comes. It never waits for who listens.
func (b *Bus) read(conn *line, deliveries <-chan amqp.Delivery) {
	for m := range deliveries {
		topic, ok := strings.CutPrefix(m.RoutingKey, busPrefix)
		if !ok {
			b.d.live.heard(m, b.d.id)
			continue
		}
		words := strings.Split(topic, ".")
		b.mu.Lock()
		for e := range b.ears {
			if e.hears(words) {
				e.put(topic, m.Body)
			}
		}
		b.mu.Unlock()
	}
	// Without its queue the connection is of no use; a new one gets a new queue.
	conn.cut(grace)
}
