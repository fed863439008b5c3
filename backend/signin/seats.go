package signin

import (
	"net"
	"net/netip"
	"sync"

	"ci/pkg/ci"
)

const (
	// seats is how many sign-ins may ask providers at once: whoever asks is not known yet,
	// and a provider may be slow.
	seats = 64
	// seatsEach is how many of them are one address's. A proxy's address stands for many
	// people, whose sign-ins take a moment each.
	seatsEach = 8
)

// room has the seats. It is safe for concurrent use.
type room struct {
	mu    sync.Mutex
	taken int
	of    map[string]int
}

func newRoom() *room { return &room{of: map[string]int{}} }

// take takes a seat for a peer (HOST:PORT) until leave is called, once.
func (r *room) take(peer string) (leave func(), err error) {
	who := household(peer)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.taken == seats:
		return nil, ci.Errorf(ci.CodeTooMany, "%d people are signing in at this moment already; try again in a moment", seats)
	case r.of[who] == seatsEach:
		return nil, ci.Errorf(ci.CodeTooMany, "%d people are signing in from your address at this moment already; try again in a moment", seatsEach)
	}
	r.taken++
	r.of[who]++
	return func() { r.give(who) }, nil
}

func (r *room) give(who string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken--
	if r.of[who]--; r.of[who] == 0 {
		delete(r.of, who)
	}
}

// household is what somebody has one of: an address, or the network of 64 bits
// that IPv6 gives to each.
func household(peer string) string {
	host, _, err := net.SplitHostPort(peer)
	if err != nil {
		return peer
	}
	at, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if at = at.Unmap(); at.Is4() {
		return at.String()
	}
	return netip.PrefixFrom(at.WithZone(""), 64).Masked().String()
}
