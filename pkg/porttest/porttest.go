// Package porttest hands out ports of this machine that stay what a test was
// told. Whoever listens on port 0 and closes has a port that the kernel may
// give to somebody else at once.
package porttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
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

// Listen listens on a port of host, an address of this machine, that stays free
// when its listener is closed: until somebody asks for just that one.
func Listen(host string) (l net.Listener, err error) {
	for range 1000 {
		port := lowest + rand.IntN(highest-lowest)
		if l, err = net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no port of %s from %d to %d is free: %w", host, lowest, highest, err)
}

// Addresses are n of them (HOST:PORT), with ports of host that nobody listens on:
// for programs that can't choose by themselves, or begin again at the same port.
func Addresses(host string, n int) (addresses []string, err error) {
	for range n {
		l, err := Listen(host)
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// Free are n ports of host that nobody listens on.
func Free(t testing.TB, host string, n int) (ports []int) {
	t.Helper()
	addresses, err := Addresses(host, n)
	require.NoError(t, err)
	for _, a := range addresses {
		at, err := netip.ParseAddrPort(a)
		require.NoError(t, err)
		ports = append(ports, int(at.Port()))
	}
	return ports
}
