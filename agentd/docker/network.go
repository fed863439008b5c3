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
// The subnet is a /24 of the configured range; the engine gives out only
// about thirty of its own. The first to try depends on the agent, so that
// agents on one engine rarely ask for the same.
func (d *Driver) makeNetwork(ctx context.Context, s *shared) error {
	options := map[string]string{"com.docker.network.bridge.enable_icc": "false"}
	if mtu := d.mtu(ctx); mtu != "" {
		options[mtuOption] = mtu
	}
	name := d.name("net")
	count := 1 << (24 - d.subnet.Bits())
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(d.cfg.Agent))
	first := int(hash.Sum32() % uint32(count))
	var err error
	for i := range min(count, 256) {
		subnet := d.slice((first + i) % count)
		if err = d.createNetwork(ctx, name, subnet, options); err == nil {
			s.network = name
			return nil
		}
		if !strings.Contains(err.Error(), "overlap") || ctx.Err() != nil {
			d.names.drop(name)
			return d.explain(err, fmt.Sprintf("the network %s for runs can't be made", subnet))
		}
	}
	d.names.drop(name)
	return ci.Errorf(ci.CodeUnavailable, "all of %s is taken by other networks of the engine: %w; give the agent another subnet for its runs", d.subnet, err)
}

func (d *Driver) createNetwork(ctx context.Context, name string, subnet netip.Prefix, options map[string]string) error {
	ctx, cancel := making(ctx)
	defer cancel()
	options = maps.Clone(options)
	options[bridgeOption] = d.bridgeName() // by which the wall knows it
	_, err := d.api.NetworkCreate(ctx, name, network.CreateOptions{
		Driver:  "bridge",
		IPAM:    &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet.String()}}},
		Options: options,
		Labels:  d.labels("network"),
	})
	return err
}

// slice is the i-th /24 of the configured range.
func (d *Driver) slice(i int) netip.Prefix {
	base := d.subnet.Addr().As4()
	n := binary.BigEndian.Uint32(base[:]) + uint32(i)<<8
	binary.BigEndian.PutUint32(base[:], n)
	return netip.PrefixFrom(netip.AddrFrom4(base), 24)
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
	ctx, cancel := making(ctx)
	defer cancel()
	if err := d.api.NetworkRemove(ctx, name); err != nil && !notFound(err) {
		return d.explain(err, fmt.Sprintf("network %s can't be removed", name))
	}
	d.names.drop(name)
	return nil
}
