package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/network"
	"golang.org/x/sync/errgroup"
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
	if whole, err := d.intact(ctx); whole || err != nil {
		return err
	}
	graceful, end := d.grace(ctx)
	defer end()
	if err := d.close(graceful); err != nil {
		return err
	}
	d.touched = true
	if left, err := d.sweepUnknown(graceful); left > 0 {
		d.log.Warn("objects of an earlier life could not be removed yet", "agent", d.cfg.Agent, "left", left, "err", err)
	}
	d.logEngine(ctx)
	d.preflight(ctx)
	d.adopt(graceful)
	s := &shared{}
	if err := d.build(graceful, s); err != nil {
		undo, cancel := within(context.WithoutCancel(ctx), d.cfg.grace) // also when ctx ended: what was made must go
		defer cancel()
		return errors.Join(err, d.destroy(undo, s))
	}
	d.mu.Lock()
	d.shared = s
	d.mu.Unlock()
	return nil
}

// build fills s in, step by step, so that destroy knows how far it came.
func (d *Driver) build(ctx context.Context, s *shared) (err error) {
	if err = d.toolboxImage(ctx, s); err != nil {
		return err
	}
	if err = d.describe(ctx, s); err != nil {
		return err
	}
	if err := d.makeToolboxVolume(ctx, s); err != nil {
		return err
	}
	if err := d.makeNetwork(ctx, s); err != nil {
		return err
	}
	s.pool = newPool(d, s)
	s.mirrors = newMirrors(d)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.pool.warm(gctx) })
	g.Go(func() error { return d.enclose(gctx, s) })
	return g.Wait()
}

// enclose raises the wall, unless the administrator wants none.
func (d *Driver) enclose(ctx context.Context, s *shared) error {
	if d.cfg.OpenHost {
		return nil // preflight has told
	}
	s.walled = true // from here on it may be up, whatever comes of this
	if err := d.raiseWall(ctx, s); err != nil {
		return fmt.Errorf("%w; the engine's kernel needs nftables, and its containers CAP_NET_ADMIN; if neither is to be had, start the agent with its setting open-host and keep untrusted jobs away", err)
	}
	return nil
}

// intact says whether everything that Open made is still there. An error says
// nothing about that: what runs may be using is not torn down because the
// engine was slow to answer.
func (d *Driver) intact(ctx context.Context) (bool, error) {
	s, err := d.ready()
	if err != nil {
		return false, nil // never opened
	}
	ctx, cancel := asking(ctx)
	defer cancel()
	for _, look := range []func() error{
		func() error { _, err := d.api.ImageInspect(ctx, s.toolbox.id); return err },
		func() error { _, err := d.api.VolumeInspect(ctx, s.volume); return err },
		func() error {
			_, err := d.api.NetworkInspect(ctx, s.network, network.InspectOptions{})
			return err
		},
	} {
		if err := look(); notFound(err) {
			return false, nil
		} else if err != nil {
			return false, d.explain(err, "what runs share can't be looked at")
		}
	}
	return true, nil
}

// sweepPause is the time between two looks for what the engine was still making.
const sweepPause = 500 * time.Millisecond

// Close removes what Open made, but not the toolbox image, which the next
// start will want, and whatever else there is of this agent. Runs have to be over.
// It ends with ctx, or by itself when the engine takes too long; what is left
// then is for the next start.
func (d *Driver) Close(ctx context.Context) error {
	d.opening.Lock()
	defer d.opening.Unlock()
	ctx, cancel := within(ctx, closeTime)
	defer cancel()
	d.endPushes()
	err := d.close(ctx)
	if !d.touched {
		return err
	}
	// What a killed life of this agent had asked for, the engine may have made
	// after the sweep at our start; what is in use can't be removed until its user is gone.
	for {
		left, sweeping := d.Sweep(ctx, nil)
		if left == 0 || pause(ctx, sweepPause) != nil {
			return errors.Join(err, sweeping)
		}
	}
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

// destroy removes what s has. What can't be removed is nobody's from here on,
// so that the next sweep takes it.
func (d *Driver) destroy(ctx context.Context, s *shared) error {
	defer d.names.drop(s.volume)
	defer d.names.drop(s.network)
	var errs []error
	if s.pool != nil {
		errs = append(errs, s.pool.close(ctx))
	}
	if s.mirrors != nil {
		errs = append(errs, s.mirrors.close(ctx))
	}
	if s.walled {
		errs = append(errs, d.lowerWall(ctx, s))
	}
	if s.network != "" {
		errs = append(errs, d.removeNetwork(ctx, s.network))
	}
	if s.volume != "" {
		errs = append(errs, d.removeVolume(ctx, s.volume))
	}
	return errors.Join(errs...)
}

// logEngine tells the administrator which versions runs rely on: what keeps
// them in their containers is the engine's and runc's alone.
func (d *Driver) logEngine(ctx context.Context) {
	ctx, cancel := asking(ctx)
	defer cancel()
	v, err := d.api.ServerVersion(ctx)
	if err != nil {
		return // the next call says why
	}
	versions := []any{"agent", d.cfg.Agent, "engine", v.Version, "kernel", v.KernelVersion}
	for _, c := range v.Components {
		if c.Name == "runc" || c.Name == "containerd" {
			versions = append(versions, c.Name, c.Version)
		}
	}
	told := fmt.Sprint(versions...)
	d.mu.Lock()
	known := d.engine == told
	d.engine = told
	d.mu.Unlock()
	if !known {
		d.log.Info("runs use this Docker engine; keep it and runc patched", versions...)
	}
}

// describe fills in what the engine's machine is, which need not be this one.
func (d *Driver) describe(ctx context.Context, s *shared) error {
	ctx, cancel := asking(ctx)
	defer cancel()
	info, err := d.api.Info(ctx)
	s.cores, s.os, s.arch = max(1, info.NCPU), info.OSType, info.Architecture
	return d.explain(err, "Docker does not describe itself")
}
