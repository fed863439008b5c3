package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"

	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// portTime is how long a service may take until a port of its own takes
// connections; restTime is what the others that its file names have then: real
// files name ports that are served only now and then, such as a debugger's.
const (
	portTime = 5 * time.Minute
	restTime = 10 * time.Second
)

// The time between two health checks of a service that comes up doubles from
// the first of these up to the last, unless its own interval is shorter.
const (
	firstCheck = 50 * time.Millisecond
	lastCheck  = time.Second
)

// awaitHealth waits until the service is up and says how that is known: by its
// health check, else by its ports, else by nothing but its start.
func (c *sidecar) awaitHealth(ctx context.Context, t traits) (how string, err error) {
	running, cancel := c.whileItRuns(ctx)
	defer cancel()
	if check := healthOf(c.spec, t); check != nil {
		how, err = "healthy", c.awaitCheck(running, check)
	} else if ports, any := portsOf(c.spec, t); len(ports) > 0 {
		how, err = "takes connections", c.awaitPorts(running, ports, any)
	} else {
		return "started", nil
	}
	var said *ci.Error
	if err != nil && !errors.As(err, &said) && c.hasEnded() && ctx.Err() == nil {
		err = c.failed(ctx, c.end.text()+" before it was up")
	}
	return how, err
}

// awaitCompletion waits for the end of a service that others wait for.
func (c *sidecar) awaitCompletion(ctx context.Context) error {
	if err := awaitSignal(ctx, c.ended); err != nil {
		return err
	}
	if c.end.code != 0 {
		return c.failed(ctx, c.end.text())
	}
	return nil
}

