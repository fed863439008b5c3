package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"ci/backend/pipeline/journal"
	"ci/pkg/ci"
)

// Run works on runs that are due until ctx ends. What it has in hand then it
// gives back.
func (s *Service) Run(ctx context.Context) error {
	ids := make(chan int64)
	g, ctx := errgroup.WithContext(ctx)
	for range s.Workers {
		g.Go(func() error {
			for id := range ids {
				s.work(ctx, id)
			}
			return nil
		})
	}
	g.Go(func() error { return s.follow(ctx) })
	g.Go(func() error { return s.pruneLoop(ctx) })
	g.Go(func() error {
		defer close(ids)
		return s.schedule(ctx, ids)
	})
	return g.Wait()
}

const (
	// batch is how many runs are handed out before the journal is asked again.
	batch = 64
	// breath is the pause after a full batch: what was handed out last may not be
	// claimed yet, or was claimed by another process, and would come at once again.
	breath = 50 * time.Millisecond
)

// schedule hands out what is due. An error of the journal is told and waited out.
func (s *Service) schedule(ctx context.Context, ids chan<- int64) error {
	for {
		list, err := s.Journal.Due(ctx, s.now(), batch)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("pipelines: the journal does not say what is due", "err", err)
		}
		for _, id := range list {
			select {
			case ids <- id:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := s.rest(ctx, len(list) == batch); err != nil {
			return err
		}
	}
}

// rest waits until there may be something to hand out; full says that there surely is.
func (s *Service) rest(ctx context.Context, full bool) error {
	due, pause := s.due, s.Tick
	if full {
		due, pause = nil, breath
	}
	select {
	case <-due:
	case <-time.After(pause):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// giveBack is how long a run may take to be given back when the process stops.
const giveBack = 5 * time.Second

// work takes a run as far as it goes, and gives it back.
func (s *Service) work(ctx context.Context, id int64) {
	now := s.now()
	w, err := s.Journal.Claim(ctx, id, uuid.NewString(), now.Add(s.Lease), now)
	if err != nil || w == nil {
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("pipelines: a run can't be claimed", "run", id, "err", err)
		}
		return
	}
	t := &turn{Service: s, Work: w}
	wake, reason, err := t.run(ctx)
	if err != nil {
		wake, reason = s.setBack(ctx, w.Pipeline, id, err)
	}
	if t.finished || errors.Is(err, journal.ErrLost) {
		return // it is done, or another one's
	}
	// The process may be stopping; the run is given back all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBack)
	defer cancel()
	if err := s.Journal.Release(ctx, w, wake, reason); err != nil {
		s.Log.Debug("pipelines: a run was not given back; its lease runs out", "run", id, "err", err)
		return
	}
	if !wake.After(now) {
		s.nudge()
	}
}

// pause is how long a run rests after an error that is not its own.
const pause = 5 * time.Second

func (s *Service) setBack(ctx context.Context, pipeline string, id int64, err error) (wake time.Time, reason string) {
	if ctx.Err() != nil || errors.Is(err, journal.ErrAnswered) {
		return s.now(), "" // whoever has it next looks again at once
	}
	s.Log.Warn("pipelines: a run can't go on at the moment", "pipeline", pipeline, "run", id, "err", err)
	return s.now().Add(pause), "it can't go on at the moment and will be tried again: " + err.Error()
}

// follow hears of runs that end, and wakes those who wait for them. Without
// events runs are looked at now and then all the same, so every error is waited out.
func (s *Service) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		for e, err := range s.API.Events(ctx, -1) {
			if err != nil {
				if ctx.Err() == nil {
					s.Log.Warn("pipelines: no events; runs are looked at now and then", "err", err)
				}
				break
			}
			if e.Type == ci.EventRunDone {
				s.wake(ctx, e.Run)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return ctx.Err()
}

func (s *Service) wake(ctx context.Context, child int64) {
	woken, err := s.Journal.Wake(ctx, child)
	if err != nil && ctx.Err() == nil {
		s.Log.Warn("pipelines: a run's end could not be noted", "run", child, "err", err)
	}
	if woken > 0 {
		s.nudge()
	}
}
