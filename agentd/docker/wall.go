package docker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/network"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// wallTime bounds the raising of the wall.
const wallTime = time.Minute

// raiseWall keeps the containers on the agent's bridges away from the machine
// that they run on, before the first of them starts. A container does it, in
// the network of the engine's machine, which may not be ours.
func (d *Driver) raiseWall(ctx context.Context, s *shared) error {
	return d.wall(ctx, s, pipe.Wall{Name: d.wallName(), Bridges: d.bridges(), Bridge: d.engineBridge(ctx), Reach: d.cfg.Reach})
}

// lowerWall takes it away. One that is left by a killed agent is around bridges
// that are gone, and is replaced by the agent's next start.
func (d *Driver) lowerWall(ctx context.Context, s *shared) error {
	return d.wall(ctx, s, pipe.Wall{Name: d.wallName(), Down: true})
}

// engineBridge is the bridge of the engine's default network. The RUN steps of
// builds are on it, beside whatever else somebody starts without a network of
// its own: the kernel can't tell them apart, so the wall is around them all.
func (d *Driver) engineBridge(ctx context.Context) string {
	ctx, cancel := asking(ctx)
	defer cancel()
	bridge, err := d.api.NetworkInspect(ctx, "bridge", network.InspectOptions{})
	if err != nil {
		return "" // an engine without it has no network for builds either
	}
	return bridge.Options[bridgeOption]
}

// wallName is the same for each life of an agent.
func (d *Driver) wallName() string { return "ci-" + d.short() }

// bridges is how the names of all bridges of this agent begin. The kernel
// allows 15 bytes for a name.
func (d *Driver) bridges() string { return "ci" + d.short() }

// bridgeName makes a name for a new one.
func (d *Driver) bridgeName() string {
	var salt [2]byte
	_, _ = rand.Read(salt[:]) // never fails
	return d.bridges() + "-" + hex.EncodeToString(salt[:])
}

// short stands for the agent where names are short.
func (d *Driver) short() string {
	sum := sha256.Sum256([]byte(d.cfg.Agent))
	return hex.EncodeToString(sum[:4])
}

func (d *Driver) wall(ctx context.Context, s *shared, order pipe.Wall) error {
	ctx, cancel := context.WithTimeout(ctx, wallTime)
	defer cancel()
	name := d.name("wall")
	defer func() {
		if err := d.removeContainer(context.WithoutCancel(ctx), name); err != nil {
			d.names.drop(name)
		}
	}()
	var said tail
	host := confined(sandboxLimits, volumeAt(s.volume, pipe.Folder, true))
	host.NetworkMode, host.ReadonlyRootfs = "host", true
	host.CapAdd = []string{"NET_ADMIN"}
	if err := d.create(ctx, name, program(s.toolbox, "wall", d.labels("wall")), host); err != nil {
		return err
	}
	conn, err := d.attach(ctx, name, &said)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := d.start(ctx, name); err != nil {
		return err
	}
	var answer pipe.Walled
	err = pipe.WriteFrame(conn, order, pipe.MaxDown)
	if err == nil {
		err = pipe.ReadFrame(conn, &answer, pipe.MaxUp)
	}
	if err == nil && answer.Failed != "" {
		err = errors.New(sentence(answer.Failed))
	}
	if err != nil {
		return ci.Errorf(ci.CodeUnavailable, "jobs can't be kept away from the engine's machine: %w%s", err, aside(&said))
	}
	return nil
}

// aside is what a container said about itself, for the end of an error.
func aside(said *tail) string {
	if text := said.String(); text != "" {
		return fmt.Sprintf("; it said: %s", sentence(text))
	}
	return ""
}
