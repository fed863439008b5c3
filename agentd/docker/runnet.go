package docker

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"ci/pkg/ci"
)

// runNet is the network of one run that has services: its containers reach
// each other by name, and the outside, and nobody else.
type runNet struct {
	name   string
	subnet subnet
}

// maxTries bounds the search for a subnet that no other agent of the engine has.
const maxTries = 256

// makeRunNetwork makes a network for so many containers. n knows its name and
// subnet also when it fails: removeRunNetwork takes what there is.
func (d *Driver) makeRunNetwork(ctx context.Context, s *shared, containers int, labels map[string]string, n *runNet) error {
	options := map[string]string{}
	if s.mtu != "" {
		options[mtuOption] = s.mtu
	}
	n.name = d.name("run-" + labels[labelRun] + "-net")
	var err error
	for range maxTries {
		var ok bool
		if n.subnet, ok = d.subnets.take(containers); !ok {
			break
		}
		err = d.createNetwork(ctx, n.name, d.runBridgeName(n.subnet), n.subnet.prefix, options, labels)
		if err == nil {
			return nil
		}
		if !taken(err) || ctx.Err() != nil {
			return d.explain(err, fmt.Sprintf("the network %s of the run can't be made", n.subnet.prefix))
		}
		d.subnets.release(n.subnet)
		n.subnet = subnet{}
	}
	if err == nil {
		err = fmt.Errorf("%d runs with services have networks there", d.subnets.count())
	}
	return ci.Errorf(ci.CodeUnavailable, "no subnet is left in %s for the network of the run: %w; give the agent a larger range for its runs", d.subnets.within, err)
}

// FreeNetworks implements runner.Driver.
func (d *Driver) FreeNetworks() int { return d.subnets.free() }

// removeRunNetwork is safe to repeat. The subnet can be used again whatever
// becomes of it: should the network still be there, the engine says so.
func (d *Driver) removeRunNetwork(ctx context.Context, n *runNet) error {
	d.subnets.release(n.subnet)
	n.subnet = subnet{}
	if n.name == "" {
		return nil
	}
	if err := d.removeNetwork(ctx, n.name); err != nil {
		return err
	}
	n.name = ""
	return nil
}

// runBridgeName is the name of a run's bridge. It comes from the subnet, so that no
// two runs have the same; the kernel allows 15 bytes.
func (d *Driver) runBridgeName(n subnet) string {
	number := strconv.FormatInt(int64(n.first), 36) // four digits hold every block of a /8
	return d.bridges() + "r" + strings.Repeat("0", 4-len(number)) + number
}
