package nats

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"ci/pkg/ci"
)

// Servers before 2.12 lose acknowledged messages in more ways than one.
const oldestMajor, oldestMinor = 2, 12

// openExternal connects to a server that runs elsewhere. Whether it writes
// each message through to the disk (jetstream.sync_interval: always) is its
// own configuration, which clients can't see.
func openExternal(cfg Config) (*Driver, error) {
	return newDriver(cfg, func(d *Driver) (*nats.Conn, error) {
		opts := d.options()
		if cfg.Credentials != "" {
			opts = append(opts, nats.UserCredentials(cfg.Credentials))
		}
		conn, err := nats.Connect(cfg.URL, opts...)
		if err != nil {
			return nil, d.failure(err)
		}
		if v := conn.ConnectedServerVersion(); !newEnough(v) {
			conn.Close()
			return nil, ci.Errorf(ci.CodeInvalid, "the NATS server at %s has version %s; 2.12 or later is needed, since earlier ones can lose messages", redact(cfg.URL), v)
		}
		return conn, nil
	}, nil)
}

// options are those of every connection.
func (d *Driver) options() []nats.Option {
	return []nats.Option{
		nats.Name("ci"),
		nats.Timeout(patience),
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

func newEnough(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return major > oldestMajor || major == oldestMajor && minor >= oldestMinor
}

// redact removes passwords and tokens from the addresses.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		if err != nil {
			parts[i] = "(an address that can't be read)"
			continue
		}
		u.User = nil
		parts[i] = u.String()
	}
	return strings.Join(parts, ",")
}
