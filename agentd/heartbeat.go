package agentd

import (
	"context"
	"time"

	"ci/pkg/ci"
)

const (
	// heartbeatTimeout bounds one heartbeat.
	heartbeatTimeout = 10 * time.Second
	// heartbeatPause is the least time between two heartbeats, however much changes.
	heartbeatPause = 300 * time.Millisecond
)

// heartbeatLoop tells the backend how the agent is, every few seconds and
// when something changes. It goes on while draining, until the last run has ended.
func (a *Agent) heartbeatLoop(ctx context.Context) {
	failing := false
	var refreshed time.Time
	for ctx.Err() == nil {
		if time.Since(refreshed) > a.cfg.HeartbeatEvery/2 {
			a.refresh(ctx)
			refreshed = time.Now()
		}
		err := a.heartbeat(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			a.log.Warn("the backend does not take heartbeats; trying on", "err", err)
		}
		failing = err != nil
		sleep(ctx, heartbeatPause)
		timer := time.NewTimer(a.cfg.HeartbeatEvery - heartbeatPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-a.beat:
		}
		timer.Stop()
	}
}

// refresh reads again what admission needs from the backend. What can't be
// read stays as it was.
func (a *Agent) refresh(ctx context.Context) {
	if err := a.refreshClasses(ctx); err != nil && ctx.Err() == nil {
		a.log.Debug("the quota classes could not be read", "err", err)
	}
	if err := a.refreshWaiting(ctx); err != nil && ctx.Err() == nil {
		a.log.Debug("the depths of the queue could not be read", "err", err)
	}
	if err := a.refreshKept(ctx); err != nil && ctx.Err() == nil {
		a.log.Debug("it could not be asked whether to keep room", "err", err)
	}
	select {
	case a.admit <- struct{}{}:
	default:
	}
}

func (a *Agent) heartbeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	order, err := a.cfg.Uplink.Heartbeat(ctx, a.describe())
	if err != nil {
		return err
	}
	a.ordered(order)
	return nil
}

// describe says how the agent is.
func (a *Agent) describe() ci.Agent {
	runs := make([]int64, 0)
	for _, s := range a.live() {
		runs = append(runs, s.claim.Run)
	}
	warnings := a.cfg.Driver.Warnings()
	a.mu.Lock()
	defer a.mu.Unlock()
	held := a.held()
	_, refusals := a.situation().Decide()
	return ci.Agent{
		ID:         a.cfg.ID,
		Version:    a.cfg.Version,
		CPUs:       a.cfg.CPUs,
		Memory:     a.cfg.Memory,
		FreeCPUs:   max(0, a.cfg.CPUs-held.CPUs),
		FreeMemory: max(0, a.cfg.Memory-held.Memory),
		CPULoad:    a.load.CPU,
		Runs:       runs,
		Draining:   a.draining() != "",
		Leaving:    a.drain.leaving,
		Refusals:   refusals,
		Problem:    a.problem,
		Leftovers:  a.leftovers,
		Warnings:   warnings,
	}
}
