package address

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever addresses this machine has are its own.
func TestOfMachine(t *testing.T) {
	t.Parallel()
	own, err := net.InterfaceAddrs()
	require.NoError(t, err)
	require.NotEmpty(t, own)
	for _, o := range own {
		ip, ok := netip.AddrFromSlice(o.(*net.IPNet).IP)
		require.True(t, ok)
		mine, err := OfMachine(ip)
		require.NoError(t, err)
		require.True(t, mine, "%s", ip)
	}
	mine, err := OfMachine(netip.MustParseAddr("1.1.1.1"))
	require.NoError(t, err)
	require.False(t, mine)
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1": true, "127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "::1": false, "fe80::1": false, "fd00::1": false,
		"::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::127.0.0.1": false,
		"192.0.2.2": false, "198.51.100.7": false, "203.0.113.9": false, "2001:db8::1": false,
	} {
		require.Equal(t, want, Public(netip.MustParseAddr(text)), text)
	}
}
