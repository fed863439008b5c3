package docker

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// listen takes connections on all addresses of this machine, and returns the port.
func listen(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "0.0.0.0:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// addresses are all that this machine has for good: not its loopback, and not
// the gateways of agents, which come and go.
func addresses(t *testing.T) []string {
	t.Helper()
	list, err := net.InterfaceAddrs()
	require.NoError(t, err)
	_, agents, err := net.ParseCIDR(DefaultSubnet)
	require.NoError(t, err)
	var found []string
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !agents.Contains(n.IP) {
			found = append(found, n.IP.String())
		}
	}
	require.NotEmpty(t, found)
	return found
}

// knock is a script that says of each address whether it takes a connection.
func knock(targets ...string) string { return knockFor(2, targets...) }

// knockFor waits so many seconds for an answer: what is to be open may be slow.
func knockFor(seconds int, targets ...string) string {
	var script strings.Builder
	for _, target := range targets {
		host, port, _ := net.SplitHostPort(target)
		fmt.Fprintf(&script, "if nc -w %d %s %s </dev/null >/dev/null 2>&1; then echo open; else echo closed; fi\n", seconds, host, port)
	}
	return script.String()
}

// A job reaches nothing of the machine that it runs on, by none of its
// addresses, but for the ports that its administrator named.
func TestWall(t *testing.T) {
	t.Parallel()
	secret, shown := listen(t), listen(t)
	cfg := config("wall")
	cfg.Reach = []uint16{uint16(shown)}
	d := opened(t, cfg)

	gateway := "$(ip route | awk '/^default/ {print $3}')"
	var closed, open []string
	for _, ip := range append(addresses(t), gateway) {
		closed = append(closed, fmt.Sprintf("%s:%d", ip, secret), ip+":2375")
		open = append(open, fmt.Sprintf("%s:%d", ip, shown))
	}
	closed = append(closed, "169.254.169.254:80")

	_, output, _ := playOn(t, d, order(knock(closed...), inImage(busyBase)))
	require.Equal(t, strings.Repeat("closed\n", len(closed)), output, "%v", closed)
	_, output, _ = playOn(t, d, order(knockFor(20, open...), inImage(busyBase)))
	require.Equal(t, strings.Repeat("open\n", len(open)), output, "%v", open)
}

// The wall is part of what Open makes and Close removes, and a second life of
// the agent replaces what a killed one left.
func TestWallComesAndGoes(t *testing.T) {
	t.Parallel()
	cfg := config("wall-again")
	d := opened(t, cfg)
	s, err := d.ready()
	require.NoError(t, err)
	require.NoError(t, d.raiseWall(context.Background(), s), "it can be raised again")
	require.NoError(t, d.lowerWall(context.Background(), s))
	require.NoError(t, d.lowerWall(context.Background(), s), "and taken down when it is not there")
	require.NoError(t, d.raiseWall(context.Background(), s))
}
