// Package address tells hosts of the public Internet from all others. Who
// fetches from addresses that a stranger has chosen asks it, so that the
// fetcher's own network is not lent to the stranger.
package address

import (
	"fmt"
	"net"
	"net/netip"
)

// closed are the networks that netip has no word for: RFC 6890 and its IANA registries.
var closed = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),     // this network
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' own
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), // documentation; nobody routes it, so whoever has it is near
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),      // discarded
	netip.MustParsePrefix("2001::/23"),     // Teredo and other protocols' own
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("fec0::/10"),     // site-local
}

var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4 = netip.MustParsePrefix("2002::/16")
	compat = netip.MustParsePrefix("::/96")
)

// Public says whether an address is a public host's, as far as its number
// tells; not one that hides another in IPv6's ways to write an IPv4 address.
func Public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	if a.Is4() {
		return true
	}
	b := a.As16()
	switch {
	case nat64.Contains(a), compat.Contains(a):
		return Public(netip.AddrFrom4([4]byte(b[12:16])))
	case sixTo4.Contains(a):
		return Public(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return true
}

// OfMachine says whether one of this machine's interfaces has the address: a
// machine may well have a public one. The error is the kernel's.
func OfMachine(a netip.Addr) (bool, error) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false, fmt.Errorf("the machine's own addresses can't be told from others: %w", err)
	}
	ip := net.IP(a.Unmap().AsSlice())
	for _, o := range own {
		if p, ok := o.(*net.IPNet); ok && p.IP.Equal(ip) {
			return true, nil
		}
	}
	return false, nil
}
