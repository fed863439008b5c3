package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

// engine is the bare Docker engine: what a run can't be cheaper than, if it
// starts a container by itself.
type engine struct {
	*client.Client
	image string
	agent string // whose runs are measured
}

// newEngine uses the toolbox image that cid has made.
func newEngine(ctx context.Context, agent string) (*engine, error) {
	c, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, err
	}
	images, err := c.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, i := range images {
		for _, tag := range i.RepoTags {
			if strings.HasPrefix(tag, "ci-toolbox:") {
				return &engine{c, tag, agent}, nil
			}
		}
	}
	return nil, errors.New("cid has not made its toolbox image yet")
}

// once creates, starts, waits for and removes a container.
func (e *engine) once(ctx context.Context, cmd ...string) error {
	c, err := e.ContainerCreate(ctx, &container.Config{Image: e.image, Cmd: cmd}, nil, nil, nil, "")
	if err != nil {
		return err
	}
	ended, failed := e.ContainerWait(ctx, c.ID, container.WaitConditionNextExit)
	if err := e.ContainerStart(ctx, c.ID, container.StartOptions{}); err != nil {
		return err
	}
	select {
	case <-ended:
	case err := <-failed:
		return err
	}
	return e.ContainerRemove(ctx, c.ID, container.RemoveOptions{RemoveVolumes: true})
}

// attached does the same with log driver none, and copies what it prints to out.
func (e *engine) attached(ctx context.Context, out io.Writer, cmd ...string) error {
	c, err := e.ContainerCreate(ctx, &container.Config{Image: e.image, Cmd: cmd, AttachStdout: true},
		&container.HostConfig{LogConfig: container.LogConfig{Type: "none"}}, nil, nil, "")
	if err != nil {
		return err
	}
	stream, err := e.ContainerAttach(ctx, c.ID, container.AttachOptions{Stream: true, Stdout: true})
	if err != nil {
		return err
	}
	defer stream.Close()
	ended, failed := e.ContainerWait(ctx, c.ID, container.WaitConditionNextExit)
	if err := e.ContainerStart(ctx, c.ID, container.StartOptions{}); err != nil {
		return err
	}
	if _, err := stdcopy.StdCopy(out, io.Discard, stream.Reader); err != nil {
		return err
	}
	select {
	case <-ended:
	case err := <-failed:
		return err
	}
	return e.ContainerRemove(ctx, c.ID, container.RemoveOptions{RemoveVolumes: true})
}
