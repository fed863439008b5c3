package docker

import (
	"net/netip"
	"sync"
)

// blockBits is the size of the smallest subnet: 13 addresses beside the
// network's own, its gateway's and its broadcast.
const blockBits = 28

// subnets hands out parts of a range, one for each network of a run. It knows
// only of those that it has handed out itself: what another agent has, the
// engine refuses, and the next one is tried.
type subnets struct {
	within netip.Prefix

	mu    sync.Mutex
	taken map[int]bool // blocks
	next  int          // where the search begins: a subnet rests before it is used again
}

// begin sets the range. hash says where to begin, so that agents on one engine
// rarely try the same.
func (s *subnets) begin(within netip.Prefix, hash func(n int) int) {
	s.within, s.taken = within, map[int]bool{}
	s.next = hash(s.count())
}

// count is how many blocks there are.
func (s *subnets) count() int { return 1 << (blockBits - s.within.Bits()) }

// free is how many blocks nobody has. A run with many services takes several.
func (s *subnets) free() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count() - len(s.taken)
}

// subnet is one that was handed out.
type subnet struct {
	prefix netip.Prefix
	first  int // block
	blocks int
}

// bitsFor is the size of a subnet for so many containers.
func bitsFor(containers int) int {
	bits := blockBits
	for 1<<(32-bits) < containers+3 {
		bits--
	}
	return bits
}

// take hands out a subnet for so many containers; false means that all are taken.
func (s *subnets) take(containers int) (subnet, bool) {
	bits := bitsFor(containers)
	blocks := 1 << (blockBits - bits)
	s.mu.Lock()
	defer s.mu.Unlock()
	count := s.count() / blocks
	begin := (s.next + blocks - 1) / blocks
	for i := range count {
		n := (begin + i) % count
		if s.claim(n*blocks, blocks) {
			s.next = (n + 1) * blocks % s.count()
			return subnet{slice(s.within, n, bits), n * blocks, blocks}, true
		}
	}
	return subnet{}, false
}

// claim takes blocks if all of them are free. The caller holds mu.
func (s *subnets) claim(first, blocks int) bool {
	for b := first; b < first+blocks; b++ {
		if s.taken[b] {
			return false
		}
	}
	for b := first; b < first+blocks; b++ {
		s.taken[b] = true
	}
	return true
}

// release takes a subnet back.
func (s *subnets) release(n subnet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := n.first; b < n.first+n.blocks; b++ {
		delete(s.taken, b)
	}
}
