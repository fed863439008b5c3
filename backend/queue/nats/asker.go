package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// asker puts one question at a time to consumers. A message comes under the
// subject that it was published to, so the client can't tell whose request it
// answers: each Pull has an inbox of its own.
type asker struct {
	conn  *nats.Conn
	inbox *nats.Subscription
}

// ask takes a message from a consumer, named by the subject of its requests;
// nil when it has none to give and gets none meanwhile.
func (a *asker) ask(ctx context.Context, next string, wait time.Duration) (*nats.Msg, error) {
	if a.inbox == nil {
		inbox, err := a.conn.SubscribeSync(a.conn.NewInbox())
		if err != nil {
			return nil, err
		}
		a.inbox = inbox
	}
	m, err := a.request(ctx, next, wait)
	if err != nil {
		// A late answer must not be taken for that of the next question. The
		// server drops the request with the inbox.
		a.close()
		return nil, err
	}
	status, description := m.Header.Get("Status"), m.Header.Get("Description")
	switch {
	case status == "":
		return m, nil
	case status == "404" || status == "408": // empty, or what there is goes to those who asked before
		return nil, nil
	case status == "409" && strings.Contains(description, "MaxWaiting"): // hundreds of others ask at this moment
		return nil, nil
	case status == "503":
		return nil, nats.ErrNoResponders
	default:
		return nil, errors.New("NATS answers " + status + " " + description)
	}
}

func (a *asker) request(ctx context.Context, next string, wait time.Duration) (*nats.Msg, error) {
	body := `{"batch":1,"no_wait":true}`
	if wait > 0 {
		body = fmt.Sprintf(`{"batch":1,"expires":%d}`, wait.Nanoseconds())
	}
	if err := a.conn.PublishRequest(next, a.inbox.Subject, []byte(body)); err != nil {
		return nil, err
	}
	return a.inbox.NextMsgWithContext(ctx)
}

func (a *asker) close() {
	if a.inbox != nil {
		_ = a.inbox.Unsubscribe()
		a.inbox = nil
	}
}
