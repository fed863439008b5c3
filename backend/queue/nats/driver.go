// Package nats is the queue and the bus on NATS JetStream: a server inside
// this process by default, or one that runs elsewhere. Both are spoken to in
// the same way.
//
// The stream RUNS has work-queue retention and holds one message for each
// waiting run, with the subject runs.<class>.<priority>.<run> and no body. At
// most one message may live under a subject, so a run is never queued twice.
// Each lane has one durable pull consumer that all agents share.
package nats

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// Config says which server to use, and how.
type Config struct {
	// URL is the server's address, "nats://host:4222" or "tls://host:4222",
	// several of one cluster with commas between them. Parameters may follow:
	// cacertfile (who vouches for the servers), certfile and keyfile (who we
	// are), credentials (a NATS credentials file), replicas (as Replicas). ""
	// starts a server in this process.
	URL string
	// Dir is where the server in this process keeps its files. What is in it
	// may be lost: the database knows which runs wait.
	Dir string
	// Replicas is the number of servers of a cluster that keep each message;
	// 0 means 3 where the cluster has so many, and otherwise 1, or what the
	// stream has already. Must be 0 or 1 without URL.
	Replicas int
	// AckWait is how long an agent may hold a message before another gets it;
	// 0 means 30 seconds.
	AckWait time.Duration
	// Poll is how often a waiting Pull looks by itself, should a wake-up be
	// lost; 0 means 5 seconds. It is spread by a fifth both ways.
	Poll time.Duration
	Log  *slog.Logger
}

// Driver implements queue.Queue, and queue.Bus through Bus. It is safe for
// concurrent use.
type Driver struct {
	cfg    Config
	log    *slog.Logger
	server *embedded // nil when the server runs elsewhere
	conn   *nats.Conn
	js     jetstream.JetStream
	bus    Bus
	wakes  wakes

	lanes   sync.Map // ci.Lane → *lane, those whose consumer is known to exist
	opening sync.Mutex

	warned   sync.Mutex // guards those below
	warnings []string
	looked   uint64 // how often connected when the warnings were found; 0 before

	closing context.Context // ends when Close begins
	close   context.CancelFunc
	once    sync.Once
}

var _ queue.Queue = (*Driver)(nil)

const (
	defaultAckWait = 30 * time.Second
	defaultPoll    = 5 * time.Second
	// patience bounds each single exchange with the server.
	patience = 5 * time.Second
	// firstPatience bounds the start: a cluster may be choosing its leaders.
	firstPatience = 6 * patience
)

// Open connects, or starts a server, and makes the stream. It fails with
// ci.CodeInvalid for a configuration that can't work and with
// ci.CodeUnavailable when the server can't be reached.
func Open(cfg Config) (*Driver, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if cfg.URL == "" {
		return openEmbedded(cfg)
	}
	return openExternal(cfg)
}

func (c *Config) complete() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.AckWait == 0 {
		c.AckWait = defaultAckWait
	}
	if c.Poll == 0 {
		c.Poll = defaultPoll
	}
	switch {
	case c.URL == "" && c.Dir == "":
		return ci.Errorf(ci.CodeInvalid, "the queue needs a folder for the NATS server in this process, or the address of one that runs elsewhere")
	case c.URL == "" && c.Replicas > 1:
		return ci.Errorf(ci.CodeInvalid, "the NATS server in this process can't keep %d replicas; give the address of a cluster, or leave replicas at 1", c.Replicas)
	case c.Replicas < 0 || c.Replicas > 5:
		return ci.Errorf(ci.CodeInvalid, "%d replicas are not possible in NATS; use 1, 3 or 5", c.Replicas)
	}
	return nil
}

// newDriver wraps a connection whose server is ready, and makes the stream.
func newDriver(cfg Config, connect func(*Driver) (*nats.Conn, error), srv *embedded) (*Driver, error) {
	d := &Driver{cfg: cfg, log: cfg.Log, server: srv}
	d.closing, d.close = context.WithCancel(context.Background())
	conn, err := connect(d)
	if err != nil {
		d.close()
		return nil, err
	}
	d.conn = conn
	d.bus.conn = conn
	if err := d.start(); err != nil {
		d.close()
		conn.Close()
		return nil, err
	}
	return d, nil
}

func (d *Driver) start() error {
	js, err := jetstream.New(d.conn, jetstream.WithPublishAsyncTimeout(patience), jetstream.WithDefaultTimeout(patience))
	if err != nil {
		return ci.Errorf(ci.CodeInternal, "the NATS client could not be set up: %w", err)
	}
	d.js = js
	return d.firstStream()
}

// firstStream makes the stream when the driver starts. A cluster that has just
// started, or chooses a leader, loses questions without a word, so each is short
// and asked again. The server in this process loses none; its disk may be slow.
func (d *Driver) firstStream() error {
	if d.server != nil {
		ctx, cancel := context.WithTimeout(d.closing, 2*patience)
		defer cancel()
		return d.ensureStream(ctx)
	}
	ctx, cancel := context.WithTimeout(d.closing, firstPatience)
	defer cancel()
	for {
		attempt, end := context.WithTimeout(ctx, patience/2)
		err := d.ensureStream(attempt)
		end()
		if err == nil || ctx.Err() != nil || !electing(err) {
			return err
		}
		d.log.Info("NATS does not answer yet; it is asked again", "err", err)
		pauseFor(ctx, patience/20)
	}
}

// electing says whether err is what a cluster without a leader answers, or does not.
func electing(err error) bool {
	const clusterNotAvailable = 10008
	var refused *jetstream.APIError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &refused) && refused.ErrorCode == clusterNotAvailable
}

// Bus returns the bus on the same connection. It ends with the driver.
func (d *Driver) Bus() *Bus { return &d.bus }

// Check returns nil when the queue answers and keeps messages.
func (d *Driver) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := d.js.Stream(ctx, streamName); err != nil {
		return d.failure(err)
	}
	return nil
}

// Close ends all Pulls and subscriptions, and the server if it is our own. It
// waits a while for that server, but not for callbacks of subscriptions that still run.
func (d *Driver) Close() error {
	d.once.Do(func() {
		d.close()
		if d.conn.IsConnected() {
			_ = d.conn.FlushTimeout(time.Second) // hints only; losing them costs a poll
		}
		d.conn.Close()
		if d.server != nil {
			d.server.stop(d.log)
		}
	})
	return nil
}

// failure puts an error of the NATS client into words.
func (d *Driver) failure(err error) error {
	switch {
	case d.closing.Err() != nil:
		return errClosed
	case d.server != nil:
		return ci.Errorf(ci.CodeUnavailable, "the queue (NATS in this process, folder %s) does not answer; is its disk full or slow? %w", d.cfg.Dir, err)
	default:
		return ci.Errorf(ci.CodeUnavailable, "the queue (NATS at %s) does not answer; is it running, with JetStream, and reachable from here? %w", redact(d.cfg.URL), err)
	}
}

var errClosed = &ci.Error{Code: ci.CodeUnavailable, Message: "the queue is closed: this process is shutting down"}
