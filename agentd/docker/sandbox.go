package docker

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// sandbox is a small container that holds a network namespace on the agent's
// bridge. To join one costs a third of making one, so they are made ahead and
// used again, by one run at a time.
//
// What a run can leave in it for the next: no process and no socket, since it
// is given back when the run's container is gone; no address, route, rule or
// setting, which take capabilities that no job has; but the text of the
// NetworkFiles, which the engine shares. files is their content before any
// run, and init puts it back before each script. What remains is what the
// kernel and the engine remember of connections for a minute or two: an
// outside peer may still send to a port that it talked to.
type sandbox struct {
	name  string
	files []pipe.File
	conn  *attached
	ended chan struct{} // closed when the container has ended
	idle  time.Time     // since when nobody uses it
}

// sandboxLimits are enough for a process that waits.
var sandboxLimits = ci.Resources{CPUs: 1, Memory: 64 << 20, Pids: 64}

// makeSandbox makes one and waits until it is up. On error nothing stays.
func (d *Driver) makeSandbox(ctx context.Context, s *shared) (*sandbox, error) {
	sb := &sandbox{name: d.name("sandbox"), ended: make(chan struct{})}
	if err := d.bootSandbox(ctx, s, sb); err != nil {
		d.removeSandbox(ctx, sb)
		return nil, err
	}
	go func() { // ends with the connection, which removeSandbox closes
		defer close(sb.ended)
		_, _ = io.Copy(io.Discard, sb.conn)
	}()
	return sb, nil
}

func (d *Driver) bootSandbox(ctx context.Context, s *shared, sb *sandbox) error {
	host := confined(sandboxLimits, volumeAt(s.volume, pipe.Folder, true))
	host.NetworkMode = container.NetworkMode(s.network)
	host.ReadonlyRootfs = true
	if err := d.create(ctx, sb.name, program(s.toolbox, "pause", d.labels("sandbox")), host); err != nil {
		return err
	}
	var said tail
	var err error
	if sb.conn, err = d.attach(ctx, sb.name, &said); err != nil {
		return err
	}
	if err := d.start(ctx, sb.name); err != nil {
		return err
	}
	_ = sb.conn.hijacked.Conn.SetReadDeadline(time.Now().Add(helloTime))
	if err := pipe.ReadFrame(sb.conn, &sb.files, pipe.MaxUp); err != nil {
		return ci.Errorf(ci.CodeUnavailable, "a network for runs did not come up: %w; it said: %s", err, said.String())
	}
	return sb.conn.hijacked.Conn.SetReadDeadline(time.Time{})
}

// alive says whether the container still runs, as far as its connection tells.
func (sb *sandbox) alive() bool {
	select {
	case <-sb.ended:
		return false
	default:
		return true
	}
}

// lost says whether an error of the engine means that the sandbox is not there
// to be joined. Its connection may tell later.
func (sb *sandbox) lost(err error) bool {
	return !sb.alive() || strings.Contains(err.Error(), sb.name) || strings.Contains(err.Error(), "non running container")
}

// removeSandbox ends and removes it.
func (d *Driver) removeSandbox(ctx context.Context, sb *sandbox) {
	if sb.conn != nil {
		_ = sb.conn.Close()
	}
	if err := d.removeContainer(ctx, sb.name); err != nil {
		d.names.drop(sb.name) // nobody's any more: the sweep removes it
		d.log.Warn("a sandbox is left for the sweep", "err", err)
	}
}
