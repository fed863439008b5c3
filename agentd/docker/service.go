package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
)

// sidecar is one service of a run.
type sidecar struct {
	all  *sidecars
	spec *ci.Service

	container string // "" when there is none
	conn      *attached
	last      tail // what it printed last

	// Each is closed once, when the service has come so far.
	started   chan struct{}
	healthy   chan struct{}
	completed chan struct{}
	ended     chan struct{} // end is set
	drained   chan struct{} // all that it printed has been read
	end       ending
}

// ending is how a service ended.
type ending struct {
	code int64
	oom  bool
	why  string // when the engine can't say
}

func newSidecar(s *sidecars, spec *ci.Service) *sidecar {
	return &sidecar{
		all: s, spec: spec,
		started: make(chan struct{}), healthy: make(chan struct{}), completed: make(chan struct{}),
		ended: make(chan struct{}), drained: make(chan struct{}),
	}
}

// up brings the service up, and returns when nobody has to wait for it any more.
func (c *sidecar) up(ctx context.Context) error {
	told := c.all.box.order.Tell.Step("service " + c.spec.Name)
	began := time.Now()
	how, err := c.bringUp(ctx)
	if err != nil {
		told("failed")
		return err
	}
	told(how)
	c.all.say("service %s is up after %s: %s", c.spec.Name, time.Since(began).Round(10*time.Millisecond), how)
	return nil
}

func (c *sidecar) bringUp(ctx context.Context) (how string, err error) {
	t, err := c.prepare(ctx)
	if err != nil {
		return "", err
	}
	if err := c.launch(ctx, t); err != nil {
		return "", err
	}
	close(c.started)
	oneShot := c.all.wanted(c.spec.Name, ci.ServiceCompleted)
	if !oneShot || c.all.wanted(c.spec.Name, ci.ServiceHealthy) {
		if how, err = c.awaitHealth(ctx, t); err != nil {
			return "", err
		}
		close(c.healthy)
	}
	if oneShot {
		if err := c.awaitCompletion(ctx); err != nil {
			return "", err
		}
		how = "completed"
	}
	return how, nil
}

// prepare gets the image while what the service depends on comes up.
func (c *sidecar) prepare(ctx context.Context) (traits, error) {
	var t traits
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		im, err := c.all.box.serviceImage(gctx, *c.spec, c.all.console)
		if err == nil {
			t, err = c.all.box.d.traits(gctx, im)
		}
		return err
	})
	g.Go(func() error { return c.awaitDependencies(gctx) })
	return t, g.Wait()
}

// awaitDependencies waits until they are what the file asks for. One that
// fails ends the preparation, and so ctx.
func (c *sidecar) awaitDependencies(ctx context.Context) error {
	for _, dep := range c.spec.DependsOn {
		on, err := c.all.find(dep.Service)
		if err != nil {
			return err
		}
		signal := on.started
		switch dep.Condition {
		case ci.ServiceHealthy:
			signal = on.healthy
		case ci.ServiceCompleted:
			signal = on.completed
		}
		if err := awaitSignal(ctx, signal); err != nil {
			return err
		}
	}
	return nil
}

