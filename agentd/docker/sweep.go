package docker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// sweepTime is how long one sweep takes at most.
const sweepTime = time.Minute

// object is something of this agent that the engine has.
type object struct {
	name   string
	labels map[string]string
	remove func(context.Context, string) error
}

// run is the run that o belongs to, or false for what runs share.
func (o object) run() (int64, bool) {
	text, ok := o.labels[labelRun]
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(text, 10, 64)
	return id, err == nil
}

// Sweep removes every object of this agent whose run is not in live, and what
// runs share if this driver does not know of it. It returns how many could
// not be removed. An engine that hangs is waited for until ctx ends, a minute at most.
func (d *Driver) Sweep(ctx context.Context, live []int64) (leftovers int, err error) {
	ctx, cancel := within(ctx, sweepTime)
	defer cancel()
	return d.sweep(ctx, func(o object) bool {
		if run, ok := o.run(); ok {
			return slices.Contains(live, run)
		}
		return d.names.has(o.name)
	})
}

// sweepUnknown removes every object of this agent that this driver has not made.
func (d *Driver) sweepUnknown(ctx context.Context) (leftovers int, err error) {
	return d.sweep(ctx, func(o object) bool { return d.names.has(o.name) })
}

// sweep removes all objects of this agent but those to keep: containers
// first, since they hold the others.
func (d *Driver) sweep(ctx context.Context, keep func(object) bool) (leftovers int, err error) {
	var errs []error
	for _, list := range []func(context.Context) ([]object, error){d.containers, d.volumes, d.networks} {
		objects, err := list(ctx)
		if err != nil {
			return leftovers, errors.Join(append(errs, d.explain(err, "the agent's leftovers can't be listed"))...)
		}
		for _, o := range objects {
			if keep(o) {
				continue
			}
			if ctx.Err() != nil {
				leftovers++ // the list of the next kind says why
				continue
			}
			if err := o.remove(ctx, o.name); err != nil {
				leftovers++
				errs = append(errs, err)
				continue
			}
			d.log.Info("removed a leftover", "agent", d.cfg.Agent, "name", o.name, "run", o.labels[labelRun])
		}
	}
	return leftovers, errors.Join(errs...)
}

func (d *Driver) containers(ctx context.Context) ([]object, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	list, err := d.api.ContainerList(ctx, container.ListOptions{All: true, Filters: d.ours()})
	objects := make([]object, 0, len(list))
	for _, c := range list {
		name := c.ID
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/")
		}
		objects = append(objects, object{name, c.Labels, d.removeContainer})
	}
	return objects, err
}

func (d *Driver) volumes(ctx context.Context) ([]object, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	list, err := d.api.VolumeList(ctx, volume.ListOptions{Filters: d.ours()})
	objects := make([]object, 0, len(list.Volumes))
	for _, v := range list.Volumes {
		objects = append(objects, object{v.Name, v.Labels, d.removeVolume})
	}
	return objects, err
}

func (d *Driver) networks(ctx context.Context) ([]object, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	list, err := d.api.NetworkList(ctx, network.ListOptions{Filters: d.ours()})
	objects := make([]object, 0, len(list))
	for _, n := range list {
		objects = append(objects, object{n.Name, n.Labels, d.removeNetwork})
	}
	return objects, err
}
