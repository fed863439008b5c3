package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"golang.org/x/sync/errgroup"

	"ci/e2e/rig"
)

// asks is the script of figure g: it ends when the service has answered.
const asks = "until wget -q -O /dev/null http://web:8080/busybox; do usleep 10000; done"

// serves is the service's command.
var serves = []string{"httpd", "-f", "-p", "8080", "-h", "/bin"}

// service is figure g: a run with one service, in turn with the same network
// and two containers made by hand, both containers at the same time. Either
// side is measured up to the end of the script, and removes beside what follows.
func (b *bench) service(ctx context.Context) ([]figure, error) {
	s, e, err := b.warm(ctx, "true")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	docker, err := rig.OpenDocker()
	if err != nil {
		return nil, err
	}
	if e.image, err = docker.Busybox(ctx); err != nil {
		return nil, err
	}
	defer docker.RemoveImage(context.WithoutCancel(ctx), e.image)
	if err := s.putServed(ctx, e.image); err != nil {
		return nil, err
	}
	var ours, floor []time.Duration
	for range b.rounds {
		began := time.Now()
		r, err := s.trigger(ctx, "served")
		if err != nil {
			return nil, err
		}
		if _, err := s.wait(ctx, "served", r.ID); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(began))
		if err := e.quiet(ctx); err != nil {
			return nil, err
		}
		took, err := e.served(ctx)
		if err != nil {
			return nil, err
		}
		floor = append(floor, took)
	}
	o, f := median(ours), median(floor)
	ratio := float64(o) / float64(f)
	return []figure{{"g", "run with a service, trigger → done", ms(o), ms(f), ratio, "≤ 1.30", ratio <= 1.3, fmt.Sprintf("medians of %d", b.rounds)}}, nil
}

func (s *server) putServed(ctx context.Context, image string) error {
	return s.call(ctx, "PUT", "/jobs/served", map[string]any{"freestyle": map[string]any{
		"script":      asks,
		"environment": map[string]any{"image": image},
		"resources":   map[string]any{"cpus": 1, "memory": "256MiB"},
		"services":    map[string]any{"web": map[string]any{"image": image, "command": serves}},
	}}, nil)
}

// served makes a network and two containers on it by hand, and returns how
// long it took until the one had the other's answer.
func (e *engine) served(ctx context.Context) (took time.Duration, err error) {
	began := time.Now()
	net := "ci-bench-" + rig.Random()
	subnet := []network.IPAMConfig{{Subnet: "10.233.77.0/28"}}
	if _, err := e.NetworkCreate(ctx, net, network.CreateOptions{Driver: "bridge", IPAM: &network.IPAM{Config: subnet}}); err != nil {
		return 0, err
	}
	var g errgroup.Group
	g.Go(func() error { return e.on(ctx, net, "web", serves...) })
	g.Go(func() error {
		if err := e.on(ctx, net, "job", "sh", "-c", asks); err != nil {
			return err
		}
		ended, failed := e.ContainerWait(ctx, net+"-job", container.WaitConditionNotRunning)
		select {
		case <-ended:
			return nil
		case err := <-failed:
			return err
		}
	})
	err = g.Wait()
	took = time.Since(began)
	for _, name := range []string{"web", "job"} {
		err = errors.Join(err, e.ContainerRemove(ctx, net+"-"+name, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	}
	return took, errors.Join(err, e.NetworkRemove(ctx, net))
}

// on starts a container on a network under a name.
func (e *engine) on(ctx context.Context, net, name string, cmd ...string) error {
	named := &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{net: {Aliases: []string{name}}}}
	c, err := e.ContainerCreate(ctx, &container.Config{Image: e.image, Cmd: cmd},
		&container.HostConfig{NetworkMode: container.NetworkMode(net), LogConfig: container.LogConfig{Type: "none"}}, named, nil, net+"-"+name)
	if err != nil {
		return err
	}
	return e.ContainerStart(ctx, c.ID, container.StartOptions{})
}