// launch creates the container, attaches and only then starts it, so that
// nothing that it prints is lost.
func (c *sidecar) launch(ctx context.Context, t traits) error {
	b := c.all.box
	if _, err := c.all.network(ctx); err != nil {
		return err
	}
	c.container = b.d.name(roleName(b.order.Run, "service"))
	if err := c.make(ctx, t); err != nil {
		return c.unmade(err)
	}
	log := io.MultiWriter(b.order.Tell.ServiceLog(c.spec.Name), &c.last)
	conn, err := b.d.listen(ctx, c.container, log)
	if err != nil {
		return err
	}
	c.conn = conn
	c.all.beside.Go(func() { // ends with the container, or with remove
		defer close(c.drained)
		_, _ = io.Copy(log, conn)
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.d.start(ctx, c.container); err != nil {
		return c.unmade(err)
	}
	c.all.beside.Go(c.watch)
	return nil
}

// unmade tells which service an error of the engine is about.
func (c *sidecar) unmade(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return ci.Errorf(ci.CodeOf(err), "service %s: %w", c.spec.Name, err)
}

// listen attaches to what a container prints.
func (d *Driver) listen(ctx context.Context, name string, stderr io.Writer) (*attached, error) {
	return d.attachTo(ctx, name, container.AttachOptions{Stream: true, Stdout: true, Stderr: true}, stderr)
}

// watch notes the service's end, and says so while the run goes on.
func (c *sidecar) watch() {
	for c.all.life.Err() == nil {
		ended, failed := c.all.box.d.api.ContainerWait(c.all.life, c.container, container.WaitConditionNotRunning)
		select {
		case got := <-ended:
			c.over(got.StatusCode)
			return
		case err := <-failed:
			if notFound(err) {
				c.end.why = "somebody else has removed its container"
				c.over(-1)
				return
			}
		}
		_ = pause(c.all.life, time.Second) // the engine does not answer: ask again
	}
}

// over notes how the service ended.
func (c *sidecar) over(code int64) {
	if c.all.life.Err() != nil {
		return // it was removed with the run
	}
	c.end.code = code
	ctx, cancel := asking(c.all.life)
	defer cancel()
	if got, err := c.all.box.d.api.ContainerInspect(ctx, c.container); err == nil && got.State != nil {
		c.end.oom = got.State.OOMKilled
	}
	close(c.ended)
	if code == 0 {
		close(c.completed)
	}
	if !c.all.wanted(c.spec.Name, ci.ServiceCompleted) {
		c.all.box.order.Tell.Say(fmt.Sprintf("service %s %s", c.spec.Name, c.end.text()))
	}
}

// text says how the service ended, after its name.
func (e ending) text() string {
	switch {
	case e.why != "":
		return "is gone: " + e.why
	case e.oom:
		return fmt.Sprintf("ended with status %d: it used more than its memory limit; give it more in deploy.resources.limits.memory", e.code)
	case e.code == 137:
		// Engines may hear of the end before they hear of the memory.
		return "ended with status 137: it was killed, most likely since it used more than its memory limit; give it more in deploy.resources.limits.memory"
	}
	return fmt.Sprintf("ended with status %d", e.code)
}

// lastLines is how much of what a failed service printed is shown.
const lastLines = 20

// failed shows the service's last lines and makes the error for the run.
func (c *sidecar) failed(ctx context.Context, how string) error {
	if c.hasEnded() { // what it said last is on its way
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = awaitSignal(ctx, c.drained)
	}
	lines := c.last.lines(lastLines)
	for _, line := range lines {
		c.all.say("%s | %s", c.spec.Name, line)
	}
	where := "it printed nothing"
	if len(lines) > 0 {
		where = "its last lines are in the console, and all of them in the result " + ci.ServiceLogs
	}
	return ci.Errorf(ci.CodeInvalid, "service %s %s, so the script was not started; %s", c.spec.Name, how, where)
}

// hasEnded says whether it has, as far as is known.
func (c *sidecar) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// lines are the last lines that were written, made fit to be shown.
func (t *tail) lines(n int) []string {
	t.mu.Lock()
	text := strings.TrimRight(string(t.kept), "\n")
	t.mu.Unlock()
	var all []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = sentence(line); line != "" {
			all = append(all, line)
		}
	}
	return all[max(0, len(all)-n):]
}

// maxGrace bounds how long the end of a service is waited for.
const maxGrace = 30 * time.Second

// remove takes the service away. It is killed, unless its file says how it
// wants to be stopped: all that it has made goes with it.
func (c *sidecar) remove(ctx context.Context) error {
	if c.container == "" {
		return nil
	}
	d := c.all.box.d
	if c.spec.StopSignal != "" || c.spec.StopGrace > 0 {
		d.stop(ctx, c.container, time.Duration(c.spec.StopGrace))
	}
	err := c.all.box.insist(func() error { return d.removeContainer(ctx, c.container) })
	if c.conn != nil {
		_ = c.conn.Close()
	}
	if err == nil {
		c.container = ""
	}
	return err
}

// stop has a container end by its stop signal; removing it sees to the rest.
func (d *Driver) stop(ctx context.Context, name string, grace time.Duration) {
	if grace <= 0 {
		grace = 10 * time.Second // as Compose has it
	}
	seconds := int(min(grace, maxGrace).Round(time.Second) / time.Second)
	ctx, cancel := context.WithTimeout(ctx, maxGrace+askTime)
	defer cancel()
	_ = d.api.ContainerStop(ctx, name, container.StopOptions{Timeout: &seconds})
}
