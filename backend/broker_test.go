package backend

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/pkg/ci"
)

func TestBrokerByScheme(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]struct {
		code ci.Code
		says string
	}{
		"nats://u:secret@127.0.0.1:1":                             {ci.CodeUnavailable, "NATS"},
		"tls://127.0.0.1:1,tls://127.0.0.1:2":                     {ci.CodeUnavailable, "NATS"},
		"amqp://u:secret@127.0.0.1:1/v":                           {ci.CodeUnavailable, "RabbitMQ"},
		"amqps://u:secret@127.0.0.1:1/v,amqps://u:s@127.0.0.1:2/": {ci.CodeUnavailable, "RabbitMQ"},
		"kafka://u:secret@127.0.0.1:1":                            {ci.CodeInvalid, `"kafka"`},
		"secret":                                                  {ci.CodeInvalid, "amqp://"},
	} {
		_, err := OpenBroker(address, t.TempDir(), nil)
		require.Equal(t, want.code, ci.CodeOf(err), "%s: %v", address, err)
		require.ErrorContains(t, err, want.says)
		require.NotContains(t, err.Error(), "secret")
	}
	b, err := OpenBroker("", t.TempDir(), nil)
	require.NoError(t, err)
	require.NoError(t, b.Check(t.Context()))
	_, hesitates := b.Queue.(interface {
		PullAfter(ctx context.Context, lanes []ci.Lane, hesitation time.Duration) (ci.Delivery, error)
	})
	require.True(t, hesitates, "agents need the driver, with all that it can")
	require.NoError(t, b.Bus().Publish(t.Context(), "x", nil))
	require.NoError(t, b.Close())
}
