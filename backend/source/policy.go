package source

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"ci/pkg/address"
	"ci/pkg/ci"
)

// allowed is one host that the administrator has allowed; port 0 is any.
type allowed struct {
	host string
	port int
}

// parseAllowed reads "host", "host:port", "::1" or "[::1]:port".
func parseAllowed(entry string) (allowed, error) {
	host, port := entry, ""
	if _, err := netip.ParseAddr(strings.Trim(entry, "[]")); err != nil && strings.Contains(entry, ":") {
		if host, port, err = net.SplitHostPort(entry); err != nil {
			return allowed{}, ci.Errorf(ci.CodeInvalid, "%q is not a host or host:port that git may reach", entry)
		}
	}
	a := allowed{host: canonical(strings.Trim(host, "[]"))}
	if port != "" {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return allowed{}, ci.Errorf(ci.CodeInvalid, "%q has a port that is not between 1 and 65535", entry)
		}
		a.port = n
	}
	if a.host == "" || strings.ContainsAny(a.host, "/@* ") {
		return allowed{}, ci.Errorf(ci.CodeInvalid, "%q is not a host or host:port that git may reach", entry)
	}
	return a, nil
}

// canonical brings equal hosts to one form.
func canonical(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// allows says whether the administrator named this host.
func (s *Source) allows(r remote) bool {
	host := canonical(r.host)
	for _, a := range s.allow {
		if a.host == host && (a.port == 0 || a.port == r.port) {
			return true
		}
	}
	return false
}

// refuses says why a host may not be reached, as far as that is known without the network; "" when it may.
func (s *Source) refuses(r remote) string {
	if s.allows(r) {
		return ""
	}
	named := fmt.Sprintf("; an administrator can allow it with --git-allow %s", net.JoinHostPort(r.host, strconv.Itoa(r.port)))
	if r.scheme == "http" || r.scheme == "git" {
		return r.scheme + ":// is not encrypted, so anyone on the way could change the job file" + named
	}
	host := canonical(r.host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return r.host + " is the server itself" + named
	}
	addr, usual, ok := parseAddress(host)
	switch {
	case !ok:
		return ""
	case near(addr):
		return fmt.Sprintf("%s is an address of a private network or of the server itself%s", r.host, named)
	case !usual:
		return fmt.Sprintf("%s is the address %s in an unusual form; write it plainly", r.host, addr)
	}
	return ""
}

// resolve looks up where a host is and refuses private addresses. It returns
// the addresses that git must use, so that a second look can't differ; nil
// leaves that to git, for hosts that may be anywhere.
func (s *Source) resolve(ctx context.Context, r remote) ([]netip.Addr, error) {
	if _, _, literal := parseAddress(canonical(r.host)); literal || s.allows(r) {
		return nil, nil
	}
	addrs, err := s.cfg.Resolve(ctx, r.host)
	if err != nil || len(addrs) == 0 {
		return nil, ci.Errorf(ci.CodeUnavailable, "host %s can't be resolved: %w", r.host, err)
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap().WithZone("")
		if near(addrs[i]) {
			return nil, badURL(fmt.Sprintf("host %s is at %s, an address of a private network or of the server itself; an administrator can allow it with --git-allow %s",
				r.host, addrs[i], net.JoinHostPort(r.host, strconv.Itoa(r.port))))
		}
	}
	return addrs, nil
}

// parseAddress reads a host that is an IP address. usual is false for the forms of
// inet_aton(3) that hide one: 2130706433, 0x7f.1, 0177.0.0.1.
func parseAddress(host string) (addr netip.Addr, usual, ok bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap(), true, true
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return addr, false, false
	}
	var ip uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil || strings.ContainsAny(part, "_oObB+-") && !strings.HasPrefix(strings.ToLower(part), "0x") {
			return addr, false, false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return addr, false, false
			}
			ip |= n << (8 * (3 - i))
		} else {
			if n >= 1<<(8*(4-i)) {
				return addr, false, false
			}
			ip |= n
		}
	}
	return netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}), false, true
}

// near says whether an address is anything but a public host's, or is this
// machine's own, whatever its number is.
func near(a netip.Addr) bool {
	mine, err := address.OfMachine(a)
	return err != nil || mine || !address.Public(a)
}
