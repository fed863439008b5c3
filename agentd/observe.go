package agentd

import (
	"context"
	"time"

	"ci/agentd/admission"
)

// observeEvery is the time between two looks at the machine.
const observeEvery = time.Second

func (a *Agent) observeLoop(ctx context.Context) {
	every(ctx, observeEvery, func(context.Context) { a.observe() })
}

// observe looks at the machine and decides whether it can bear more.
func (a *Agent) observe() {
	s, err := a.cfg.Machine.Sample()
	if err != nil {
		a.log.Warn("the machine's load could not be read; it counts as before", "err", err)
		return
	}
	a.mu.Lock()
	was := a.gate.Closed
	held := a.held()
	a.load.Observe(time.Now(), s, a.peak)
	a.peak = held
	a.gate.Look(a.load, s, held, admission.Limits{Threshold: a.cfg.Threshold, Memory: a.cfg.MinFreeMemory, Disk: a.cfg.MinFreeDisk})
	turned := (was == "") != (a.gate.Closed == "")
	a.mu.Unlock()
	if turned {
		a.changed()
	}
}