// whileItRuns ends with the service too.
func (c *sidecar) whileItRuns(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	c.all.beside.Go(func() {
		select {
		case <-c.ended:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, cancel
}

// healthCheck is one with every default filled in.
type healthCheck struct {
	command                       []string
	interval, timeout, startGrace time.Duration
	retries                       int
}

// healthOf puts together what the file and the image say; nil is no check. The
// defaults are Docker's.
func healthOf(svc *ci.Service, t traits) *healthCheck {
	h := ci.Healthcheck{}
	if svc.Healthcheck != nil {
		h = *svc.Healthcheck
	}
	im := container.HealthConfig{}
	if t.health != nil {
		im = *t.health
	}
	if len(h.Test) == 0 {
		h.Test = im.Test
	}
	if h.Disable || len(h.Test) < 2 {
		return nil
	}
	k := &healthCheck{
		interval:   cmp.Or(time.Duration(h.Interval), im.Interval, 30*time.Second),
		timeout:    cmp.Or(time.Duration(h.Timeout), im.Timeout, 30*time.Second),
		startGrace: cmp.Or(time.Duration(h.StartPeriod), im.StartPeriod),
		retries:    cmp.Or(h.Retries, im.Retries, 3),
	}
	switch h.Test[0] {
	case "CMD":
		k.command = h.Test[1:]
	case "CMD-SHELL":
		k.command = append(slices.Clone(t.shell), h.Test[1])
	default: // NONE, and what the engine does not know either
		return nil
	}
	return k
}

// awaitCheck asks until the answer is yes. While the service comes up it is
// asked every second at least, however long its interval, and never again once
// it is up; it counts as unhealthy no sooner than by Docker's own rule.
func (c *sidecar) awaitCheck(ctx context.Context, k *healthCheck) error {
	began := time.Now()
	limit := k.startGrace + time.Duration(k.retries)*k.interval
	for n, wait := 1, firstCheck; ; n, wait = n+1, min(2*wait, lastCheck, k.interval) {
		var said tail
		err := c.all.box.d.execute(ctx, c.container, k, &said)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case n >= k.retries && time.Since(began) > limit:
			return c.failed(ctx, fmt.Sprintf("is not healthy after %s and %d checks: the last one %s%s", time.Since(began).Round(time.Second), n, err, aside(&said)))
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// execute runs a command in a container. nil means that it ended with 0; the
// error of another end is what can be said of a check.
func (d *Driver) execute(ctx context.Context, name string, k *healthCheck, said io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, k.timeout+askTime)
	defer cancel()
	made, err := d.api.ContainerExecCreate(ctx, name, container.ExecOptions{Cmd: k.command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return fmt.Errorf("could not be made: %w", err)
	}
	h, err := hijack(ctx, func(ctx context.Context) (types.HijackedResponse, error) {
		return d.api.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	})
	if err != nil {
		return fmt.Errorf("could not be started: %w", err)
	}
	defer h.Close()
	_ = h.Conn.SetReadDeadline(time.Now().Add(k.timeout))
	defer context.AfterFunc(ctx, func() { h.Close() })()
	_, err = io.Copy(said, &attached{hijacked: h, aside: said})
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("took longer than %s", k.timeout)
	}
	got, err := d.api.ContainerExecInspect(ctx, made.ID)
	switch {
	case err != nil:
		return fmt.Errorf("has an unknown end: %w", err)
	case got.Running:
		return errors.New("closed its output and goes on")
	case got.ExitCode != 0:
		return fmt.Errorf("ended with status %d", got.ExitCode)
	}
	return nil
}

// portsOf are the TCP ports by which a service shows that it is up: all that
// the file names, else any that the image exposes, since images expose ports that
// they serve only when told to.
func portsOf(svc *ci.Service, t traits) (ports []string, any bool) {
	if ports = tcp(svc.Ports); len(svc.Ports) > 0 {
		return ports, false
	}
	return tcp(t.ports), true
}

func tcp(all []string) []string {
	var ports []string
	for _, p := range all {
		number, protocol, given := strings.Cut(p, "/")
		if !given || protocol == "tcp" {
			ports = append(ports, number)
		}
	}
	return ports
}

// awaitPorts has init, in the run's network, knock at the ports.
func (c *sidecar) awaitPorts(ctx context.Context, ports []string, any bool) error {
	began := time.Now()
	err := c.knock(ctx, ports, true, portTime)
	if errors.Is(err, errClosed) {
		return c.failed(ctx, fmt.Sprintf("does not take connections on port %s after %s", strings.Join(ports, ", "), time.Since(began).Round(time.Second)))
	}
	if err != nil || any || len(ports) == 1 {
		return err
	}
	if err = c.knock(ctx, ports, false, restTime); errors.Is(err, errClosed) {
		c.all.box.order.Tell.Say(fmt.Sprintf("service %s does not take connections on all of its ports (%s); the run goes on with those that do", c.spec.Name, strings.Join(ports, ", ")))
		return nil
	}
	return err
}

var (
	// errClosed says that ports took no connections in time.
	errClosed = errors.New("the ports are closed")
	// errGone says that there is nobody to take them.
	errGone = errors.New("the service has ended")
)

// knock waits for a time until any, or all, of the ports take connections.
func (c *sidecar) knock(ctx context.Context, ports []string, any bool, limit time.Duration) error {
	b := c.all.box
	if err := awaitSignal(ctx, c.all.greeted); err != nil {
		return err
	}
	ip, err := c.address(ctx)
	if err != nil {
		return err
	}
	want := pipe.Probe{Any: any}
	for _, p := range ports {
		want.Addresses = append(want.Addresses, net.JoinHostPort(ip, p))
	}
	stream, err := b.openStream(pipe.Probing)
	if err != nil {
		return b.lost("the container was lost before its script began", err)
	}
	defer stream.Close()
	timed, cancel := context.WithTimeoutCause(ctx, limit, errClosed)
	defer cancel()
	defer context.AfterFunc(timed, func() { _ = stream.SetReadDeadline(time.Now()) })()
	var open pipe.Probed
	if err = pipe.WriteFrame(stream, want, pipe.MaxDown); err == nil {
		err = pipe.ReadFrame(stream, &open, pipe.MaxUp)
	}
	switch {
	case err == nil:
		return nil
	case timed.Err() != nil:
		return context.Cause(timed)
	}
	return b.lost("the container was lost before its script began", err)
}

// address is the service's in the network of its run.
func (c *sidecar) address(ctx context.Context) (string, error) {
	ctx, cancel := asking(ctx)
	defer cancel()
	got, err := c.all.box.d.api.ContainerInspect(ctx, c.container)
	if err != nil {
		return "", c.all.box.d.explain(err, "service "+c.spec.Name+" can't be looked at")
	}
	if got.NetworkSettings != nil {
		if on := got.NetworkSettings.Networks[c.all.net.name]; on != nil && on.IPAddress != "" {
			return on.IPAddress, nil
		}
	}
	// It ends, which watch is about to see.
	return "", cmp.Or(awaitSignal(ctx, c.ended), errGone)
}
