package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Engine is a Docker engine on another machine: a container of this machine's
// engine, with a network, a disk and processes of its own. Nothing of the
// test's file system is in it, so that tests may run in a container themselves.
type Engine struct {
	Host    string // tcp://IP:2375
	IP      string // of its machine
	Gateway string // an address of the test's machine that the engine's machine reaches

	outer     *Docker
	inner     *Docker
	image     string
	network   string
	container string
}

// TestHost is the name by which the engine's machine knows the test's. A cid that
// listens on loopback alone answers to names of this kind.
const TestHost = "test.localhost"

// enginePort is where it listens, at its machine's address.
const enginePort = "2375"

// engineStart is /start of the engine's machine. The control groups of its
// containers are below its own, so that they go away with it. It ends by itself
// after a while, should the test be killed.
const engineStart = `#!/bin/sh
set -eu
mkdir -p /run /var/run /etc/docker
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	own=$(sed -n 's/^0:://p' /proc/self/cgroup)
	mkdir "/sys/fs/cgroup$own/init"
	for p in $(cat "/sys/fs/cgroup$own/cgroup.procs"); do
		echo "$p" >"/sys/fs/cgroup$own/init/cgroup.procs" || true
	done
else
	own=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
fi
timeout 900 dockerd --host "tcp://$(hostname -i):` + enginePort + `" --tls=false --storage-driver fuse-overlayfs \
	--exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$own" --userland-proxy=false --log-level warn &
engine=$!
trap 'kill "$engine"' TERM
while kill -0 "$engine" 2>/dev/null; do wait "$engine" || true; done
`

// engineContents is the file system of the engine's machine.
func engineContents() (Contents, error) {
	var programs, missing []string
	for _, p := range []string{"dockerd", "containerd", "containerd-shim-runc-v2", "runc", "fuse-overlayfs", "iptables"} {
		found := find(p)
		if found == "" {
			missing = append(missing, p)
		}
		programs = append(programs, found)
	}
	if len(missing) > 0 {
		return Contents{}, fmt.Errorf("this machine lacks %s, of which another Docker engine is put together: install docker.io, fuse-overlayfs and iptables (tools/need.sh docker.io fuse-overlayfs iptables; nothing of them is started)", strings.Join(missing, ", "))
	}
	for _, p := range []string{"docker-init", "ip6tables", "fusermount3"} {
		if found := find(p); found != "" {
			programs = append(programs, found)
		}
	}
	plugins, _ := filepath.Glob("/usr/lib/*/xtables")
	return Contents{
		Programs: programs, Trees: plugins,
		Texts: map[string]string{
			"/start": engineStart, "/etc/group": "root:x:0:\ndocker:x:999:\n",
			"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
		},
		Config: []string{"ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "VOLUME /var/lib/docker", `ENTRYPOINT ["/start"]`},
	}, nil
}

// find looks for a program where administrators' programs are, too.
func find(program string) string {
	if found, err := exec.LookPath(program); err == nil {
		return found
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if found, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return found
		}
	}
	return ""
}

// StartEngine starts an engine on a machine of its own, and waits until it
// answers. End it, also when this fails.
func StartEngine(ctx context.Context) (*Engine, error) {
	contents, err := engineContents()
	if err != nil {
		return nil, err
	}
	outer, err := OpenDocker()
	if err != nil {
		return nil, err
	}
	e := &Engine{outer: outer}
	if e.image, err = outer.Image(ctx, "ci-e2e-engine", contents); err != nil {
		return e, err
	}
	if err := e.makeNetwork(ctx); err != nil {
		return e, err
	}
	if err := e.launch(ctx, map[string]any{"Image": e.image, "Tty": true}); err != nil {
		return e, err
	}
	return e, Poll(ctx, readyLimit, func() error { return e.answers(ctx) })
}

// makeNetwork makes a network for the machine alone: the walls of other tests'
// agents stand around the engine's own bridge.
func (e *Engine) makeNetwork(ctx context.Context) error {
	var made struct{ ID string }
	err := e.outer.post(ctx, "/networks/create", map[string]any{"Name": "ci-e2e-engine-" + Random()}, &made)
	if err != nil {
		return err
	}
	e.network = made.ID
	var seen struct {
		IPAM struct{ Config []struct{ Gateway string } }
	}
	if err := e.outer.Inspect(ctx, "networks/"+made.ID, &seen); err != nil {
		return err
	}
	if len(seen.IPAM.Config) == 0 {
		return fmt.Errorf("the engine's network %s has no address range", made.ID)
	}
	e.Gateway = seen.IPAM.Config[0].Gateway
	return nil
}

