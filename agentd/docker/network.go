package docker

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"strings"

	"github.com/docker/docker/api/types/network"

	"ci/pkg/ci"
)

// bridgeOption names the bridge that the engine makes.
const bridgeOption = "com.docker.network.bridge.name"

// mtuOption is how a bridge gets the machine's packet size.
const mtuOption = "com.docker.network.driver.mtu"

// makeNetwork makes the bridge that the agent's runs share. Containers on it
// reach the outside and no other container.
//
// The subnet is a /24 of the lower half of the configured range; the engine
// gives out only about thirty of its own. The first to try depends on the agent,
// so that agents on one engine rarely ask for the same.
func (d *Driver) makeNetwork(ctx context.Context, s *shared) error {
	options := map[string]string{"com.docker.network.bridge.enable_icc": "false"}
	if mtu := d.mtu(ctx); mtu != "" {
		options[mtuOption] = mtu
	}
	name := d.name("net")
	lower, _ := halves(d.subnet)
	bits := max(24, lower.Bits())
	count := 1 << (bits - lower.Bits())
	first := d.hash(count)
	var err error
	for i := range min(count, 256) {
		subnet := slice(lower, (first+i)%count, bits)
		if err = d.createNetwork(ctx, name, d.bridgeName(), subnet, options, d.labels("network")); err == nil {
			s.network, s.mtu = name, options[mtuOption]
			return nil
		}
		if !taken(err) || ctx.Err() != nil {
			d.names.drop(name)
			return d.explain(err, fmt.Sprintf("the network %s for runs can't be made", subnet))
		}
	}
	d.names.drop(name)
	return ci.Errorf(ci.CodeUnavailable, "all of %s is taken by other networks of the engine: %w; give the agent another subnet for its runs", d.subnet, err)
}

// createNetwork makes a bridge. Its name is one by which the wall knows it.
func (d *Driver) createNetwork(ctx context.Context, name, bridge string, subnet netip.Prefix, options, labels map[string]string) error {
	options = maps.Clone(options)
	options[bridgeOption] = bridge
	return d.networking.do(ctx, func(ctx context.Context) error {
		_, err := d.api.NetworkCreate(ctx, name, network.CreateOptions{
			Driver:  "bridge",
			IPAM:    &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet.String()}}},
			Options: options,
			Labels:  labels,
		})
		return err
	})
}

// taken says whether an error of the engine means that another network has the
// subnet, or the bridge's name.
func taken(err error) bool {
	return strings.Contains(err.Error(), "overlap") || strings.Contains(err.Error(), "bridge name")
}

// hash is a number below n that depends on the agent.
func (d *Driver) hash(n int) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(d.cfg.Agent))
	return int(hash.Sum32() % uint32(n))
}

// halves cuts a range in two: the lower half is for the networks that runs of
// an agent share, the upper one for those of single runs.
func halves(p netip.Prefix) (lower, upper netip.Prefix) {
	bits := p.Bits() + 1
	return slice(p, 0, bits), slice(p, 1, bits)
}

// slice is the i-th part of p that has so many bits.
func slice(p netip.Prefix, i, bits int) netip.Prefix {
	base := p.Addr().As4()
	n := binary.BigEndian.Uint32(base[:]) + uint32(i)<<(32-bits)
	binary.BigEndian.PutUint32(base[:], n)
	return netip.PrefixFrom(netip.AddrFrom4(base), bits)
}

// mtu is what the engine's administrator set for the default bridge; other
// bridges do not inherit it.
func (d *Driver) mtu(ctx context.Context) string {
	ctx, cancel := asking(ctx)
	defer cancel()
	bridge, err := d.api.NetworkInspect(ctx, "bridge", network.InspectOptions{})
	if err != nil {
		return ""
	}
	return bridge.Options[mtuOption]
}

// removeNetwork is safe to repeat.
func (d *Driver) removeNetwork(ctx context.Context, name string) error {
	err := d.networking.do(ctx, func(ctx context.Context) error {
		err := d.api.NetworkRemove(ctx, name)
		if err != nil && strings.Contains(err.Error(), "active endpoints") {
			// An engine that was killed remembers containers that are gone, and
			// somebody may have connected one of theirs.
			d.emptyNetwork(ctx, name)
			err = d.api.NetworkRemove(ctx, name)
		}
		return err
	})
	if err != nil && !notFound(err) {
		if strings.Contains(err.Error(), "active endpoints") {
			return ci.Errorf(ci.CodeUnavailable, "the engine does not let go of network %s: it counts containers there that are gone; a restart of the engine mends its count: %w", name, err)
		}
		return d.explain(err, fmt.Sprintf("network %s can't be removed", name))
	}
	d.names.drop(name)
	return nil
}

// emptyNetwork disconnects whatever is still there.
func (d *Driver) emptyNetwork(ctx context.Context, name string) {
	got, err := d.api.NetworkInspect(ctx, name, network.InspectOptions{})
	if err != nil {
		return // the next call says why
	}
	for container, endpoint := range got.Containers {
		if strings.HasPrefix(container, "ep-") { // the engine's name for one whose container it has lost
			container = endpoint.Name
		}
		_ = d.api.NetworkDisconnect(ctx, got.ID, container, true)
	}
}
