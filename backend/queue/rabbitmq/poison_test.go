package rabbitmq

import (
	"bytes"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

// garbage are bodies that name no run.
func garbage() [][]byte {
	return [][]byte{
		nil, []byte("abc"), []byte("-1"), []byte("0"), []byte("007"), []byte("1 "), []byte("+1"),
		[]byte("99999999999999999999"), []byte("\x00garbage\xff"), []byte(`{"run":1}`), bytes.Repeat([]byte("1"), 10_000_000),
	}
}

// poison puts each of them into a lane.
func poison(t *testing.T, d *Driver, l ci.Lane) {
	t.Helper()
	conn, err := d.pubs.now()
	require.NoError(t, err)
	ch, err := conn.Channel()
	require.NoError(t, err)
	defer func() { require.NoError(t, ch.Close()) }()
	require.NoError(t, ch.Confirm(false))
	for _, body := range garbage() {
		c, err := ch.PublishWithDeferredConfirm("", queueOf(l), true, false, amqp.Publishing{Body: body, DeliveryMode: amqp.Persistent})
		require.NoError(t, err)
		acked, err := c.WaitContext(t.Context())
		require.NoError(t, err)
		require.True(t, acked)
	}
}
