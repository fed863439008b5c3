package docker

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-units"

	"ci/agentd/runner"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// shmSize bounds /dev/shm; what is in it counts as memory too.
const shmSize = 64 << 20

// capabilities are what root in a job's container may do: enough for package
// managers and for servers on low ports, and nothing that reaches beyond the
// container. No traced processes, no raw packets, no devices, no mounts.
var capabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", // any file of the container is root's
	"KILL", "SETGID", "SETUID", // starting and ending things as other users
	"NET_BIND_SERVICE",
}

// confined is the part of a container's configuration that all of ours share:
// nothing of the host, nothing that outlives it, nothing it does not need.
func confined(r ci.Resources, mounts ...mount.Mount) *container.HostConfig {
	off := false
	return &container.HostConfig{
		CapDrop:       []string{"ALL"},
		SecurityOpt:   []string{"no-new-privileges"},
		LogConfig:     container.LogConfig{Type: "none"},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		IpcMode:       "private",
		CgroupnsMode:  "private",
		ShmSize:       shmSize,
		Mounts:        mounts,
		Resources: container.Resources{
			Memory:         r.Memory,
			MemorySwap:     r.Memory, // memory and swap together: no swap
			NanoCPUs:       int64(r.CPUs * 1e9),
			PidsLimit:      &r.Pids,
			OomKillDisable: &off,
			// A crash must not feed the host's core handler.
			Ulimits: []*units.Ulimit{{Name: "core"}},
		},
	}
}

// volumeAt mounts a volume. It is never filled from the image.
func volumeAt(name, target string, readOnly bool) mount.Mount {
	return mount.Mount{
		Type: mount.TypeVolume, Source: name, Target: target, ReadOnly: readOnly,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true},
	}
}

// program is the part of a container's configuration that says what runs in
// it: a verb of the toolbox, as root, on attached streams, and neither the
// image's entry point nor its health check. Standard input ends when the
// agent's connection does, so that a container ends with its agent.
func program(im image, verb string, labels map[string]string) *container.Config {
	return &container.Config{
		Image:       im.id,
		User:        "0",
		WorkingDir:  "/", // an image's own may be a path out of the container
		Entrypoint:  []string{pipe.Binary, verb},
		Labels:      labels,
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		AttachStdin: true, AttachStdout: true, AttachStderr: true,
		OpenStdin: true, StdinOnce: true,
	}
}

// createJob makes the job's container. Nothing of the work order is in its
// configuration, so that nobody who may inspect containers sees a secret.
func (b *box) createJob(ctx context.Context, im image) error {
	mounts := []mount.Mount{volumeAt(b.shared.volume, pipe.Folder, true)}
	if b.workspace != "" {
		mounts = append(mounts, volumeAt(b.workspace, b.order.Spec.Environment.Workdir, false))
	}
	host := confined(b.order.Spec.Resources, mounts...)
	host.CapAdd = capabilities
	// An agent may offer more cores than the machine has, and so run more at once.
	host.NanoCPUs = min(host.NanoCPUs, int64(b.shared.cores)*1e9)
	host.NetworkMode = container.NetworkMode(b.network)
	return b.d.create(ctx, b.container, program(im, "init", b.d.runLabels("job", b.order.Run, b.order.Job)), host)
}

func (d *Driver) create(ctx context.Context, name string, c *container.Config, h *container.HostConfig) error {
	return d.createIn(ctx, name, c, h, nil)
}

// createIn says more about the container's networks than h does.
func (d *Driver) createIn(ctx context.Context, name string, c *container.Config, h *container.HostConfig, n *network.NetworkingConfig) error {
	err := d.starting.do(ctx, func(ctx context.Context) error {
		_, err := d.api.ContainerCreate(ctx, c, h, n, nil, name)
		return err
	})
	return d.explain(err, "the container can't be made")
}

func (d *Driver) start(ctx context.Context, name string) error {
	err := d.starting.do(ctx, func(ctx context.Context) error {
		return d.api.ContainerStart(ctx, name, container.StartOptions{})
	})
	return d.explain(err, "the container can't be started")
}

// checkWorkdir refuses working directories that are no place to work in.
func checkWorkdir(o runner.Order) error {
	dir := o.Spec.Environment.Workdir
	if !path.IsAbs(dir) || path.Clean(dir) != dir {
		return ci.Errorf(ci.CodeInvalid, "environment.workdir is %q; it must be an absolute path without '.', '..' or a '/' at its end", dir)
	}
	if dir == "/" && o.Checkout != nil {
		return ci.Errorf(ci.CodeInvalid, "environment.workdir is /, where no checkout can appear; name a folder, such as %s", ci.DefaultWorkdir)
	}
	for _, no := range []string{"/proc", "/sys", "/dev", pipe.Folder} {
		if dir == no || strings.HasPrefix(dir, no+"/") {
			return ci.Errorf(ci.CodeInvalid, "environment.workdir is %s; %s belongs to the system, so name another folder, such as %s", dir, no, ci.DefaultWorkdir)
		}
	}
	return nil
}

// roleName is what an object of a run is called.
func roleName(run int64, role string) string { return fmt.Sprintf("run-%d-%s", run, role) }
