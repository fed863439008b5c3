package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// abortGoal is from the POST of an abort to the end of its container, without a grace.
const abortGoal = 300 * time.Millisecond

// abort is figure i: from the POST that aborts a run to the end of its
// container, as the engine itself tells it, and to the answer that it is done.
// The floor is the engine's own kill of such a container.
func (b *bench) abort(ctx context.Context) ([]figure, error) {
	s, e, err := b.warm(ctx, "sleep 600")
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := s.noGrace(ctx); err != nil {
		return nil, err
	}
	var ended, told, floor []time.Duration
	for range b.rounds {
		end, done, err := s.abortOnce(ctx, e)
		if err != nil {
			return nil, err
		}
		ended, told = append(ended, end), append(told, done)
		if err := e.quiet(ctx); err != nil {
			return nil, err
		}
		took, err := e.killed(ctx)
		if err != nil {
			return nil, err
		}
		floor = append(floor, took)
	}
	o, d, f := median(ended), median(told), median(floor)
	worst := slices.Max(ended)
	note := fmt.Sprintf("medians of %d; the slowest %s; said to be done after %s", b.rounds, ms(worst), ms(d))
	return []figure{{"i", "abort → container's end", ms(o), ms(f), float64(o) / float64(f), "≤ " + ms(abortGoal), o <= abortGoal, note}}, nil
}

// noGrace takes the time away that scripts have to say goodbye.
func (s *server) noGrace(ctx context.Context) error {
	var config map[string]any
	if err := s.call(ctx, "GET", "/config", nil, &config); err != nil {
		return err
	}
	config["abortGrace"] = "0s"
	return s.call(ctx, "PUT", "/config", config, nil)
}

// abortOnce aborts one run whose script runs, and says how long its container
// and the answer took.
func (s *server) abortOnce(ctx context.Context, e *engine) (ended, told time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := s.trigger(ctx, "bench")
	if err != nil {
		return 0, 0, err
	}
	path := fmt.Sprintf("/jobs/bench/runs/%d", r.ID)
	for r.Phase != "running" {
		if err := s.call(ctx, "GET", path+"?wait=20s&until=started", nil, &r); err != nil {
			return 0, 0, err
		}
		if r.Status == "done" {
			return 0, 0, fmt.Errorf("run %d ended by itself: %s", r.ID, r.Outcome)
		}
	}
	deaths, failed := e.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", "container"), filters.Arg("event", "die"), filters.Arg("label", fmt.Sprintf("ci.run=%d", r.ID)), filters.Arg("label", "ci.agent="+e.agent))})
	began := time.Now()
	if err := s.call(ctx, "POST", path+"/abort", nil, nil); err != nil {
		return 0, 0, err
	}
	select {
	case <-deaths:
		ended = time.Since(began)
	case err := <-failed:
		return 0, 0, err
	case <-time.After(time.Minute):
		return 0, 0, fmt.Errorf("the container of run %d did not end within a minute", r.ID)
	}
	for r.Status != "done" {
		if err := s.call(ctx, "GET", path+"?wait=60s&until=done", nil, &r); err != nil {
			return 0, 0, err
		}
	}
	if r.Outcome != "aborted" {
		return 0, 0, fmt.Errorf("run %d is %s: %s", r.ID, r.Outcome, r.Reason)
	}
	return ended, time.Since(began), nil
}

// killed is how long the bare engine takes to kill a container that sleeps.
func (e *engine) killed(ctx context.Context) (time.Duration, error) {
	c, err := e.ContainerCreate(ctx, &container.Config{Image: e.image, Cmd: []string{"sleep", "600"}}, nil, nil, nil, "")
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = e.ContainerRemove(context.WithoutCancel(ctx), c.ID, container.RemoveOptions{RemoveVolumes: true, Force: true})
	}()
	ended, failed := e.ContainerWait(ctx, c.ID, container.WaitConditionNextExit)
	if err := e.ContainerStart(ctx, c.ID, container.StartOptions{}); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := e.ContainerKill(ctx, c.ID, "KILL"); err != nil {
		return 0, err
	}
	select {
	case <-ended:
		return time.Since(began), nil
	case err := <-failed:
		return 0, err
	}
}
