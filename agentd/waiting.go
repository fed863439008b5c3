package agentd

import (
	"context"
	"time"

	"ci/pkg/ci"
)

// waiting is how long a lane's first run has waited, as far as this agent has seen.
type waiting struct {
	oldest time.Time // as the backend says; only compared with itself
	seen   time.Time // when that was first seen, by this machine's clock
}

// refreshClasses reads the quota classes.
func (a *Agent) refreshClasses(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.HeartbeatEvery)
	defer cancel()
	classes, err := a.cfg.Classes(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.classes = classes
	return nil
}

// refreshWaiting reads how long the lanes have waited. The times come from
// another clock, so an agent counts from when it first saw them.
func (a *Agent) refreshWaiting(ctx context.Context) error {
	if a.cfg.Depths == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.HeartbeatEvery)
	defer cancel()
	depths, err := a.cfg.Depths(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.waiting
	a.waiting = map[ci.Lane]waiting{}
	for _, d := range depths {
		if d.Queued == 0 || d.Oldest.IsZero() {
			continue
		}
		w, ok := old[d.Lane]
		if !ok || !w.oldest.Equal(d.Oldest) {
			w = waiting{oldest: d.Oldest, seen: now}
		}
		a.waiting[d.Lane] = w
	}
	return nil
}

// refreshKept asks for which of the lanes that this agent could keep room for it
// may. What can't be asked stays as it was until its time is over.
func (a *Agent) refreshKept(ctx context.Context) error {
	a.mu.Lock()
	candidates := a.situation().Candidates()
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, a.cfg.HeartbeatEvery)
	defer cancel()
	for _, lane := range candidates {
		asked := time.Now() // a yes is at least this old when it comes
		yes, err := a.keep(ctx, lane)
		if err != nil {
			return err
		}
		a.mu.Lock()
		delete(a.kept, lane)
		if yes {
			a.kept[lane] = asked.Add(ci.KeepFor)
		}
		a.mu.Unlock()
	}
	return nil
}

func (a *Agent) keep(ctx context.Context, lane ci.Lane) (bool, error) {
	if k, ok := a.cfg.Uplink.(Keeper); ok {
		return k.Keep(ctx, a.cfg.ID, lane)
	}
	return true, nil
}

// keeping returns the lanes that this agent may keep its room for. a.mu is held.
func (a *Agent) keeping() map[ci.Lane]bool {
	if len(a.kept) == 0 {
		return nil
	}
	now := time.Now()
	lanes := map[ci.Lane]bool{}
	for lane, until := range a.kept {
		if now.Before(until) {
			lanes[lane] = true
		} else {
			delete(a.kept, lane)
		}
	}
	return lanes
}

// waited returns how long each lane's first run has waited. a.mu is held.
func (a *Agent) waited() map[ci.Lane]time.Duration {
	if len(a.waiting) == 0 {
		return nil
	}
	now := time.Now()
	waited := make(map[ci.Lane]time.Duration, len(a.waiting))
	for lane, w := range a.waiting {
		waited[lane] = now.Sub(w.seen)
	}
	return waited
}
