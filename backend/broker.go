package backend

import (
	"context"
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
	// Queue is the driver itself: agents use what only some of them can, see
	// agentd.Hesitant.
	queue.Queue
	bus      queue.Bus
	warnings func(context.Context) []string
}

// Bus ends when the Broker is closed.
func (b *Broker) Bus() queue.Bus { return b.bus }

// Warnings are sentences about a server that keeps messages less well than it
// could; a client can't see all of a server's settings.
func (b *Broker) Warnings(ctx context.Context) []string { return b.warnings(ctx) }

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
		// RabbitMQ tells its clients nothing of how it keeps messages.
		return &Broker{d, d.Bus(), func(context.Context) []string { return nil }}, nil
	case "", "nats", "tls":
		d, err := nats.Open(nats.Config{URL: address, Dir: filepath.Join(dir, "queue"), Log: log})
		if err != nil {
			return nil, err
		}
		return &Broker{d, d.Bus(), d.Warnings}, nil
	}
	if u, err := url.Parse(first); err != nil || u.Host == "" {
		scheme = "" // it may be anything, a password too
	}
	return nil, ci.Errorf(ci.CodeInvalid, "the queue's address has the scheme %q; it has to begin with nats://, tls://, amqp:// or amqps://", scheme)
}
