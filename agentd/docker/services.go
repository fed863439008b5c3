package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ci/pkg/ci"
)

// labelService is the name of a service in its job file.
const labelService = "ci.service"

// sidecars are the services of one run, with the network and the volumes that
// they share. Those of a run without services are nil, and all they are asked
// to do is done.
type sidecars struct {
	box     *box
	console io.Writer
	list    []*sidecar
	volumes map[string]string // by their names in the job file
	net     runNet
	greeted chan struct{} // closed when init can look at the network
	netUp   chan struct{} // closed when the network is there

	life   context.Context // until they are removed
	end    context.CancelFunc
	beside sync.WaitGroup // what listens to them and waits for their ends
}

// newSidecars is nil for a run without services. Nothing is made yet.
func newSidecars(b *box, console io.Writer) *sidecars {
	specs := b.order.Spec.Services
	if len(specs) == 0 {
		return nil
	}
	s := &sidecars{box: b, console: console, volumes: map[string]string{}, greeted: make(chan struct{}), netUp: make(chan struct{})}
	s.life, s.end = context.WithCancel(context.Background()) // ends with remove
	for i := range specs {
		s.list = append(s.list, newSidecar(s, &specs[i]))
	}
	return s
}

// up makes network, volumes and services, each service as soon as what it
// depends on is there, and returns when all of them are up.
func (s *sidecars) up(ctx context.Context) error {
	if s == nil {
		return nil
	}
	ended := s.box.order.Tell.Step("services")
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.connect(ctx) })
	if err := s.makeVolumes(ctx); err != nil {
		return errors.Join(err, g.Wait())
	}
	for _, c := range s.list {
		g.Go(func() error { return c.up(ctx) })
	}
	err := g.Wait()
	if err == nil {
		ended(fmt.Sprintf("%d up", len(s.list)))
	} else {
		ended("not up")
	}
	return err
}

// connect makes the network of the run.
func (s *sidecars) connect(ctx context.Context) error {
	b := s.box
	err := b.d.makeRunNetwork(ctx, b.shared, len(s.list)+1, b.d.runLabels("network", b.order.Run, b.order.Job), &s.net)
	if err == nil {
		close(s.netUp)
	}
	return err
}

// greet says that the job's container is in the network, from where init can look.
func (s *sidecars) greet() {
	if s != nil {
		close(s.greeted)
	}
}

// network waits for the network and returns its name.
func (s *sidecars) network(ctx context.Context) (string, error) {
	if err := awaitSignal(ctx, s.netUp); err != nil {
		return "", err
	}
	return s.net.name, nil
}

func (s *sidecars) makeVolumes(ctx context.Context) error {
	b := s.box
	for _, c := range s.list {
		for _, m := range c.spec.Mounts {
			if m.Volume == "" || s.volumes[m.Volume] != "" {
				continue
			}
			name := b.d.name(roleName(b.order.Run, "volume"))
			s.volumes[m.Volume] = name
			if err := b.d.makeVolume(ctx, name, b.d.runLabels("volume", b.order.Run, b.order.Job)); err != nil {
				return err
			}
		}
	}
	return nil
}

// find returns the service of that name. The job file was checked: there is one.
func (s *sidecars) find(name string) (*sidecar, error) {
	for _, c := range s.list {
		if c.spec.Name == name {
			return c, nil
		}
	}
	return nil, ci.Errorf(ci.CodeInvalid, "there is no service %s", name)
}

// wanted says whether another service waits for this condition of the named one.
func (s *sidecars) wanted(name string, condition ci.Condition) bool {
	for _, c := range s.list {
		for _, d := range c.spec.DependsOn {
			if d.Service == name && d.Condition == condition {
				return true
			}
		}
	}
	return false
}

// standing is asked just before the script begins: a service that has failed by
// now is an error of the run, later it is the script's matter.
func (s *sidecars) standing(ctx context.Context) error {
	if s == nil {
		return nil
	}
	for _, c := range s.list {
		select {
		case <-c.ended:
			if c.end.code != 0 {
				return c.failed(ctx, c.end.text()+" before the script began")
			}
		default:
		}
	}
	return nil
}

// removeContainers takes the services away, all at once. It is safe to repeat.
func (s *sidecars) removeContainers(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.end()
	errs := make([]error, len(s.list))
	var all sync.WaitGroup
	for i, c := range s.list {
		all.Go(func() { errs[i] = c.remove(ctx) })
	}
	all.Wait()
	s.beside.Wait()
	return errors.Join(errs...)
}

// removeRest takes away what no container uses any more. It is safe to repeat.
func (s *sidecars) removeRest(ctx context.Context) error {
	if s == nil {
		return nil
	}
	d := s.box.d
	var errs []error
	for inFile, name := range s.volumes {
		if err := s.box.insist(func() error { return d.removeVolume(ctx, name) }); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(s.volumes, inFile)
	}
	errs = append(errs, s.box.insist(func() error { return d.removeRunNetwork(ctx, &s.net) }))
	return errors.Join(errs...)
}

// say is a line for the console.
func (s *sidecars) say(format string, args ...any) { fmt.Fprintf(s.console, format+"\n", args...) }

// awaitSignal waits for a signal or the end of ctx.
func awaitSignal(ctx context.Context, signal <-chan struct{}) error {
	select {
	case <-signal:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause waits; an error says that ctx ended before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
