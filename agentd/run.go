package agentd

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// closeTimeout bounds what is tidied up after the last run.
const closeTimeout = 55 * time.Second

// byeTimeout bounds the last heartbeat: whoever is away does not keep us.
const byeTimeout = 3 * time.Second

// Run is the agent's life. It returns nil once the agent was drained (Drain)
// and the last run has ended. The end of ctx is harsher: whatever runs is killed
// and reports nothing, so that the backend finds it lost; callers drain first.
// A missing Docker is no reason to return: the heartbeat names the problem and
// the agent goes on trying.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.refreshClasses(ctx); err != nil {
		a.log.Warn("the quota classes could not be read yet", "err", err)
	}
	if a.cfg.Bus != nil {
		cancel, err := a.cfg.Bus.Subscribe("abort."+a.cfg.ID, a.onAbort)
		if err != nil {
			return fmt.Errorf("listen for aborts: %w", err)
		}
		defer cancel()
		hearing, err := a.cfg.Bus.Subscribe("agents", a.hear)
		if err != nil {
			return fmt.Errorf("listen for orders: %w", err)
		}
		defer hearing()
	}
	a.observe()

	life, end := context.WithCancel(ctx)
	defer end()
	var pulls, loops sync.WaitGroup
	pulls.Go(func() { a.pullLoop(life) })
	for _, loop := range []func(context.Context){
		a.driverLoop, a.observeLoop, a.renewLoop, a.heartbeatLoop, a.sweepLoop, a.deadlineLoop,
	} {
		loops.Go(func() { loop(life) })
	}

	pulls.Wait()  // it ends with a drain or with ctx; nothing new comes after it
	a.runs.Wait() // on ctx's end the runs end too, each removes its container
	end()
	loops.Wait()
	a.leave(ctx)
	return ctx.Err()
}

// leave says good-bye: a last heartbeat that holds no runs, and nothing left in Docker.
func (a *Agent) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	bye, enough := context.WithTimeout(ctx, byeTimeout)
	defer enough()
	if err := a.heartbeat(bye); err != nil {
		a.log.Warn("the last heartbeat failed", "err", err)
	}
	if err := a.cfg.Driver.Close(ctx); err != nil {
		a.log.Warn("not everything could be removed; the next start tries again", "err", err)
	}
}

// every calls fn each period until ctx ends.
func every(ctx context.Context, period time.Duration, fn func(context.Context)) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			fn(ctx)
		}
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
