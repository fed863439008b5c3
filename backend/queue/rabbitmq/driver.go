// Package rabbitmq is the queue and the bus on RabbitMQ servers.
//
// Each lane is a quorum queue, ci.runs.<class>.<priority>. A message is the
// run's id in decimal. What is no such id goes to the queue ci.dead. RabbitMQ
// doesn't know whether a run has a message already, so the publishers keep
// account of it: see live.
package rabbitmq

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// Config says which server to use, and how.
type Config struct {
	// URL is the server's address, "amqp://user:password@host:5672/vhost" or
	// "amqps://…?cacertfile=PATH", those of a cluster with commas between them.
	// Everything that is made is in that vhost and has a name that begins with
	// "ci.".
	URL string
	// AckWait is how long an agent may hold a message before another gets it;
	// 0 means 30 seconds.
	AckWait time.Duration
	// Doubt is the age from which a message that is said to be live is looked
	// for when its run is published again; 0 means AckWait and 5 seconds more.
	Doubt time.Duration
	// Poll is how often a Pull that waits looks by itself; 0 means 30 seconds. It
	// is spread by a half both ways.
	Poll time.Duration
	// Answer is how long the server may owe an answer before its connection is
	// given up; 0 means 20 seconds: RabbitMQ itself gives up what its queues
	// don't answer after 15.
	Answer time.Duration
	// Retry is the pause between two tries to reach the server; 0 means half a
	// second. It is spread by a half both ways.
	Retry time.Duration
	Log   *slog.Logger
}

// Driver implements queue.Queue, and queue.Bus through Bus. It is safe for
// concurrent use.
//
// It has two connections: a server that is short of memory or disk stops
// reading from those that publish, and messages must go on to agents then.
type Driver struct {
	cfg         Config
	log         *slog.Logger
	id          string // of this process, on what it says of messages
	pulls, pubs *link
	bus         Bus
	live        live
	lanes       sync.Map // ci.Lane → true, those whose queue is known to exist
	met         sync.Map // ci.Lane → true, all that were ever used here
	opening     sync.Mutex
	publishing  turn // guards publisher
	publisher   *publisher
	idle        chan *seat

	closing context.Context // ends when Close begins
	close   context.CancelFunc
	dead    context.Context // ends when the connections are closed
	kill    context.CancelFunc
	once    sync.Once
	mu      sync.Mutex // guards closed and work.Add
	closed  bool
	work    sync.WaitGroup
}

var _ queue.Queue = (*Driver)(nil)

const (
	defaultAckWait = 30 * time.Second
	defaultPoll    = 30 * time.Second
	defaultRetry   = 500 * time.Millisecond
	defaultAnswer  = 20 * time.Second
	// patience bounds what a caller waits for.
	patience = 5 * time.Second
	// heartbeat is how often either side says that it lives. One that is silent
	// for about twice as long has lost the connection, and what it held.
	heartbeat = 10 * time.Second
)

// Open connects and makes what all lanes need. It fails with ci.CodeInvalid
// for addresses or a server that can't be used, and with ci.CodeUnavailable
// when no server can be reached.
func Open(cfg Config) (*Driver, error) {
	addresses, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg, log: cfg.Log, id: uuid.NewString(), publishing: newTurn(), idle: make(chan *seat, 8)}
	d.closing, d.close = context.WithCancel(context.Background())
	d.dead, d.kill = context.WithCancel(context.Background())
	d.live.doubt = cfg.Doubt
	d.bus.start(d)
	d.pulls = newLink(d, "ci pull", addresses, d.bus.listen)
	d.pubs = newLink(d, "ci publish", addresses, d.declare)
	for _, l := range []*link{d.pubs, d.pulls} {
		if err := l.open(); err != nil {
			_ = d.Close()
			return nil, err
		}
	}
	return d, nil
}

func (c *Config) complete() (addresses []string, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.AckWait == 0 {
		c.AckWait = defaultAckWait
	}
	if c.Doubt == 0 {
		c.Doubt = c.AckWait + 5*time.Second
	}
	if c.Poll == 0 {
		c.Poll = defaultPoll
	}
	if c.Answer == 0 {
		c.Answer = defaultAnswer
	}
	if c.Retry == 0 {
		c.Retry = defaultRetry
	}
	return split(c.URL)
}

// declare makes what all lanes and the bus need. Doing it again changes nothing.
func (d *Driver) declare(conn *line) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	defer func() { _ = ch.Close() }()
	if err := declareExchange(ch); err != nil {
		return err
	}
	// What is there is for people to look at, so it is bounded.
	_, err = ch.QueueDeclare(deadQueue, true, false, false, false, amqp.Table{
		"x-max-length": 1000, "x-max-length-bytes": 32 << 20, "x-overflow": "drop-head",
		"x-message-ttl": int64(7 * 24 * time.Hour / time.Millisecond),
	})
	if replied(err, amqp.NotFound) {
		// It lies on one server of a cluster, and that one is down. Runs don't need it.
		d.log.Warn("the server of a cluster that keeps the queue "+deadQueue+" is down; messages that name no run are dropped until it is back", "err", err)
		return nil
	}
	return err
}

// Bus returns the bus on the same connections. It ends with the driver.
func (d *Driver) Bus() *Bus { return &d.bus }

// Check returns nil when the server answers and takes messages.
func (d *Driver) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := d.pubs.refuses(); err != nil {
		return err
	}
	conn, err := d.pulls.now()
	if err != nil {
		return err
	}
	_, err = ask(ctx, d, func() (found bool, err error) {
		err = conn.bounded(func() error {
			_, found, err = inspect(conn, deadQueue)
			return err
		})
		return found, err
	})
	return d.wrap(ctx, err)
}

// Close ends all Pulls and subscriptions, and gives back what is in hand. It
// does not wait for callbacks of subscriptions that still run.
func (d *Driver) Close() error {
	d.once.Do(func() {
		d.close()
		d.bus.end() // says what is still to be said
		d.mu.Lock()
		d.closed = true
		d.mu.Unlock()
		d.pubs.end()
		d.pulls.end()
		d.kill()
		d.work.Wait()
	})
	return nil
}

// run starts a goroutine that Close waits for; false when it is too late.
func (d *Driver) run(fn func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.work.Go(fn)
	return true
}

// ended says why a call must not go on: the driver is closed, or ctx over.
func (d *Driver) ended(ctx context.Context) error {
	if d.closing.Err() != nil {
		return errClosed
	}
	return ctx.Err()
}

var errClosed = &ci.Error{Code: ci.CodeUnavailable, Message: "the queue is closed: this process is shutting down"}
