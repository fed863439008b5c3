package nats

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// Servers before 2.12 lose acknowledged messages in more ways than one.
const oldestMajor, oldestMinor = 2, 12

// A server that does not answer a few pings is frozen or cut off, though its
// connection stands: the next of its cluster is tried. The client's own
// choice, two minutes, would be longer than any lease.
const (
	pingEvery = 5 * time.Second
	maxPings  = 2
)

// openExternal connects to servers that run elsewhere.
func openExternal(cfg Config) (*Driver, error) {
	where, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	if where.replicas != 0 {
		cfg.Replicas = where.replicas
	}
	d, err := newDriver(cfg, func(d *Driver) (*nats.Conn, error) {
		conn, err := nats.Connect(strings.Join(where.servers, ","), append(d.options(), where.options()...)...)
		if err != nil {
			return nil, d.refused(err)
		}
		if v := conn.ConnectedServerVersion(); !queue.AtLeast(v, oldestMajor, oldestMinor) {
			conn.Close()
			return nil, ci.Errorf(ci.CodeInvalid, "the NATS server at %s has version %s; 2.12 or later is needed, since earlier ones can lose messages", redact(cfg.URL), v)
		}
		return conn, nil
	}, nil)
	if err != nil {
		return nil, err
	}
	for _, w := range d.Warnings(d.closing) {
		cfg.Log.Warn("the queue works, but: " + w)
	}
	return d, nil
}

// refused tells what the settings can mend from what time can.
func (d *Driver) refused(err error) error {
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, os.ErrNotExist) {
		return ci.Errorf(ci.CodeInvalid, "NATS at %s refuses the log-in; are user and password, or the files in the address, right? %w", redact(d.cfg.URL), err)
	}
	return d.failure(err)
}

// options are those of every connection.
func (d *Driver) options() []nats.Option {
	return []nats.Option{
		nats.Name("ci"),
		nats.Timeout(patience),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(maxPings),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond),
		// While the server is away, publishing fails at once: old hints are of no use later.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if d.closing.Err() == nil {
				d.log.Warn("the connection to NATS is lost; it is tried again", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			d.log.Info("the connection to NATS is back")
			d.lanes.Clear() // a server that was restarted has forgotten them
			d.wakes.all()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				d.log.Warn("a subscription to NATS drops messages", "topic", sub.Subject, "err", err)
				return
			}
			d.log.Warn("NATS reports an error", "err", err)
		}),
	}
}
