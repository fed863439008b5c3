package rabbitmq

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/backend/queue/queuetest/rabbitserver"
	"ci/pkg/ci"
)

// away has somebody begin to listen, and somebody stop, while there is no server.
func away(t *testing.T, server *rabbitserver.Server) {
	d := open(t, testConfig(t, server.URL(t)))
	before, during := make(chan string, 10000), make(chan string, 10000)
	listen := func(topic string, to chan string) (cancel func()) {
		cancel, err := d.Bus().Subscribe(topic, func(_ string, data []byte) { to <- string(data) })
		require.NoError(t, err)
		return cancel
	}
	defer listen("a.b", before)()
	gone := listen("a.*", during)
	server.Down()
	require.Eventually(t, func() bool {
		return d.Check(t.Context()) != nil && ci.CodeOf(d.Bus().Publish(t.Context(), "a.b", nil)) == ci.CodeUnavailable
	}, bound, time.Millisecond)
	gone()
	defer listen("a.c", during)()
	server.Up(t)
	// What is said before the connection is back goes nowhere.
	require.Eventually(t, func() bool {
		_ = d.Bus().Publish(t.Context(), "a.b", []byte("b"))
		_ = d.Bus().Publish(t.Context(), "a.c", []byte("c"))
		return len(before) > 0 && len(during) > 0
	}, bound, 10*time.Millisecond)
	require.Equal(t, "b", <-before)
	require.Equal(t, "c", <-during, "of a.c alone")
}
