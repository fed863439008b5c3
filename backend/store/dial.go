package store

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"ci/pkg/ci"
)

// A Postgres whose machine loses power, or whose address moves to another, sends
// no word to those who wait for it. The kernel waits about 15 minutes for
// what it has sent, and for ever for an answer. Nobody of ours does:
const (
	// deadAfter is when the kernel gives up a connection whose other end
	// acknowledges nothing, or does not react when nothing was sent.
	deadAfter = 15 * time.Second
	// probeEvery is how often it looks after that end.
	probeEvery = 5 * time.Second
	// connectFor bounds connecting, to each address. connect_timeout in the URL goes before it.
	connectFor = 10 * time.Second
	// pingFor bounds the look at a connection that has rested. Of one that is cut
	// off without the kernel's knowledge, as behind a proxy, nothing is asked then.
	pingFor = 5 * time.Second
	// restedFor is how long a connection has rested that is looked at.
	restedFor = time.Second
	// answerFor bounds each read, and each transaction, that its caller does not.
	answerFor = time.Minute
)

// alive makes connections notice that the server is gone.
func alive(config *pgx.ConnConfig) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectFor
	}
	dialer := &net.Dialer{
		Timeout:         config.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeEvery, Interval: probeEvery, Count: int(deadAfter / probeEvery)},
		Control: func(network, _ string, c syscall.RawConn) (err error) {
			if !strings.HasPrefix(network, "tcp") {
				return nil // a socket of this machine
			}
			if failed := c.Control(func(fd uintptr) { err = setUserTimeout(fd, deadAfter) }); failed != nil {
				return failed
			}
			return err
		},
	}
	config.DialFunc = dialer.DialContext
}

// look is asked before a connection is used again. It looks at it itself, since
// the library would wait as long as its caller; true makes it look once more,
// and find it closed.
func look(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration <= restedFor {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pingFor)
	defer cancel()
	return p.Conn.Ping(ctx) != nil
}

// bounded ends a read or a transaction that the database does not answer.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, answerFor)
}

// silent is the error of a call whose own time was over before its caller's.
func silent(caller context.Context, err error) error {
	if caller.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return &ci.Error{Code: ci.CodeUnavailable, Message: "the database does not answer; what was to be changed may have been or not: look before you try again", Cause: err}
	}
	return err
}
