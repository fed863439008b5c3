package docker

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/require"
)

func TestSubnets(t *testing.T) {
	t.Parallel()
	lower, upper := halves(netip.MustParsePrefix("10.231.0.0/16"))
	require.Equal(t, "10.231.0.0/17 10.231.128.0/17", lower.String()+" "+upper.String())
	for containers, bits := range map[int]int{2: 28, 13: 28, 14: 27, 29: 27, 30: 26, 33: 26} {
		require.Equal(t, bits, bitsFor(containers), "%d containers", containers)
	}

	_, upper = halves(netip.MustParsePrefix("10.9.9.0/24"))
	var s subnets
	s.begin(upper, func(int) int { return 7 })
	first, ok := s.take(2)
	require.True(t, ok)
	require.Equal(t, "10.9.9.240/28", first.prefix.String())
	large, ok := s.take(20)
	require.True(t, ok)
	require.Equal(t, "10.9.9.128/27", large.prefix.String())
	for range 5 {
		_, ok = s.take(2)
		require.True(t, ok)
	}
	_, ok = s.take(2)
	require.False(t, ok, "all eight are taken")
	s.release(large)
	s.release(large)
	_, ok = s.take(30)
	require.False(t, ok, "the half that is free is too small")
	again, ok := s.take(20)
	require.True(t, ok)
	require.Equal(t, large, again)
}

// Forty networks at once are all different, and two agents that begin at the
// same place get along.
func TestFortyNetworksAtOnce(t *testing.T) {
	t.Parallel()
	one, two := opened(t, config("forty-a")), opened(t, config("forty-b"))
	two.subnets.next = one.subnets.next
	nets := make([]runNet, 40)
	var all sync.WaitGroup
	for i := range nets {
		all.Go(func() {
			d := []*Driver{one, two}[i%2]
			s, err := d.ready()
			if check(t, err) {
				check(t, d.makeRunNetwork(context.Background(), s, 2, d.runLabels("network", int64(i), "job"), &nets[i]))
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for i, n := range nets {
		require.NotEmpty(t, n.name)
		got, err := engine.NetworkInspect(t.Context(), n.name, network.InspectOptions{})
		require.NoError(t, err)
		require.Equal(t, n.subnet.prefix.String(), got.IPAM.Config[0].Subnet)
		require.False(t, seen[got.IPAM.Config[0].Subnet])
		seen[got.IPAM.Config[0].Subnet] = true
		d := []*Driver{one, two}[i%2]
		require.Contains(t, got.Options[bridgeOption], d.bridges(), "the wall knows it by its name")
		require.NoError(t, d.removeRunNetwork(t.Context(), &nets[i]))
		require.NoError(t, d.removeRunNetwork(t.Context(), &nets[i]), "not safe to repeat")
	}
	require.Empty(t, one.subnets.taken)
	require.Empty(t, two.subnets.taken)
}