// create makes the machine's container, which may do what an engine needs, and
// what more of its HostConfig says.
func (e *Engine) create(ctx context.Context, config, more map[string]any) error {
	host := map[string]any{
		"NetworkMode": e.network, "ExtraHosts": []string{TestHost + ":" + e.Gateway}, "CgroupnsMode": "host", "Binds": []string{"/sys/fs/cgroup:/sys/fs/cgroup:rw"},
		"CapAdd": []string{"ALL"}, "CapDrop": []string{"SYS_RESOURCE"},
		"SecurityOpt": []string{"seccomp=unconfined", "apparmor=unconfined"}, "MaskedPaths": []string{}, "ReadonlyPaths": []string{},
		"Devices": []map[string]string{{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}},
	}
	maps.Copy(host, more)
	config["HostConfig"] = host
	var made struct{ ID string }
	if err := e.outer.post(ctx, "/containers/create", config, &made); err != nil {
		return err
	}
	e.container = made.ID
	return nil
}

// launch makes the machine's container, with the volumes of others, and starts it.
func (e *Engine) launch(ctx context.Context, config map[string]any, volumesOf ...string) error {
	if err := e.create(ctx, config, map[string]any{"VolumesFrom": volumesOf}); err != nil {
		return err
	}
	if err := e.outer.post(ctx, "/containers/"+e.container+"/start", nil, nil); err != nil {
		return err
	}
	var seen struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	if err := e.outer.Inspect(ctx, "containers/"+e.container, &seen); err != nil {
		return err
	}
	for _, n := range seen.NetworkSettings.Networks {
		e.IP = n.IPAddress
	}
	e.Host = "tcp://" + e.IP + ":" + enginePort
	return nil
}

// answers says whether the engine does; why not, if it has ended.
func (e *Engine) answers(ctx context.Context) (err error) {
	var seen struct{ State struct{ Running bool } }
	if err := e.outer.Inspect(ctx, "containers/"+e.container, &seen); err != nil {
		return err
	}
	if !seen.State.Running {
		return fmt.Errorf("the engine has ended; it said:\n%s", e.Said(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	e.inner, err = DockerAt(ctx, e.Host)
	if err != nil {
		return fmt.Errorf("%w; the engine said:\n%s", err, e.Said(ctx))
	}
	return nil
}

// Said is the end of what the engine said.
func (e *Engine) Said(ctx context.Context) string {
	b, err := e.outer.call(ctx, http.MethodGet, "/containers/"+e.container+"/logs?stdout=1&stderr=1&tail=60", nil)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Bare says what the engine has beside images: nothing, if everybody cleaned up.
func (e *Engine) Bare(ctx context.Context) error {
	all, err := e.inner.Objects(ctx)
	if err != nil {
		return err
	}
	var left []string
	for _, o := range all {
		var seen struct{ Name, Driver string }
		if err := e.inner.Inspect(ctx, o, &seen); err != nil {
			return err
		}
		if own := seen.Name == "bridge" || seen.Name == "host" || seen.Name == "none"; !own || !strings.HasPrefix(o, "networks/") {
			left = append(left, o+" "+seen.Name)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("left in the other engine: %v", left)
	}
	return nil
}

// End ends the engine in order, and removes its machine with everything in it.
func (e *Engine) End(ctx context.Context) error {
	if e == nil {
		return nil
	}
	var errs []error
	if e.container != "" {
		errs = append(errs,
			e.outer.post(ctx, "/containers/"+e.container+"/stop?t=30", nil, nil),
			e.outer.Remove(ctx, []string{"containers/" + e.container}))
	}
	if e.network != "" {
		errs = append(errs, e.outer.Remove(ctx, []string{"networks/" + e.network}))
	}
	if e.image != "" {
		errs = append(errs, e.outer.RemoveImage(ctx, e.image))
	}
	return errors.Join(errs...)
}

// post sends in as JSON and decodes the answer into out (nil: thrown away).
func (d *Docker) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if in == nil {
		body = nil
	}
	if err != nil {
		return err
	}
	b, err := d.call(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(b, out)
}
