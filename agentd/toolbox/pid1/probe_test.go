package pid1

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"ci/agentd/toolbox/pipe"
)

// reserved is an address that refuses connections until listen is called.
func reserved(t *testing.T) (address string, listen func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(fd)
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port), func() { require.NoError(t, unix.Listen(fd, 8)) }
}

func TestProbe(t *testing.T) {
	t.Parallel()
	up, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer up.Close()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	down, listen := reserved(t)
	require.True(t, connectable(t.Context(), pipe.Probe{Addresses: []string{up.Addr().String()}}))
	require.True(t, connectable(t.Context(), pipe.Probe{Addresses: []string{down, up.Addr().String()}, Any: true}))
	require.False(t, connectable(short, pipe.Probe{Addresses: []string{down, up.Addr().String()}}))
	require.False(t, connectable(short, pipe.Probe{Addresses: []string{down}, Any: true}))

	late := make(chan bool)
	go func() { late <- connectable(t.Context(), pipe.Probe{Addresses: []string{down}}) }()
	listen()
	require.True(t, <-late)
}
