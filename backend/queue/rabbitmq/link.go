package rabbitmq

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/pkg/ci"
)

// link is one connection that is made again whenever it is lost.
type link struct {
	d         *Driver
	name      string
	addresses []string
	// prepare is called with each new connection before anyone else has it.
	prepare func(*line) error

	mu      sync.Mutex
	conn    *line         // nil while there is none
	up      chan struct{} // closed while there is one
	why     error         // why there is none
	blocked string        // why the server takes nothing; "" when it does
}

func newLink(d *Driver, name string, addresses []string, prepare func(*line) error) *link {
	return &link{d: d, name: name, addresses: addresses, prepare: prepare, up: make(chan struct{})}
}

// open makes the first connection and keeps it from then on.
func (l *link) open() error {
	conn, err := l.connect()
	if err != nil {
		return err
	}
	if !l.d.run(func() { l.keep(conn) }) {
		return errClosed
	}
	return nil
}

// connect makes a connection that others may use.
func (l *link) connect() (*line, error) {
	conn, err := l.dial()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(l.d.dead, func() { conn.cut(0) })
	defer stop()
	if err := conn.bounded(func() error { return l.prepare(conn) }); err != nil {
		conn.cut(grace)
		return nil, l.d.refused(err)
	}
	l.d.lanes.Clear() // a server that was restarted may have forgotten them
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.d.dead.Err() != nil {
		conn.cut(0)
		return nil, errClosed
	}
	l.conn, l.why, l.blocked = conn, nil, ""
	close(l.up)
	return conn, nil
}

// keep replaces the connection until the driver is closed.
func (l *link) keep(conn *line) {
	for conn != nil {
		err := l.watch(conn)
		l.lost(err)
		if l.d.closing.Err() == nil {
			l.d.log.Warn("a connection to RabbitMQ is lost; it is tried again", "connection", l.name, "err", err)
		}
		conn = l.again()
	}
}

// watch returns when the connection is over, and why.
func (l *link) watch(conn *line) error {
	over := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 1))
	for {
		select {
		case b, ok := <-blocks:
			if !ok {
				blocks = nil
				continue
			}
			l.block(b)
		case err := <-over:
			if err == nil {
				return amqp.ErrClosed
			}
			return err
		}
	}
}

func (l *link) block(b amqp.Blocking) {
	l.mu.Lock()
	l.blocked = ""
	if b.Active {
		l.blocked = b.Reason
	}
	l.mu.Unlock()
	l.d.log.Warn("RabbitMQ changes whether it takes messages", "refuses", b.Active, "reason", b.Reason)
}

func (l *link) lost(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.why, l.up = nil, err, make(chan struct{})
}

// again connects, however long it takes; nil when the driver is closed.
func (l *link) again() *line {
	for {
		select {
		case <-l.d.closing.Done():
			return nil
		case <-time.After(spread(l.d.cfg.Retry)):
		}
		conn, err := l.connect()
		if err == nil {
			l.d.log.Info("a connection to RabbitMQ is back", "connection", l.name)
			return conn
		}
		l.mu.Lock()
		l.why = err
		l.mu.Unlock()
		l.d.log.Debug("RabbitMQ is not back yet", "connection", l.name, "err", err)
	}
}

// spread keeps many agents from asking at the same time.
func spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.5 + rand.Float64()))
}

// now returns the connection, or a ci.CodeUnavailable that says why there is none.
func (l *link) now() (*line, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.d.closing.Err() != nil:
		return nil, errClosed
	case l.conn == nil:
		return nil, l.d.failure(l.why)
	}
	return l.conn, nil
}

// wait returns the connection once there is one.
func (l *link) wait(ctx context.Context) (*line, error) {
	for {
		l.mu.Lock()
		conn, up := l.conn, l.up
		l.mu.Unlock()
		if err := l.d.ended(ctx); err != nil || conn != nil {
			return conn, err
		}
		select {
		case <-up:
		case <-ctx.Done():
		case <-l.d.closing.Done():
		}
	}
}

// refuses says why nothing can be published at the moment; nil when it can.
func (l *link) refuses() error {
	l.mu.Lock()
	blocked := l.blocked
	l.mu.Unlock()
	if blocked != "" {
		return ci.Errorf(ci.CodeUnavailable, "RabbitMQ at %s takes no messages, it has not enough memory or disk (%s); give it more", redact(l.d.cfg.URL), blocked)
	}
	_, err := l.now()
	return err
}

// end closes the connection for good.
func (l *link) end() {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		conn.cut(grace)
	}
}
