package agentd

import (
	"ci/agentd/admission"
	"ci/pkg/ci"
)

// lanes returns the lanes to pull from at the moment.
func (a *Agent) lanes() []ci.Lane {
	a.mu.Lock()
	defer a.mu.Unlock()
	lanes, _ := a.situation().Decide()
	return lanes
}

// situation gathers what decides. a.mu is held.
func (a *Agent) situation() admission.Situation {
	return admission.Situation{
		Stop:     a.stopped(),
		Classes:  a.classes,
		Offered:  a.offered(),
		Held:     a.shares(),
		Waiting:  a.waited(),
		Patience: a.cfg.Patience,
		Kept:     a.keeping(),
	}
}

// stopped says why nothing at all is taken; "" when something may be. a.mu is held.
func (a *Agent) stopped() string {
	if why := a.draining(); why != "" {
		return why
	}
	if a.problem != "" {
		return a.problem
	}
	if a.gate.Closed != "" {
		return a.gate.Closed
	}
	return a.crowded()
}

// crowded says that the engine may not have a network for one more run. Those
// in preparation may each still take one. a.mu is held.
func (a *Agent) crowded() string {
	preparing := 0
	for _, s := range a.slots {
		if !s.run.Prepared() {
			preparing++
		}
	}
	if free := a.cfg.Driver.FreeNetworks(); free <= preparing {
		return admission.NoNetworks(free, preparing)
	}
	return ""
}

func (a *Agent) offered() ci.Quota { return ci.Quota{CPUs: a.cfg.CPUs, Memory: a.cfg.Memory} }
