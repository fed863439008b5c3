package rabbitmq

import (
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// inflow is what the server brings to one Pull that waits: at most one message
// of each lane.
type inflow struct {
	ring    chan struct{} // holds one: something has happened
	readers sync.WaitGroup

	mu  sync.Mutex
	all []arrival
	// over are the lanes whose consumer was ended by the server.
	over []bool
}

// arrival is a message of a lane, by its index.
type arrival struct {
	lane int
	m    amqp.Delivery
}

func newInflow(lanes int) *inflow {
	return &inflow{ring: make(chan struct{}, 1), over: make([]bool, lanes)}
}

// open begins to consume.
func (in *inflow) open(s *seat, want wanted) error {
	for i, l := range want.lanes {
		deliveries, err := s.ch.Consume(queueOf(l), tag(i), false, false, false, false, amqp.Table{"x-priority": want.eager})
		if replied(err, amqp.NotFound) {
			s.d.lanes.Delete(l)
		}
		if err != nil {
			return err
		}
		in.readers.Go(func() { in.read(i, deliveries) })
	}
	return nil
}

func tag(lane int) string { return fmt.Sprintf("ci-%d", lane) }

func (in *inflow) read(lane int, deliveries <-chan amqp.Delivery) {
	for m := range deliveries {
		in.mu.Lock()
		in.all = append(in.all, arrival{lane, m})
		in.mu.Unlock()
		in.rings()
	}
	in.mu.Lock()
	in.over[lane] = true
	in.mu.Unlock()
	in.rings()
}

func (in *inflow) rings() {
	select {
	case in.ring <- struct{}{}:
	default:
	}
}

var errQueueGone = errors.New("RabbitMQ has removed a lane's queue")

// shut ends consuming; what came until then is in in.all. Where a queue was
// removed it fails, and ends the connection: RabbitMQ 3.10 takes 15 seconds to
// close a channel that had a consumer there, and answers nobody meanwhile.
func (in *inflow) shut(s *seat) error {
	in.mu.Lock()
	gone := false
	for _, over := range in.over {
		gone = gone || over
	}
	in.mu.Unlock()
	if gone {
		s.conn.cut(100 * time.Millisecond)
		return errQueueGone
	}
	// Nobody waits until the queues have agreed to it, one after the other: a run
	// would wait for that, too. What is still on its way goes back with the channel.
	for i := range in.over {
		if err := s.ch.Cancel(tag(i), true); err != nil {
			return err
		}
	}
	in.readers.Wait()
	return nil
}
