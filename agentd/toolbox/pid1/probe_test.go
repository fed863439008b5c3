package pid1

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/porttest"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	up, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer up.Close()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	down, listen := porttest.Refusing(t)
	require.True(t, connectable(t.Context(), pipe.Probe{Addresses: []string{up.Addr().String()}}))
	require.True(t, connectable(t.Context(), pipe.Probe{Addresses: []string{down, up.Addr().String()}, Any: true}))
	require.False(t, connectable(short, pipe.Probe{Addresses: []string{down, up.Addr().String()}}))
	require.False(t, connectable(short, pipe.Probe{Addresses: []string{down}, Any: true}))

	late := make(chan bool)
	go func() { late <- connectable(t.Context(), pipe.Probe{Addresses: []string{down}}) }()
	listen()
	require.True(t, <-late)
}
