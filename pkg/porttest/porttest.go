// Package porttest hands out ports of this machine that stay what a test was
// told. Whoever listens on port 0 and closes has a port that the kernel may
// give to somebody else at once.
package porttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Refusing is an address of the loopback that refuses connections until listen
// is called. The test holds it until its end.
func Refusing(t testing.TB) (address string, listen func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	unix.CloseOnExec(fd)
	t.Cleanup(func() { _ = unix.Close(fd) })
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(fd)
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port), func() { require.NoError(t, unix.Listen(fd, 8)) }
}

// Linux gives who wants any port one from 32768 on, so those below are nobody's
// by chance.
const lowest, highest = 12_000, 32_000

// Free are n ports of host, an address of this machine, that nobody listens on:
// for programs that can't choose their ports by themselves.
func Free(t testing.TB, host string, n int) (ports []int) {
	t.Helper()
	for try := 0; len(ports) < n; try++ {
		port := lowest + rand.IntN(highest-lowest)
		l, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			require.Less(t, try, 1000, "no port of %s is free: %v", host, err)
			continue
		}
		defer func() { require.NoError(t, l.Close()) }() // all at once, so that they differ
		ports = append(ports, port)
	}
	return ports
}
