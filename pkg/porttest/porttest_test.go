package porttest_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"ci/pkg/porttest"
)

func TestRefusing(t *testing.T) {
	t.Parallel()
	address, listen := porttest.Refusing(t)
	_, err := net.Dial("tcp", address)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = net.Listen("tcp", address)
	require.ErrorIs(t, err, syscall.EADDRINUSE, "nobody else may have it")
	listen()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

func TestFree(t *testing.T) {
	t.Parallel()
	ports := porttest.Free(t, "127.0.0.1", 20)
	seen := map[int]bool{}
	for _, port := range ports {
		require.False(t, seen[port], "port %d twice", port)
		seen[port] = true
		require.Less(t, port, 32768)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	require.Len(t, ports, 20)
}
