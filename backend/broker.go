package backend

import (
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"

	"ci/backend/queue"
	"ci/backend/queue/nats"
	"ci/backend/queue/rabbitmq"
	"ci/pkg/ci"
)

// Broker is the queue and the bus of one message server.
type Broker struct {
	queue.Queue
	bus queue.Bus
}

// Bus ends when the Broker is closed.
func (b *Broker) Bus() queue.Bus { return b.bus }

// OpenBroker opens the message server that address names by its scheme:
// nats or tls (NATS), amqp or amqps (RabbitMQ); several servers of one cluster
// have commas between them. "" starts a NATS server in this process, with its
// files in dir/queue.
func OpenBroker(address, dir string, log *slog.Logger) (*Broker, error) {
	first, _, _ := strings.Cut(address, ",")
	scheme, _, _ := strings.Cut(first, "://")
	switch scheme {
	case "amqp", "amqps":
		d, err := rabbitmq.Open(rabbitmq.Config{URL: address, Log: log})
		if err != nil {
			return nil, err
		}
		return &Broker{d, d.Bus()}, nil
	case "", "nats", "tls":
		d, err := nats.Open(nats.Config{URL: address, Dir: filepath.Join(dir, "queue"), Log: log})
		if err != nil {
			return nil, err
		}
		return &Broker{d, d.Bus()}, nil
	}
	if u, err := url.Parse(first); err != nil || u.Host == "" {
		scheme = "" // it may be anything, a password too
	}
	return nil, ci.Errorf(ci.CodeInvalid, "the queue's address has the scheme %q; it has to begin with nats://, tls://, amqp:// or amqps://", scheme)
}
