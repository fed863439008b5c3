package docker

import (
	"context"
	"errors"

	"github.com/docker/docker/api/types/network"
)

// Open makes what all runs share: the toolbox's image and volume, the network
// and a first sandbox on it. It sweeps what an earlier life of this agent has
// left behind. Repeated, it leaves runs in progress alone and makes only what is missing.
func (d *Driver) Open(ctx context.Context) error {
	d.opening.Lock()
	defer d.opening.Unlock()
	if err := d.ping(ctx); err != nil {
		return err
	}
	if d.intact(ctx) {
		return nil
	}
	if err := d.close(ctx); err != nil {
		return err
	}
	if left, err := d.sweepUnknown(ctx); left > 0 {
		d.log.Warn("objects of an earlier life could not be removed yet", "agent", d.cfg.Agent, "left", left, "err", err)
	}
	s := &shared{}
	if err := d.build(ctx, s); err != nil {
		return errors.Join(err, d.destroy(ctx, s))
	}
	d.mu.Lock()
	d.shared = s
	d.mu.Unlock()
	return nil
}

// build fills s in, step by step, so that destroy knows how far it came.
func (d *Driver) build(ctx context.Context, s *shared) (err error) {
	if s.toolbox, s.noGit, err = d.toolboxImage(ctx); err != nil {
		return err
	}
	if err := d.makeToolboxVolume(ctx, s); err != nil {
		return err
	}
	if err := d.makeNetwork(ctx, s); err != nil {
		return err
	}
	s.pool = newPool(d, s)
	return s.pool.warm(ctx)
}

// intact says whether everything that Open made is still there.
func (d *Driver) intact(ctx context.Context) bool {
	s, err := d.ready()
	if err != nil {
		return false
	}
	ctx, cancel := asking(ctx)
	defer cancel()
	_, imageErr := d.api.ImageInspect(ctx, s.toolbox.id)
	_, volumeErr := d.api.VolumeInspect(ctx, s.volume)
	_, networkErr := d.api.NetworkInspect(ctx, s.network, network.InspectOptions{})
	return imageErr == nil && volumeErr == nil && networkErr == nil
}

// Close removes what Open made, but not the toolbox image, which the next
// start will want. Runs have to be over.
func (d *Driver) Close(ctx context.Context) error {
	d.opening.Lock()
	defer d.opening.Unlock()
	return d.close(ctx)
}

func (d *Driver) close(ctx context.Context) error {
	d.mu.Lock()
	s := d.shared
	d.shared = nil
	d.mu.Unlock()
	if s == nil {
		return nil
	}
	return d.destroy(ctx, s)
}

func (d *Driver) destroy(ctx context.Context, s *shared) error {
	var errs []error
	if s.pool != nil {
		errs = append(errs, s.pool.close(ctx))
	}
	if s.network != "" {
		errs = append(errs, d.removeNetwork(ctx, s.network))
	}
	if s.volume != "" {
		errs = append(errs, d.removeVolume(ctx, s.volume))
	}
	return errors.Join(errs...)
}
