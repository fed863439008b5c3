package rabbitmq

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"ci/backend/queue"
	"ci/pkg/ci"
)

// split reads the addresses and refuses those that can't be one.
func split(urls string) ([]string, error) {
	var all []string
	for _, u := range strings.Split(urls, ",") {
		u = strings.TrimSpace(u)
		// The client's own words may hold the password.
		if _, err := amqp.ParseURI(u); err != nil {
			return nil, ci.Errorf(ci.CodeInvalid, "the queue's address %s can't be used; it has to look like amqp://USER:PASSWORD@HOST:5672/VHOST, with special signs in the password written as %%XX", redact(u))
		}
		all = append(all, u)
	}
	return all, nil
}

// redact removes passwords from the addresses.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		if err != nil {
			parts[i] = "(an address that can't be read)"
			continue
		}
		u.User, u.RawQuery = nil, ""
		parts[i] = u.String()
	}
	return strings.Join(parts, ",")
}

// dial connects to one of the addresses, in any order.
func (l *link) dial() (conn *line, err error) {
	var errs []error
	for _, i := range rand.Perm(len(l.addresses)) {
		if conn, err = l.dialOne(l.addresses[i]); err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (l *link) dialOne(address string) (*line, error) {
	conn, err := connect(l.d.dead, address, l.name, l.d.cfg.Answer)
	if err != nil {
		return nil, l.d.refused(err)
	}
	if err := usable(conn.Properties); err != nil {
		conn.cut(grace)
		return nil, err
	}
	return conn, nil
}

// refused tells what the settings can mend from what time can.
func (d *Driver) refused(err error) error {
	if !refusal(err) {
		return d.failure(err)
	}

	return ci.Errorf(ci.CodeInvalid, "RabbitMQ at %s refuses the log-in; are user, password and vhost right, and may the user configure, write and read there? %w", redact(d.cfg.URL), err)
}

// refusal says whether the server doesn't want us. While it starts it also
// refuses a vhost that is not up yet, and one that fails and is started again.
func refusal(err error) bool {
	if errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrSASL) {
		return true
	}
	var answer *amqp.Error
	return errors.As(err, &answer) && (answer.Code == amqp.AccessRefused || answer.Code == amqp.NotAllowed && !strings.HasSuffix(answer.Reason, "is down"))
}

// usable refuses servers whose quorum queues are not what we count on.
func usable(server amqp.Table) error {
	product, _ := server["product"].(string)
	version, _ := server["version"].(string)
	if product != "RabbitMQ" || !queue.AtLeast(version, 3, 10) {
		return ci.Errorf(ci.CodeInvalid, "the queue's server is %q, version %q; RabbitMQ 3.10 or later is needed", product, version)
	}
	return nil
}
