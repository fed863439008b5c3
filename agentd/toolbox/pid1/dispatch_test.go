package pid1

import (
	"net"
	"testing"

	"github.com/hashicorp/yamux"
	"github.com/stretchr/testify/require"

	"ci/agentd/toolbox/pipe"
)

// TestDispatch opens a stream that is given up before it says what it is for,
// as an agent does when a script ends while its relays open the next one. What
// is opened afterwards is served all the same.
func TestDispatch(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	agent, err := pipe.Client(near)
	require.NoError(t, err)
	t.Cleanup(func() { _ = agent.Close() })
	session, err := pipe.Server(far)
	require.NoError(t, err)
	s := &server{session: session, begun: make(chan struct{}), collects: make(chan *yamux.Stream)}
	close(s.begun)
	dispatched := make(chan error, 1)
	go func() { dispatched <- s.dispatch() }()

	idle, err := agent.OpenStream()
	require.NoError(t, err)
	require.NoError(t, idle.Close())
	stream, err := agent.OpenStream()
	require.NoError(t, err)
	require.NoError(t, pipe.WriteFrame(stream, pipe.Opening{Kind: pipe.Collect}, pipe.MaxUp))
	_, ok := <-s.collects
	require.True(t, ok, "no more results are collected after a stream that was given up")

	require.NoError(t, agent.Close())
	require.NoError(t, <-dispatched)
	_, ok = <-s.collects
	require.False(t, ok)
}
