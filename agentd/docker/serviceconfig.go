package docker

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-units"

	"ci/pkg/ci"
)

// traits is what of a service's image decides how its container is made and
// when it is up.
type traits struct {
	id      string
	workdir string
	health  *container.HealthConfig // nil: none
	shell   []string                // what runs a health check that is a line of shell
	ports   []string                // "5432/tcp", sorted
}

func (d *Driver) traits(ctx context.Context, im image) (traits, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	got, err := d.api.ImageInspect(ctx, im.id)
	if err != nil {
		return traits{}, d.explain(err, "a service's image can't be looked at")
	}
	t := traits{id: got.ID, shell: []string{"/bin/sh", "-c"}}
	if got.Config == nil {
		return t, nil
	}
	t.workdir = got.Config.WorkingDir
	if len(got.Config.Shell) > 0 {
		t.shell = got.Config.Shell
	}
	if h := got.Config.Healthcheck; h != nil {
		t.health = &container.HealthConfig{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
	}
	t.ports = slices.Sorted(maps.Keys(got.Config.ExposedPorts))
	return t, nil
}

// make makes the container, for the network and with the volumes of
// its run. Unlike a job's, its environment is in the configuration: an
// entry point expects to find it there, and it holds no secret of the run.
func (c *sidecar) make(ctx context.Context, t traits) error {
	svc := c.spec
	if err := checkServiceWorkdir(svc, t); err != nil {
		return err
	}
	b := c.all.box
	labels := b.d.runLabels("service", b.order.Run, b.order.Job)
	labels[labelService] = svc.Name
	config := &container.Config{
		Image:        t.id,
		Hostname:     svc.Hostname,
		User:         svc.User,
		WorkingDir:   svc.Workdir,
		Entrypoint:   svc.Entrypoint,
		Cmd:          svc.Command,
		Env:          environ(svc.Env),
		StopSignal:   svc.StopSignal,
		Labels:       labels,
		Healthcheck:  &container.HealthConfig{Test: []string{"NONE"}}, // the agent asks by itself
		AttachStdout: true, AttachStderr: true,
	}
	names := append([]string{svc.Name}, svc.Aliases...)
	on := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{c.all.net.name: {Aliases: names}}}
	return b.d.createIn(ctx, c.container, config, c.host(), on)
}

// host is the part of the configuration that confines a service as jobs are.
func (c *sidecar) host() *container.HostConfig {
	svc, run := c.spec, c.all.box.order.Spec.Resources
	limits := svc.Limits(run)
	host := confined(limits, c.mounts()...)
	host.NetworkMode = container.NetworkMode(c.all.net.name)
	host.CapAdd = capabilitiesWithout(svc.CapDrop)
	host.NanoCPUs = min(host.NanoCPUs, int64(c.all.box.shared.cores)*1e9)
	host.ReadonlyRootfs = svc.ReadOnly
	if svc.Init {
		yes := true
		host.Init = &yes
	}
	if svc.ShmSize > 0 {
		host.ShmSize = min(svc.ShmSize, limits.Memory)
	}
	for _, t := range svc.Tmpfs {
		if host.Tmpfs == nil {
			host.Tmpfs = map[string]string{}
		}
		// It counts as the service's memory; without a size the kernel would
		// promise half of the machine's.
		host.Tmpfs[t.Target] = fmt.Sprintf("size=%d", min(cmp.Or(t.Size, limits.Memory), limits.Memory))
	}
	for _, u := range svc.Ulimits {
		if u.Name != "core" { // a crash must not feed the host's core handler
			host.Ulimits = append(host.Ulimits, &units.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
		}
	}
	return host
}

// mounts are the service's volumes. A new one is filled with what the image has at its place.
func (c *sidecar) mounts() []mount.Mount {
	var all []mount.Mount
	for _, m := range c.spec.Mounts {
		v := mount.Mount{Type: mount.TypeVolume, Target: m.Target, ReadOnly: m.ReadOnly}
		if m.Volume != "" {
			v.Source = c.all.volumes[m.Volume]
		}
		all = append(all, v)
	}
	return all
}

// capabilitiesWithout are those of jobs but for the dropped ones, which are
// named with or without "CAP_", or are ALL.
func capabilitiesWithout(drop []string) []string {
	var kept []string
	for _, c := range capabilities {
		dropped := slices.ContainsFunc(drop, func(name string) bool {
			name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
			return name == c || name == "ALL"
		})
		if !dropped {
			kept = append(kept, c)
		}
	}
	return kept
}

func environ(env map[string]string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		all = append(all, name+"="+env[name])
	}
	return all
}

// checkServiceWorkdir refuses working directories that are the kernel's: some
// lead out of the container.
func checkServiceWorkdir(svc *ci.Service, t traits) error {
	for _, dir := range []string{svc.Workdir, t.workdir} {
		if dir == "" {
			continue
		}
		clean := path.Join("/", dir)
		for _, no := range []string{"/proc", "/sys", "/dev"} {
			if clean == no || strings.HasPrefix(clean, no+"/") {
				return ci.Errorf(ci.CodeInvalid, "service %s has the working directory %q; %s belongs to the system, so name another folder", svc.Name, dir, no)
			}
		}
	}
	return nil
}
