package rabbitmq

import (
	"context"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/pkg/ci"
)

const (
	lanePrefix = "ci.runs."
	// deadQueue gets what names no run.
	deadQueue = "ci.dead"
	// returns is how often a message may come back before RabbitMQ gives it up:
	// never, in practice. A run that nobody can claim for a while is no poison.
	returns = 1 << 20
)

// queueOf names the queue of a lane. A class may hold dots, a priority has none.
func queueOf(l ci.Lane) string { return lanePrefix + l.Class + "." + string(l.Priority) }

// bodyOf is the message of a run.
func bodyOf(run int64) []byte { return strconv.AppendInt(nil, run, 10) }

// runOf reads a message; false when it names no run.
func runOf(body []byte) (int64, bool) {
	if len(body) > 20 { // digits of the largest id; also what may be megabytes
		return 0, false
	}
	id, err := strconv.ParseInt(string(body), 10, 64)
	return id, err == nil && id > 0 && string(bodyOf(id)) == string(body)
}

// lane makes the queue of a lane where it is not known to exist.
func (d *Driver) lane(conn *line, l ci.Lane) error {
	d.met.Store(l, true)
	if _, known := d.lanes.Load(l); known {
		return nil
	}
	d.opening.Lock()
	defer d.opening.Unlock()
	if _, known := d.lanes.Load(l); known {
		return nil
	}
	_, found, err := inspect(conn, queueOf(l))
	if err != nil {
		return err
	}
	if !found {
		d.live.forget(l) // whatever was in it is gone with it
	}
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	defer func() { _ = ch.Close() }()
	_, err = ch.QueueDeclare(queueOf(l), true, false, false, false, amqp.Table{
		"x-queue-type":              "quorum",
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": deadQueue,
		"x-delivery-limit":          returns,
	})
	if replied(err, amqp.PreconditionFailed) && strings.Contains(err.Error(), "inequivalent arg") {
		return ci.Errorf(ci.CodeInvalid, "RabbitMQ has a queue %s that is set up differently; it can be removed, since waiting runs are queued again from the database: %w", queueOf(l), err)
	}
	if err == nil && !conn.IsClosed() {
		d.lanes.Store(l, true)
	}
	return err
}

// inspect counts the waiting messages of a queue. It has a channel of its own,
// since RabbitMQ closes one that asks for a queue that isn't there.
func inspect(conn *line, name string) (waiting int, found bool, err error) {
	ch, err := conn.Channel()
	if err != nil {
		return 0, false, err
	}
	q, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if replied(err, amqp.NotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return q.Messages, true, ch.Close()
}

// Depth counts the waiting messages of each lane that this process has used.
// Those in an agent's hands are not among them. RabbitMQ tells its clients no
// names, so lanes that others use alone are missing.
func (d *Driver) Depth(ctx context.Context) (map[ci.Lane]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	conn, err := d.pulls.now()
	if err != nil {
		return nil, err
	}
	depths, err := ask(ctx, d, func() (map[ci.Lane]int, error) {
		depths := map[ci.Lane]int{}
		var err error
		d.met.Range(func(k, _ any) bool {
			l := k.(ci.Lane)
			err = conn.bounded(func() (err error) { depths[l], _, err = inspect(conn, queueOf(l)); return err })
			return err == nil
		})
		return depths, err
	})
	return depths, d.wrap(ctx, err)
}
