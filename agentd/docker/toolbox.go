package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"

	"ci/agentd/toolbox/kit"
	"ci/agentd/toolbox/pipe"
	"ci/pkg/ci"
)

// toolboxImage finds the toolbox image, and makes it where the engine does
// not have it. A second start finds it by its hash.
func (d *Driver) toolboxImage(ctx context.Context, s *shared) error {
	if d.cfg.ToolboxImage != "" {
		named, err := parseImage(d.cfg.ToolboxImage)
		if err != nil {
			return err
		}
		s.toolboxRef = named.String()
		s.toolbox, _, err = d.imageFor(ctx, named, nil, io.Discard)
		return err
	}
	k, err := kit.Plan(d.cfg.Executable)
	if err != nil {
		return err
	}
	name := "ci-toolbox:" + k.Hash()
	s.toolboxRef, s.noGit = hub+"/library/"+name, k.NoGit
	s.toolbox, err = d.inspectImage(ctx, name)
	if notFound(err) {
		began := time.Now()
		if err := d.importImage(ctx, k, name); err != nil {
			return err
		}
		d.log.Info("made the toolbox image", "image", name, "took", time.Since(began).Round(time.Millisecond))
		s.toolbox, err = d.inspectImage(ctx, name)
	}
	if err != nil {
		return d.explain(err, "the toolbox image can't be looked at")
	}
	d.removeOldToolboxes(ctx, s.toolbox.id)
	return nil
}

func (d *Driver) importImage(ctx context.Context, k *kit.Kit, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		_, err := k.WriteTo(w)
		written <- err
		w.CloseWithError(err)
	}()
	answer, err := d.api.ImageImport(ctx, dockerimage.ImportSource{Source: r, SourceName: "-"}, ref, dockerimage.ImportOptions{Changes: kit.Changes(k.Hash())})
	if err == nil {
		err = drain(answer)
	}
	r.CloseWithError(io.ErrClosedPipe) // the writer ends, whatever the engine has read
	if werr := <-written; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		return ci.Errorf(ci.CodeInternal, "the toolbox image can't be put together: %w", werr)
	}
	return d.explain(err, "Docker does not take the toolbox image")
}

// drain reads the engine's progress messages to their end and returns the error among them.
func drain(answer io.ReadCloser) error {
	defer answer.Close()
	return messages(answer, func(message) {})
}

// message is one line of progress from the engine.
type message struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Error    string `json:"error"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
}

func messages(r io.Reader, each func(message)) error {
	for lines := json.NewDecoder(r); ; {
		var m message
		if err := lines.Decode(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		each(m)
	}
}

// youngImage is how long a toolbox image that nobody uses is left alone: its
// agent may be between making it and using it.
const youngImage = 10 * time.Minute

// removeOldToolboxes removes the images that other versions have made, and
// doubles that two starts at once have, unless somebody uses them or may just
// be about to.
func (d *Driver) removeOldToolboxes(ctx context.Context, current string) {
	ctx, cancel := context.WithTimeout(ctx, makeTime)
	defer cancel()
	all, err := d.api.ImageList(ctx, dockerimage.ListOptions{Filters: filters.NewArgs(filters.Arg("label", kit.Label))})
	if err != nil {
		return // a few megabytes more; the next start tries again
	}
	for _, im := range all {
		if im.ID == current || time.Since(time.Unix(im.Created, 0)) < youngImage {
			continue
		}
		if _, err := d.api.ImageRemove(ctx, im.ID, dockerimage.RemoveOptions{}); err == nil {
			d.log.Info("removed an old toolbox image", "image", im.ID)
		}
	}
}

// makeToolboxVolume makes the volume that brings the toolbox's binary into
// every container. The engine itself fills a new volume with what the image
// has at its place when a container is created; that container never starts.
func (d *Driver) makeToolboxVolume(ctx context.Context, s *shared) error {
	s.volume = d.name("toolbox")
	if err := d.makeVolume(ctx, s.volume, d.labels("toolbox")); err != nil {
		return err
	}
	name := d.name("fill")
	ctx, cancel := making(ctx)
	defer cancel()
	_, err := d.api.ContainerCreate(ctx,
		&container.Config{Image: s.toolbox.id, Entrypoint: []string{pipe.Binary}, Labels: d.labels("fill")},
		&container.HostConfig{NetworkMode: "none", Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: s.volume, Target: pipe.Folder}}},
		nil, nil, name)
	if rerr := d.removeContainer(ctx, name); rerr != nil {
		d.names.drop(name) // nobody's any more: the sweep removes it
		err = errors.Join(err, rerr)
	}
	return d.explain(err, "the toolbox volume can't be filled")
}

func (d *Driver) makeVolume(ctx context.Context, name string, labels map[string]string) error {
	ctx, cancel := making(ctx)
	defer cancel()
	_, err := d.api.VolumeCreate(ctx, volume.CreateOptions{Name: name, Labels: labels})
	return d.explain(err, fmt.Sprintf("volume %s can't be made", name))
}

// removeVolume is safe to repeat.
func (d *Driver) removeVolume(ctx context.Context, name string) error {
	ctx, cancel := making(ctx)
	defer cancel()
	if err := d.api.VolumeRemove(ctx, name, false); err != nil && !notFound(err) {
		return d.explain(err, fmt.Sprintf("volume %s can't be removed", name))
	}
	d.names.drop(name)
	return nil
}

// removeContainer removes a container and its anonymous volumes, running or
// not. It is safe to repeat, also while the engine is about it.
func (d *Driver) removeContainer(ctx context.Context, name string) error {
	ctx, cancel := making(ctx)
	defer cancel()
	err := d.api.ContainerRemove(ctx, name, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if cerrdefs.IsConflict(err) { // the engine is about it already
		err = d.awaitRemoval(ctx, name)
	}
	if err != nil && !notFound(err) {
		return d.explain(err, fmt.Sprintf("container %s can't be removed", name))
	}
	d.names.drop(name)
	return nil
}

func (d *Driver) awaitRemoval(ctx context.Context, name string) error {
	removed, failed := d.api.ContainerWait(ctx, name, container.WaitConditionRemoved)
	select {
	case <-removed:
		return nil
	case err := <-failed:
		return err
	}
}
