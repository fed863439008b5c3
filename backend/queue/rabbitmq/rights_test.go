package rabbitmq

import (
	"fmt"
	"net/url"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
)

// agentRights is what docs/operations.md gives to an agent: to configure, write and read.
var agentRights = [3]string{
	`^(ci\.(runs\..*|dead|bus)|amq\.gen.*)$`,
	`^(ci\.(runs\..*|dead|bus)|amq\.(gen.*|default))$`,
	`^(ci\.(runs\..*|dead|bus)|amq\.gen.*)$`,
}

// cidRights is what it gives to a cid, for all three.
const cidRights = `^(ci\..*|amq\.(gen.*|default))$`

// rights wants an agent to do its work with the rights of the manual, and no more.
func rights(t *testing.T, server *rabbitserver.Server) {
	address := server.URL(t)
	u, err := url.Parse(address)
	require.NoError(t, err)
	for user, may := range map[string][3]string{"agent": agentRights, "cid": {cidRights, cidRights, cidRights}} {
		server.Eval(t, fmt.Sprintf(`rabbit_auth_backend_internal:add_user(<<"%s">>, <<"secret">>, <<"ci">>)`, user))
		server.Eval(t, fmt.Sprintf(`rabbit_auth_backend_internal:set_permissions(<<"%s">>, <<"%s">>, <<%q>>, <<%q>>, <<%q>>, <<"ci">>)`,
			user, u.Path[1:], may[0], may[1], may[2]))
	}
	c := open(t, testConfig(t, replace(t, address, "cid", "secret", "")))
	a := open(t, testConfig(t, replace(t, address, "agent", "secret", "")))
	require.NoError(t, a.Check(t.Context()))
	heard := make(chan string, 1)
	cancel, err := c.Bus().Subscribe("console.*", func(_ string, data []byte) { heard <- string(data) })
	require.NoError(t, err)
	defer cancel()
	require.NoError(t, a.Bus().Publish(t.Context(), "console.1", []byte("x")))
	require.Equal(t, "x", <-heard)
	for run := range int64(3) {
		publish(t, c, run+1)
		require.Equal(t, run+1, take(t, a))
	}
	// Nothing else of the broker is its own.
	conn, err := a.pulls.now()
	require.NoError(t, err)
	ch, err := conn.Channel()
	require.NoError(t, err)
	_, err = ch.QueueDeclare("other", true, false, false, false, nil)
	require.True(t, replied(err, amqp.AccessRefused), "%v", err)
	elsewhere, err := url.Parse(server.URL(t)) // a vhost that it was not let into
	require.NoError(t, err)
	_, err = Open(Config{URL: replace(t, address, "agent", "secret", elsewhere.Path)})
	require.Equal(t, ci.CodeInvalid, ci.CodeOf(err), "%v", err)
}
